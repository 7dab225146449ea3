"""What a float graph costs: what pruning has to save a part of.

Instructions and flash are those of its int8 C product on a Cortex-M4, estimated before it is quantized. The instructions per
multiply-accumulate, element and gathered element were fitted to QEMU's counts of the kernels of six networks; the estimate is
within a tenth of the counts of each of these networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hwcomp.graph import Graph
from hwcomp.registry import OPS
from hwcomp.types import Node

COSTS = {
    "macs": "multiply-accumulates", "parameters": "parameters", "instructions": "instructions (Cortex-M4, estimate)",
    "flash": "bytes of constants (C, int8)",
}  # fmt: skip
HARDWARE = {
    "cycles": "cycles between frames (Verilog, estimate)", "lane_cycles": "cycles of all lanes (Verilog, estimate)",
    "lut": "LUTs at the same interval (Verilog, estimate)",
}  # fmt: skip
"""Of these PassContext.hardware has the models."""
# Instructions per multiply-accumulate, per element of the result, per element that is read (of a window: gathered).
_DOTS = {
    "pointwise": (0.89, 12.3, 1.8),
    "window": (0.83, 14.6, 2.5),
    "depthwise": (3.4, 3.6, 0.0),
    "dense": (1.24, 28.0, 0.0),
}
_ELEMENT = {
    "Add": 7.1,
    "Mul": 13.3,
    "Reshape": 0.0,
    "Identity": 0.0,
    "Concat": 0.7,
    "Slice": 1.0,
    "ChannelShuffle": 2.7,
}
_OTHER = 4.0  # per element of a function's result, which is a table
_PER_TAP = 1.8  # per element that a pool reads
_ROW = 8  # bytes of a row's bias and multiplier


def cost(graph: Graph, of: str) -> int:
    """One of COSTS, of one sample."""
    return spent(graph.nodes, graph, of)


def at_most(part: float) -> str:
    """How much can go, rounded down: who asks for that much gets it."""
    return f"at most {math.floor(1000 * max(part, 0.0)) / 10:.1f}% can go"


def part_of(whole: int, part: float) -> float:
    """Without the noise of the product: 0.29 of 100 are 29, not a little less."""
    return round(part * whole, 6)


def spent(nodes: Iterable[Node], graph: Graph, of: str) -> int:
    """What some nodes cost, whose tensors `graph` has."""
    if of == "instructions":
        return round(sum(_instructions(n, graph) for n in nodes))
    if of == "flash":
        weights = [graph.tensors[n.inputs[1]].shape for n in nodes if n.op in ("Conv", "Dense")]
        return sum(math.prod(shape) + _ROW * shape[0] for shape in weights)
    found = [OPS[n.op].cost(n, graph) for n in nodes]
    return sum(c.macs if of == "macs" else c.params for c in found)


def _instructions(node: Node, graph: Graph) -> float:
    made = math.prod(graph.tensors[node.outputs[0]].shape)
    if node.op in ("MaxPool", "AveragePool"):
        return _PER_TAP * made * math.prod(node.attrs.kernel)
    if node.op not in ("Conv", "Dense"):
        return _ELEMENT.get(node.op, _OTHER) * made
    macs, shape = OPS[node.op].cost(node, graph).macs, graph.tensors[node.inputs[1]].shape
    form, gathered = "dense", 0
    if node.op == "Conv":
        whole = math.prod(shape[2:]) == 1
        form = "depthwise" if shape[1] == 1 and node.attrs.groups > 1 else "pointwise" if whole else "window"
        gathered = made // shape[0] * math.prod(shape[1:]) * node.attrs.groups
    per_mac, per_element, per_read = _DOTS[form]
    return per_mac * macs + per_element * made + per_read * gathered
