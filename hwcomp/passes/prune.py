"""Structured pruning: whole filters go, through every layer that they reach; the layers get smaller.

Sources: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017 (sizes of filters); Liu et al., "Network Slimming",
ICCV 2017 (their spread, here of the activations); Luo et al., "ThiNet", ICCV 2017 (least squares on what remains).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph, origin_of
from hwcomp.passes._units import DOT, Mixed, Units
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass

CRITERIA = ("l1", "l2", "activation", "variance", "random")


@graph_pass
@dataclass(frozen=True)
class Prune(Pass):
    """`filter`: fraction of the multiply-accumulates that go with whole filters (`--prune filter=0.3`).

    `criterion`: what a filter is worth. l1, l2: the size of its weights; activation, variance: the mean square and the
    variance of what it gives on `samples` calibration samples; random, from `seed`. Each relative to its layer, so that
    all layers are ranked together; none loses more than `most` of its filters.
    """

    name: ClassVar[str] = "prune"
    kind: ClassVar[str] = "lossy"
    filter: float = 0.0
    channel: float = 0.0
    branch: float = 0.0
    criterion: str = "l1"
    most: float = 0.9
    samples: int = 256
    seed: int = 0

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        for kind in ("filter", "channel", "branch"):
            if not 0 <= getattr(self, kind) < 1:
                fix = "a fraction of the multiply-accumulates is needed, 0 or more and less than 1"
                raise UsageError(f"prune.{kind}={getattr(self, kind):g}", fix=fix)
        if self.criterion not in CRITERIA:
            raise UsageError(f"unknown pruning criterion '{shown(self.criterion)}'", fix=f"there are {', '.join(CRITERIA)}")
        if not self.filter:
            return graph
        whole, fixed = macs(graph), np.empty(0, np.int64)
        while True:
            units = Units(graph, fixed)
            order = self._ranked(graph, units, ctx)
            try:
                small = self._least(units, order, (1 - self.filter) * whole)
                break
            except Mixed as mixed:
                fixed = np.append(fixed, mixed.units)
        for old, new in zip(graph.nodes, small.nodes, strict=True):
            if old.op in DOT:
                was, now = (len(g.tensors[n.inputs[1]].data) for g, n in ((graph, old), (small, new)))
                if now < was:
                    ctx.note(self.name, f"{old.op} '{origin_of(old)}': {now} of {was} filters")
        ctx.note(self.name, f"{macs(small):,} of {whole:,} MACs, filters by {self.criterion}")
        return small

    def _least(self, units: Units, order: np.ndarray, budget: float) -> Graph:
        """The fewest units of `order` gone with which the graph fits the budget."""
        low, high = 1, len(order)
        if not high or macs(units.without(order)) > budget:
            left = macs(units.without(order)) / macs(units.graph) if high else 1.0
            raise WorkFailed(
                f"pruning can't take {self.filter:.0%} of the MACs", why=f"at most {1 - left:.1%} can go with filters",
                fix="ask for less, or allow more with --pass prune.most=0.95",
            )  # fmt: skip
        while low < high:
            middle = (low + high) // 2
            if macs(units.without(order[:middle])) <= budget:
                high = middle
            else:
                low = middle + 1
        return units.without(order[:high])

    def _ranked(self, graph: Graph, units: Units, ctx: PassContext) -> np.ndarray:
        """Units that may go, the one that is worth least first."""
        worth = dict.fromkeys(units.free.tolist(), 0.0)
        layers = dict.fromkeys(units.free.tolist(), 0)
        for name, values in self._values(graph, ctx).items():
            rows = units.rows[name]
            size = float(np.sqrt(np.mean(np.square(values)))) or 1.0
            for unit, value in zip(rows.tolist(), (values / size).tolist(), strict=True):
                if unit in worth:
                    worth[unit], layers[unit] = worth[unit] + value, layers[unit] + 1
        order = sorted(worth, key=lambda u: worth[u] / layers[u])
        return np.array([u for u in order if self._may_go(units, u, order)], np.int64)

    def _may_go(self, units: Units, unit: int, order: list[int]) -> bool:
        """Whether it is among the part of each of its layers that may go."""
        place = {u: i for i, u in enumerate(order)}
        for rows in units.rows.values():
            if unit in rows:
                ranks = sorted({place.get(int(u), len(order)) for u in rows})
                if ranks.index(place[unit]) >= math.floor(self.most * len(ranks)):
                    return False
        return True

    def _values(self, graph: Graph, ctx: PassContext) -> dict[str, np.ndarray]:
        """float64 [rows] by the name of a dot product's result."""
        dots = {n.outputs[0]: n for n in graph.nodes if n.op in DOT}
        if self.criterion in ("l1", "l2"):
            power = 1 if self.criterion == "l1" else 2
            weights = {y: graph.tensors[n.inputs[1]].data.astype(np.float64) for y, n in dots.items()}
            return {y: np.mean(np.abs(w.reshape(len(w), -1)) ** power, axis=1) ** (1 / power) for y, w in weights.items()}
        if self.criterion == "random":
            rng = np.random.default_rng(self.seed)
            return {y: rng.uniform(0, 1, len(graph.tensors[n.inputs[1]].data)) for y, n in dots.items()}
        if ctx.calibration is None:
            raise UsageError(f"prune.criterion={self.criterion} needs calibration data", fix="give --calibration DATA.npz")
        return self._activations(graph, ctx, set(dots))

    def _activations(self, graph: Graph, ctx: PassContext, dots: set[str]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}

        def see(name: str, value: np.ndarray) -> None:
            if name in dots:
                axis = 1 if graph.tensors[name].shape[1:] and len(graph.tensors[name].shape) == 4 else value.ndim - 1
                rows = np.moveaxis(value.astype(np.float64), axis, 0).reshape(value.shape[axis], -1)
                found[name] = rows.var(axis=1) if self.criterion == "variance" else np.mean(np.square(rows), axis=1)

        run_float(graph, {n: a[: self.samples] for n, a in ctx.calibration.items()}, observe=see)
        return {name: np.sqrt(values) for name, values in found.items()}


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one sample."""
    return sum(OPS[n.op].cost(n, graph).macs for n in graph.nodes)
