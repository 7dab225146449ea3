"""Hardware's cost models for passes on float graphs, and what `--tune-for TARGET` tells them."""

from __future__ import annotations

import math
from collections.abc import Callable

from hwcomp.graph import Graph
from hwcomp.passes.base import Tuned
from hwcomp.plan import estimate
from hwcomp.plan.estimate import Dot
from hwcomp.registry import OPS
from hwcomp.types import Node

LANES = 4
"""Rows and columns that the C kernels take at a time; of hardware at most as many."""
_BITS = 8  # of an element
_SIDES = (4, 8, 16)  # of blocks of weights
_STREAMED = ("Reshape", "Identity", "Transpose")  # no engine of their own


def costs(budget: int | None) -> dict[str, Callable[[Graph], Callable[[Graph], int]]]:
    """Costs in the Verilog product with at most `budget` lanes, by name: cycles between frames; cycles of all lanes, and LUTs, at
    the interval of a whole network. Each takes that network, and gives the cost of those that are left of it."""

    def at_interval(whole: Graph, cost: Callable[[Graph, int], int]) -> Callable[[Graph], int]:
        interval = estimate.cycles(_dots(whole).values(), budget)
        return lambda graph: cost(graph, interval)

    return {
        "cycles": lambda whole: lambda graph: estimate.cycles(_dots(graph).values(), budget),
        "lane_cycles": lambda whole: at_interval(whole, _lane_cycles),
        "lut": lambda whole: at_interval(whole, _luts),
    }


def _lane_cycles(graph: Graph, interval: int) -> int:
    return sum(f.lanes * f.beats for f in estimate.at_least(_dots(graph).values(), interval))


def _luts(graph: Graph, interval: int) -> int:
    dots = _dots(graph).values()
    folds = estimate.at_least(dots, interval)
    others = sum(n.op not in _STREAMED for n in graph.nodes) - len(dots)
    bits = _BITS * sum(f.taps * d.buffered for f, d in zip(folds, dots, strict=True))
    return estimate.luts(sum(f.lanes for f in folds), len(dots), others, bits)


def tuned(target: str | None, budget: int | None) -> Tuned | None:
    """What passes may consult; None without `--tune-for`."""
    if target is None:
        return None
    if target == "mcu":
        return Tuned("instructions", lambda graph: dict.fromkeys(_dots(graph), (LANES, LANES)), lambda graph: "4x4")
    return Tuned("lane_cycles", lambda graph: _steps(graph, budget), lambda graph: _block(graph, budget))


def _steps(graph: Graph, budget: int | None) -> dict[str, tuple[int, int]]:
    """1, 2 or 4 for all layers, by the lanes that half of them have. Of such counts the plan finds folds that are full, or all but;
    steps of single layers contradict each other where branches meet, and bring back so many filters that too many go elsewhere
    (measured: docs/pruning.md)."""
    dots = _dots(graph)
    lanes = sorted(f.pe * f.simd for f in estimate.folded(dots.values(), budget))
    step = max(n for n in (1, 2, LANES) if n <= lanes[len(lanes) // 2]) if lanes else 1
    return dict.fromkeys(dots, (step, step))


def _block(graph: Graph, budget: int | None) -> str:
    """As large as the lanes for one kernel position of the layer that has most of them."""
    lanes = max((f.pe * f.simd for f in estimate.folded(_dots(graph).values(), budget)), default=1)
    side = next((s for s in _SIDES if s * s >= lanes), _SIDES[-1])
    return f"{side}x{side}"


def _dots(graph: Graph) -> dict[str, Dot]:
    """The convolutions and dense layers with constant weights, by their output."""
    return {
        n.outputs[0]: _dot(n, graph) for n in graph.nodes if n.op in ("Conv", "Dense") and OPS[n.op].cost(n, graph).macs
    }


def _dot(node: Node, graph: Graph) -> Dot:
    weight, x, y = (graph.tensors[n].shape for n in (node.inputs[1], node.inputs[0], node.outputs[0]))
    if node.op == "Dense":
        pixels = math.prod(y) // weight[0]
        return Dot(weight[0], weight[1], pixels=pixels, arriving=pixels, buffered=2 * weight[1])
    a = node.attrs
    top, left, bottom, right = a.pads
    rows, columns = x[2] + top + bottom, x[3] + left + right
    return Dot(
        weight[0] // a.groups, weight[1], math.prod(weight[2:]), a.groups, math.prod(y[2:]), rows * columns,
        2 * weight[2] * a.dilations[0] * columns * x[1],
    )  # fmt: skip
