"""Memory traffic, arithmetic intensity and energy of one inference, from stated constants.

Traffic is the least there can be: every tensor is written once and read once by each of its readers, every constant is read once.
Energies are those of 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014), as Han et al. ("EIE", ISCA 2016) compare
networks by them: a figure to compare two forms of a network with, not that of a device. Operations are priced alike at
every width.
"""

from __future__ import annotations

import math
from typing import Any

from hwcomp.graph import Graph
from hwcomp.plan.stages import ALIASES
from hwcomp.plan.work import macs
from hwcomp.registry import OPS
from sw_ref.program import Program

WORD = 32  # bits of an access
SRAM, DRAM = 5.0, 640.0  # pJ per access
OPERATION = 0.9  # pJ: a float32 addition
CONSTANTS = (
    f"each tensor is written once and read once per reader, each constant read once; a MAC is two operations, what a product skips is "
    f"none; {SRAM:g} pJ per 32 bits of SRAM, {DRAM:g} of DRAM, {OPERATION} per operation"
)
# No product moves data for these alone.
_STILL = ("Reshape", "Identity", "Retype", "QuantizeLinear", "DequantizeLinear")


def figures(activation_bits: int, constant_bits: int, macs: int, others: int) -> dict[str, Any]:
    """Bytes moved, operations per byte, and nJ with all memory on the chip (`sram`) or the constants outside (`dram`)."""
    moved, operations = activation_bits + constant_bits, 2 * macs + others
    work, sram = OPERATION * operations, SRAM * moved / WORD
    dram = sram + (DRAM - SRAM) * constant_bits / WORD
    return {
        "macs": macs, "operations": operations,
        "activation_bytes": -(-activation_bits // 8), "constant_bytes": -(-constant_bits // 8),
        "intensity": round(8 * operations / moved, 3) if moved else None,
        "energy_nj": {"operations": _nj(work), "sram": _nj(work + sram), "dram": _nj(work + dram)},
    }  # fmt: skip


def _nj(picojoules: float) -> float:
    return round(picojoules / 1000, 3)


def of_graph(graph: Graph, bits: int) -> dict[str, Any]:
    """Of the operators of a model, each with tensors of its own, all of `bits` bits, but those that only give a tensor another
    shape or say its type."""
    nodes = [n for n in graph.nodes if n.op not in _STILL]
    reads = (name for node in nodes for name in node.inputs if name and not graph.tensors[name].is_constant)
    writes = (name for node in nodes for name in node.outputs if name)
    elements = sum(math.prod(graph.tensors[name].shape) for names in (reads, writes) for name in names)
    costs = [OPS[node.op].cost(node, graph) for node in graph.nodes]
    parameters, macs, others = (sum(getattr(c, field) for c in costs) for field in ("params", "macs", "ops"))
    return figures(bits * elements, bits * parameters, macs, others)


def of_product(program: Program, others: int, targets: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By target: kernels with the bits of their edges, but those that only give memory another shape; all constants as the product
    stores them; MACs without those that it skips, as their weights are zero; `others`: operations of the graph besides."""
    names = [name for k in program.kernels if k.kind not in ALIASES for name in (*k.inputs, *k.outputs)]
    moved = sum(program.edges[n].size * program.edges[n].bits for n in names)
    rows = {}
    for target, facts in targets.items():
        stored = 8 * facts["constant_bytes"] if "constant_bytes" in facts else facts["rom_bits"]
        rows[target] = figures(moved, stored, _done(program, facts), others)
    return rows


def _done(program: Program, facts: dict[str, Any]) -> int:
    """MACs of a product for one inference."""
    if "kernels" in facts:
        skipped = {k["name"]: k["weights"]["skipped"] for k in facts["kernels"] if k["weights"]}
    else:
        skipped = {s["kernel"]: s["skipped"] for s in facts["stages"]}
    sparse = [k for k in program.kernels if skipped.get(k.name)]
    gone = sum(macs(program, k) * skipped[k.name] / k.constants["weight"].size for k in sparse)
    return round(sum(macs(program, k) for k in program.kernels) - gone)
