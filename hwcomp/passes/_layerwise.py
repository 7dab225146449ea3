"""The float graph and the quantized one side by side, layer by layer, on calibration data: what the corrections share.

The quantized graph is simulated in float32: operators on dequantized values, their results rounded to the integer type.
That is the Program's arithmetic but for ties, which a correction averages over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.graph import Graph
from hwcomp.passes.base import DOT, PassContext, constant, free_dot, weight_and_bias
from hwcomp.registry import OPS
from hwcomp.samples import operands
from hwcomp.types import Node, QType, Tensor

# Elements of one tensor, all samples together: 256 MiB as float32.
_ELEMENTS = 1 << 26
_LARGEST = 1e12


@dataclass(frozen=True)
class Layer:
    """A dot product in both graphs. `node` has no clamp: errors are measured in front of it.

    `x`, `xq`: float32 inputs [samples, *shape] of the float graph and of the quantized one. `weight`, `bias`: float64,
    what the float graph holds (zeros for no bias). `q`, `qbias`: int64, what stands for them. `scale`, `step`: float64
    [channels], one unit of q and of qbias. `limit`: largest magnitude of q.
    `chosen`: an earlier pass has chosen q, which stays.
    """

    node: Node
    x: np.ndarray
    xq: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    q: np.ndarray
    qbias: np.ndarray
    scale: np.ndarray
    step: np.ndarray
    limit: int
    chosen: bool = False

    def output(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Float32 results of the dot product, in front of its clamp."""
        return OPS[self.node.op].evaluate(self.node, [x, weight.astype(np.float32), bias.astype(np.float32)])[0]

    def rows(self, values: np.ndarray) -> np.ndarray:
        """One value per channel, in the shape that multiplies the weights."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 1))

    def with_error(self, error: np.ndarray) -> np.ndarray:
        """The integer biases with the real `error` [channels] added; never wider than int32 where they are not yet."""
        most = max((1 << 31) - 1, int(np.abs(self.qbias).max(initial=0)))
        return np.clip(np.rint(self.qbias + error / self.step), -most, most).astype(np.int64)


Correction = Callable[[Layer], tuple[np.ndarray, np.ndarray]]  # new q, qbias


def correct(graph: Graph, ctx: PassContext, name: str, samples: int, correction: Correction) -> Graph:
    """`graph` with the integers that `correction` gives to each dot product, in order of execution.

    Each layer sees what the layers in front of it, already corrected, make of `samples` calibration samples.
    """
    if ctx.calibration is None:
        raise UsageError(f"pass {name} needs calibration data", fix="give --calibration DATA.npz with real samples")
    if samples < 1:
        raise UsageError(f"{name}.samples={samples}", fix="1 or more are needed")
    floats, tensors = ctx.float_graph, dict(graph.tensors)
    data = operands(spread(ctx.calibration, samples, graph), ctx.input_types)
    count = len(next(iter(data.values())))
    layers = sum(map(free_dot, graph.nodes))
    values = dict(data)
    integers = {n: quantized(a, tensors[n].qtype) for n, a in data.items()}
    last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
    nodes: list[Node] = []
    with np.errstate(all="ignore"):
        for i, (old, node) in enumerate(zip(floats.nodes, graph.nodes, strict=True)):
            if free_dot(node):  # the others are few-bit: there is nothing to choose
                ctx.progress(name, sum(n.op in DOT for n in nodes), layers)
                layer = _layer(old, node, floats, tensors, values, integers, old.inputs[1] in ctx.chosen)
                node = _corrected(node, layer, tensors, correction)
            nodes.append(node)
            values[node.outputs[0]] = evaluated(old, floats.tensors, values, graph.batched)
            made = evaluated(node, tensors, integers, graph.batched)
            qtype = tensors[node.outputs[0]].qtype
            integers[node.outputs[0]] = made if qtype is None else quantized(made, qtype)
            for tensor in {*old.inputs, *node.inputs}:
                if last.get(tensor, i) <= i:
                    values.pop(tensor, None)
                    integers.pop(tensor, None)
    ctx.note(name, f"{layers} layers, {count} samples")
    return graph.rebuilt(nodes, tensors)


Values = dict[str, np.ndarray]
Change = Callable[[Node, Values, Values], list[Node]]


def in_order(graph: Graph, data: Values, change: Change, tensors: dict[str, Tensor] | None = None) -> list[Node]:
    """All nodes as `change(node, values, mine)` makes them, in order of execution, on samples `data` of the inputs.

    `values` holds what the graph gives up to there, `mine` what the nodes made so far give, the last of those in place of a node
    its result; equal results are the same array. `tensors`: where `change` puts constants. Tensors are held until their last reader
    is through, what several nodes in place of one have between them as long as its first input.
    """
    values, mine, nodes = dict(data), dict(data), []
    last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
    between: dict[str, list[str]] = {}
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            made = change(node, values, mine)
            nodes += made
            y = values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
            same = made[-1] is node and all(mine.get(n) is values.get(n) for n in node.inputs)
            for part in made:
                mine[part.outputs[0]] = y if same else evaluated(part, tensors or graph.tensors, mine, graph.batched)
            for part in made[:-1]:
                between.setdefault(node.inputs[0], []).append(part.outputs[0])
            for name in node.inputs:
                if last[name] <= i:
                    for gone in (name, *between.pop(name, ())):
                        values.pop(gone, None)
                        mine.pop(gone, None)
    return nodes


def quantized(x: np.ndarray, qtype: QType) -> np.ndarray:
    """float32: `x` rounded and clipped to the reals that `qtype` holds."""
    scale = np.float32(qtype.scale[0])
    q = np.rint(x / scale)
    np.clip(q, qtype.lo - qtype.zero, qtype.hi - qtype.zero, out=q)
    return q * scale


def spread(
    calibration: dict[str, np.ndarray], samples: int, graph: Graph, elements: int = _ELEMENTS
) -> dict[str, np.ndarray]:
    """`samples` of the calibration samples, spread evenly over them; fewer where a tensor would have more `elements`. UsageError
    where they are too large for sums of squares."""
    for name, array in calibration.items():
        if array.dtype.kind == "f" and (top := float(np.abs(array).max(initial=0))) > _LARGEST:
            why = f"they go to {top:g}, and the squares of what layers make of them leave float32"
            raise UsageError(
                f"calibration data of '{shown(name)}' are too large to fit layers to", why=why, fix="check their range"
            )
    largest = max(math.prod(t.shape) for t in graph.tensors.values() if not t.is_constant)
    total = len(next(iter(calibration.values())))
    count = max(1, min(samples, total, elements // largest))
    chosen = np.arange(count) * total // count
    return {n: a[chosen] for n, a in calibration.items()}


def _layer(old: Node, node: Node, floats: Graph, tensors: dict[str, Tensor], values, integers, chosen: bool) -> Layer:
    weight, bias = weight_and_bias(old, floats.tensors)
    qw, qb = (tensors[n] for n in node.inputs[1:])
    x, xq = values[old.inputs[0]], integers[node.inputs[0]]
    if node.op == "Conv":  # a graph without a batch axis has samples of batches
        x, xq = (a.reshape(-1, *a.shape[-3:]) for a in (x, xq))
    return Layer(
        node.with_(attrs=replace(node.attrs, clamp=None)), x, xq, weight, bias, qw.data.astype(np.int64), qb.data.astype(np.int64),
        np.broadcast_to(np.array(qw.qtype.scale), len(weight)), np.broadcast_to(np.array(qb.qtype.scale), len(weight)),
        (1 << (qw.qtype.bits - 1)) - 1, chosen,
    )  # fmt: skip


def _corrected(node: Node, layer: Layer, tensors: dict[str, Tensor], correction: Correction) -> Node:
    """`node` on the integers that the correction gives; `tensors` gets them."""
    names = []
    for old, data in zip(node.inputs[1:], correction(layer), strict=True):
        made = constant(tensors, old, data.astype(tensors[old].data.dtype))
        same = np.array_equal(data, tensors[old].data)
        tensors[made.name] = made.with_(qtype=tensors[old].qtype, codes=tensors[old].codes if same else None)
        names.append(made.name)
    return node.with_(inputs=(node.inputs[0], *names))


def evaluated(node: Node, tensors: dict[str, Tensor], values: dict[str, np.ndarray], batched: bool) -> np.ndarray:
    """The first result of a node on real samples [N, *shape]; constants are what `tensors` holds."""
    given = [_real(tensors[n]) if n and tensors[n].is_constant else values.get(n) for n in node.inputs]
    if batched:
        return OPS[node.op].evaluate(node, given)[0]
    moving = [bool(n) and not tensors[n].is_constant for n in node.inputs]
    count = len(next(a for a, m in zip(given, moving, strict=True) if m))
    rows = ([a[i] if m else a for a, m in zip(given, moving, strict=True)] for i in range(count))
    return np.stack([OPS[node.op].evaluate(node, row)[0] for row in rows])


def _real(tensor: Tensor) -> np.ndarray:
    if tensor.qtype is None:
        return tensor.data
    scale = np.array(tensor.qtype.scale).reshape(-1, *[1] * (tensor.data.ndim - 1))
    return ((tensor.data - tensor.qtype.zero) * scale).astype(np.float32)
