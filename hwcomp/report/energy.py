"""Memory traffic, arithmetic intensity and energy of one inference, from stated constants.

Traffic is the least there can be: every tensor is written once and read once by each of its readers, every weight is read once.
Energies are those of 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014), as Han et al. ("EIE", ISCA 2016) compare
networks by them: a figure to compare two forms of a network with, not that of a device. Operations are priced alike at
every width.
"""

from __future__ import annotations

import math
from typing import Any

from hwcomp.graph import Graph
from hwcomp.plan.stages import ALIASES
from sw_ref.program import Program

WORD = 32  # bits of an access
SRAM, DRAM = 5.0, 640.0  # pJ per access
OPERATION = 0.9  # pJ: a float32 addition
CONSTANTS = (
    f"each tensor written once and read once per reader, each weight read once; {SRAM:g} pJ per 32 bits of SRAM, {DRAM:g} of DRAM, "
    f"{OPERATION} per operation"
)


def figures(activation_bits: int, weight_bits: int, operations: int) -> dict[str, Any]:
    """Bytes moved, operations per byte, and nJ with all memory on the chip (`sram`) or the weights outside (`dram`)."""
    moved = activation_bits + weight_bits
    work, sram = OPERATION * operations, SRAM * moved / WORD
    dram = sram + (DRAM - SRAM) * weight_bits / WORD
    return {
        "activation_bytes": -(-activation_bits // 8), "weight_bytes": -(-weight_bits // 8),
        "intensity": round(8 * operations / moved, 3) if moved else None,
        "energy_nj": {"operations": _nj(work), "sram": _nj(work + sram), "dram": _nj(work + dram)},
    }  # fmt: skip


def _nj(picojoules: float) -> float:
    return round(picojoules / 1000, 3)


def of_graph(graph: Graph, parameters: int, operations: int, bits: int) -> dict[str, Any]:
    """Of the operators as they stand in the model, each with tensors of its own, all of `bits` bits."""
    reads = (name for node in graph.nodes for name in node.inputs if name and not graph.tensors[name].is_constant)
    writes = (name for node in graph.nodes for name in node.outputs if name)
    elements = sum(math.prod(graph.tensors[name].shape) for names in (reads, writes) for name in names)
    return figures(bits * elements, bits * parameters, operations)


def of_product(program: Program, macs: int, targets: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By target: kernels with the bits of their edges, but those that only give memory another shape; weights as the product
    stores them; two operations per MAC."""
    names = [name for k in program.kernels if k.kind not in ALIASES for name in (*k.inputs, *k.outputs)]
    moved = sum(program.edges[n].size * program.edges[n].bits for n in names)
    stored = {t: 8 * f["weight_bytes"] if "weight_bytes" in f else f["rom_bits"] for t, f in targets.items()}
    return {t: figures(moved, bits, 2 * macs) for t, bits in stored.items()}
