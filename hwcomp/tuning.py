"""Hardware's cost models for passes on float graphs, and what `--tune-for TARGET` tells them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._costs import cost, spent
from hwcomp.passes._places import shape
from hwcomp.passes.base import Tuned, ZeroCost
from hwcomp.plan import estimate, index_lists, memory, weight_forms
from hwcomp.plan.estimate import Dot
from hwcomp.plan.memory import Block
from hwcomp.plan.skips import Used
from hwcomp.plan.weight_forms import Candidate
from hwcomp.registry import OPS
from hwcomp.types import Node

LANES = 4
"""Rows and columns that the C kernels take at a time; of hardware at most as many."""
_BITS = 8  # of an element
_SIDES = (4, 8, 16)  # of blocks of weights
_ALIASES = ("Reshape", "Identity")  # the same memory
_STREAMED = ("Reshape", "Identity", "Transpose")  # no engine of their own


def costs(budget: int | None) -> dict[str, Callable[[Graph], Callable[[Graph], int]]]:
    """Costs in the Verilog product with at most `budget` lanes, by name: cycles between frames; cycles of all lanes, and LUTs, at
    the interval of a whole network. Each takes that network, and gives the cost of those that are left of it."""

    def at_interval(whole: Graph, of: Callable[[Graph, Collection[Dot], int], int]) -> Callable[[Graph], int]:
        interval = estimate.cycles(_dots(whole).values(), budget)
        return lambda graph: of(graph, _dots(graph).values(), interval)

    return {
        "cycles": lambda whole: lambda graph: estimate.cycles(_dots(graph).values(), budget),
        "lane_cycles": lambda whole: at_interval(whole, _lane_cycles),
        "lut": lambda whole: at_interval(whole, _luts),
    }


def _lane_cycles(graph: Graph, dots: Collection[Dot], interval: int) -> int:
    return sum(f.lanes * f.beats for f in estimate.at_least(dots, interval))


def _luts(graph: Graph, dots: Collection[Dot], interval: int) -> int:
    folds = estimate.at_least(dots, interval)
    others = sum(n.op not in _STREAMED for n in graph.nodes) - len(dots)
    bits = _BITS * sum(f.taps * d.buffered for f, d in zip(folds, dots, strict=True))
    return estimate.luts(sum(f.lanes for f in folds), len(dots), others, bits, estimate.choosing(folds, _BITS))


def zeros(budget: int | None) -> dict[str, Callable[[Graph], ZeroCost]]:
    """Costs by where weights are zero, by name: instructions and flash of the C product in the forms that its plan would choose for
    int8; of the Verilog with at most `budget` lanes, as `costs` has them."""
    made = {of: lambda graph, of=of: _CZeros(graph, of).cost for of in ("instructions", "flash")}
    return made | {of: lambda graph, of=of: _LaneZeros(graph, budget, of).cost for of in costs(budget)}


class _CZeros:
    """What index lists and lists of steps save of what all weights take."""

    def __init__(self, graph: Graph, of: str):
        self._graph, self._of, self._whole = graph, of, cost(graph, of)
        dots = _dots(graph)
        self._nodes = {n.outputs[0]: n for n in graph.nodes if n.outputs[0] in dots}
        self._known: dict[tuple[str, bytes], float] = {}
        self._room = _rooms(graph)
        # All weights take longer, too, where the arena has no room for the columns of several windows.
        self._more = {name: self._narrow(name) if of == "instructions" else 0.0 for name in self._nodes}
        self._whole += sum(self._more.values())
        self.cost = ZeroCost(self._total, self._layer, self._why)

    def _total(self, masks: dict[str, np.ndarray]) -> float:
        return self._whole - sum(self._saved(name, mask) for name, mask in masks.items())

    def _layer(self, name: str, mask: np.ndarray) -> float:
        return spent([self._nodes[name]], self._graph, self._of) + self._more[name] - self._saved(name, mask)

    def _saved(self, name: str, mask: np.ndarray) -> float:
        at = name, np.packbits(mask).tobytes()
        if at not in self._known:
            whole, *others = self._forms(name, mask)
            best = weight_forms.chosen(whole, weight_forms.faster(whole, others))
            self._known[at] = self._spent(name, mask, whole) - self._spent(name, mask, best)
        return self._known[at]

    def _spent(self, name: str, mask: np.ndarray, form: Candidate) -> float:
        if self._of == "flash":
            return form.bytes
        rows = mask.reshape(form.layout.rows, -1)
        count = math.prod(self._graph.tensors[name].shape) // len(rows)
        return weight_forms.granted(form, rows, count, self._room[name], _copied(self._nodes[name], self._graph))

    def _narrow(self, name: str) -> float:
        """What all weights take more than with the scratch that they would like."""
        groups, rows, *window = shape(self._graph, self._nodes[name])
        if groups > 1:
            return 0.0
        every = np.ones((1, rows, 1, math.prod(window)), bool)
        whole = self._forms(name, every)[0]
        return self._spent(name, every, whole) - whole.instructions

    def _forms(self, name: str, mask: np.ndarray) -> list[Candidate]:
        node, rows = self._nodes[name], mask.reshape(mask.shape[0] * mask.shape[1], -1)
        count = math.prod(self._graph.tensors[name].shape) // len(rows)
        layout = weight_forms.plain(*rows.shape, quads=True, ctype="int8_t")
        return weight_forms.candidates(rows, layout, count, len(mask) == 1, node.op == "Dense" and count == 1)

    def _why(self, name: str, mask: np.ndarray) -> str:
        rows = mask.shape[0] * mask.shape[1]
        whole, *others = self._forms(name, mask)
        if len(mask) > 1:
            return "it has groups, which have no index lists"
        if not others:
            return f"{index_lists.ROWS} outputs share a list of what is not zero, it has {rows}"
        best = min(others, key=lambda c: c.instructions)
        ratio = best.instructions / whole.instructions
        takes = f"take {ratio:.2f} of the dense instructions, {best.bytes / whole.bytes:.2f} of the bytes"
        if self._of == "instructions" and ratio < 1 and best.bytes <= whole.bytes:
            return f"lists {takes}, but the arena has no room for as many windows side by side"
        if best.layout.steps:
            return f"lists of weights and distances {takes}"
        used = mask.reshape(-1, index_lists.ROWS, mask[0, 0].size).any(axis=1).mean()
        return f"{used:.0%} of the columns of {index_lists.ROWS} outputs, which share a list, have weights that are not zero: lists {takes}"


def _copied(node: Node, graph: Graph) -> bool:
    """Whether the C product fills columns by way of a copy of the window."""
    if node.op == "Dense":
        return False
    weight, a = graph.tensors[node.inputs[1]].shape, node.attrs
    run = weight[1] * (weight[3] if a.dilations[1] == 1 else 1)
    return any(a.pads) or run % 4 != 0


def _rooms(graph: Graph) -> dict[str, int]:
    """By the output of each node: bytes of scratch that the arena of the int8 C product has beside its tensors.

    Inputs and outputs that are no maps of several channels are the caller's arrays.
    """
    root: dict[str, str] = {}
    first, last = dict.fromkeys(graph.inputs, -1), {}
    for i, node in enumerate(graph.nodes):
        name = node.outputs[0]
        moved = [root.get(n, n) for n in node.inputs if n and not graph.tensors[n].is_constant]
        root[name] = moved[0] if node.op in _ALIASES and moved else name
        first.setdefault(root[name], i)
        last |= dict.fromkeys((*moved, root[name]), i)
    mine = {
        root.get(n, n) for n in (*graph.inputs, *graph.outputs) if sum(d > 1 for d in graph.tensors[n].shape[1:]) < 3
    }
    blocks = [
        Block(math.prod(graph.tensors[n].shape), first[n], len(graph.nodes) if n in graph.outputs else last[n])
        for n in first if n not in mine and n in last
    ]  # fmt: skip
    room = memory.rooms(blocks, range(len(graph.nodes)))
    return {n.outputs[0]: bytes_ for n, bytes_ in zip(graph.nodes, room, strict=True)}


class _LaneZeros:
    """Beats that engines leave out, and channels that they choose."""

    def __init__(self, graph: Graph, budget: int | None, of: str):
        self._graph, self._budget, self._of, self._dots = graph, budget, of, _dots(graph)
        self._interval = estimate.cycles(self._dots.values(), budget)
        folds = estimate.folded(self._dots.values(), budget)
        self._lanes = {name: fold.lanes for name, fold in zip(self._dots, folds, strict=True)}
        self.cost = ZeroCost(self._total, self._layer, self._why)

    def _with(self, name: str, mask: np.ndarray) -> Dot:
        flat = self._graph.producer(name).op == "Dense"
        return replace(self._dots[name], used=Used.where(mask.reshape(1, mask.shape[1], 1, -1) if flat else mask))

    def _total(self, masks: dict[str, np.ndarray]) -> float:
        dots = {
            name: self._with(name, masks[name]) if name in masks else dot for name, dot in self._dots.items()
        }.values()
        if self._of == "cycles":
            return estimate.cycles(dots, self._budget)
        return (_luts if self._of == "lut" else _lane_cycles)(self._graph, dots, self._interval)

    def _layer(self, name: str, mask: np.ndarray) -> float:
        """Cycles of its lanes, as many as in the whole network: what other layers get where this one needs less."""
        lanes = self._lanes[name]
        return float(lanes * estimate.at_most([self._with(name, mask)], [lanes])[0])

    def _why(self, name: str, mask: np.ndarray) -> str:
        if mask.shape[3] == 1 and len(mask) > 1:
            return "its channels are not added up, so that a beat serves other channels"
        kept = self._layer(name, mask) / self._layer(name, np.ones_like(mask))
        return f"with {self._lanes[name]} lanes {kept:.0%} of its beats have weights that are not zero, or follow no pattern N:M"


def tuned(target: str | None, budget: int | None) -> Tuned | None:
    """What passes may consult; None without `--tune-for`.

    Hardware saves multiply-accumulates: lanes x cycles of folds that are full. Lane-cycles of the folds themselves move in steps, which
    mislead the scan (measured: docs/pruning.md).
    """
    if target is None:
        return None
    if target == "mcu":
        return Tuned("instructions", lambda graph: dict.fromkeys(_dots(graph), (LANES, LANES)), lambda graph: "4x4")
    return Tuned("macs", lambda graph: _steps(graph, budget), lambda graph: _block(graph, budget))


def _steps(graph: Graph, budget: int | None) -> dict[str, tuple[int, int]]:
    """1, 2 or 4 for all layers, by the lanes that half of them have: of such counts the plan finds folds that are full, or all but.
    Steps of single layers would contradict each other where branches meet."""
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
