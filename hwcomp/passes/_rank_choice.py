"""Forms and ranks of all layers together, for a budget or a floor of accuracy.

Each layer's cheapest chains for some energies are tried alone: the error that they bring to the network's results. What costs the
least error for what it saves goes first, as filters do in scope sensitivity (hwcomp.passes._ranking).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwcomp.errors import WorkFailed
from hwcomp.graph import Graph
from hwcomp.passes._costs import COSTS, part_of
from hwcomp.passes._factored import forms, price
from hwcomp.passes._factoring import Factoring, Form, Layer
from hwcomp.passes._layerwise import spread
from hwcomp.passes._sparse_costs import layer_cost, sparse_cost
from hwcomp.passes.base import PassContext
from hwcomp.passes.prune import accuracy
from hwcomp.samples import operands

_ENERGIES = (0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.92, 0.88, 0.8, 0.7, 0.5, 0.3)
_TRIAL = 128  # samples that a layer alone is measured on


@dataclass(frozen=True)
class Step:
    """A cheaper form of a layer; `saved` of the cost beside the one before it, for `error` more of the results."""

    name: str
    form: Form
    saved: int
    error: float


def cheapest(
    layer: Layer, graph: Graph, energy: float, wanted: tuple[str, ...], of: str, whole: int, near: bool
) -> tuple[int, Form]:
    """(cost, form) that keep `energy`; the layer as it is, ("", ()), where nothing is cheaper than the `whole` that it costs."""
    found = [(whole, ("", ()))]
    for form in forms(layer.node, graph.tensors, wanted):

        def spent(ranks: tuple[int, ...], form=form) -> int:
            return price(layer.node, graph, form, ranks, of)

        ranks = layer.fit.least(form, energy, spent, near)
        if ranks and (now := spent(ranks)) < whole:
            found.append((now, (form, ranks)))
    return min(found)


class RankChoice:
    def __init__(self, factoring: Factoring, ctx: PassContext, wanted: tuple[str, ...], of: str):
        self._factoring, self._ctx, self._of = factoring, ctx, of
        self._whole = sparse_cost(factoring.graph, of, ctx)
        self._path = self._steps(wanted)
        self._made: dict[int, Graph] = {0: factoring.graph}

    def within(self, budget: float, floor: float) -> int:
        """Steps to take for at most the part `budget` of the cost. WorkFailed where that or the floor is out of reach."""
        left, count, allowed = self._whole, 0, part_of(self._whole, budget)
        while left > allowed and count < len(self._path):
            left, count = left - self._path[count].saved, count + 1
        if left > allowed:
            least = math.ceil(1000 * left / self._whole) / 1000
            some = f"at least {least:.1%} stay", f"give low_rank.budget={least:g} or more"
            none = "no layer gets cheaper in any of the forms", "allow other low_rank.forms, or leave it out"
            why, fix = some if least < 1 else none
            raise WorkFailed(f"low rank can't leave {budget:.0%} of the {COSTS[self._of]}", why=why, fix=fix)
        if floor and (got := accuracy(self.network(count), self._ctx)) < floor:
            raise WorkFailed(
                f"low rank with {budget:.0%} of the {COSTS[self._of]} misses the accuracy floor {floor:g}: {got:.4f} on calibration data",
                why=self._reach(self._furthest(floor)), fix="ask for less, or lower low_rank.floor",
            )  # fmt: skip
        return count

    def as_far_as(self, floor: float) -> int:
        """Steps to the cheapest network on the path that keeps `floor`."""
        count = self._furthest(floor)
        if not count:
            why = self._reach(0)
            raise WorkFailed(f"the accuracy floor {floor:g} is out of reach", why=why, fix="lower low_rank.floor")
        self._ctx.note("low_rank", f"as far as an accuracy of {floor:g} allows: {self._reach(count)}")
        return count

    def _furthest(self, floor: float) -> int:
        low, high = 0, len(self._path) + 1
        while high - low > 1:
            middle = (low + high) // 2
            good = accuracy(self.network(middle), self._ctx) >= floor
            low, high = (middle, high) if good else (low, middle)
        return low

    def _reach(self, count: int) -> str:
        network = self.network(count)
        part = sparse_cost(network, self._of, self._ctx) / self._whole
        return f"{part:.1%} of the {COSTS[self._of]} have {accuracy(network, self._ctx):.4f}"

    def forms(self, count: int) -> dict[str, Form]:
        """By layer, after the first `count` steps."""
        return {s.name: s.form for s in self._path[:count]}

    def network(self, count: int) -> Graph:
        """After the first `count` steps, each layer fitted behind the others."""
        if count not in self._made:
            chosen = self.forms(count)
            self._made[count] = self._factoring.run(lambda layer: chosen.get(layer.node.name))
        return self._made[count]

    def _steps(self, wanted: tuple[str, ...]) -> list[Step]:
        """All steps of all layers, the one with the least error for what it saves in front."""
        factoring, found = self._factoring, []
        data = operands(spread(self._ctx.calibration, _TRIAL, factoring.graph), self._ctx.input_types)
        error = factoring.errors(data)
        for layer in factoring.layers():
            whole = layer_cost(layer.node, factoring.graph, self._of, self._ctx)
            points = [(whole, 0.0, ("", ()))]
            for energy in _ENERGIES:
                spent, form = cheapest(layer, factoring.graph, energy, wanted, self._of, whole, near=True)
                if spent < points[-1][0]:
                    points.append((spent, max(error(layer, form), points[-1][1]), form))
            found += _hull(layer.node.name, points)
        return sorted(found, key=lambda s: s.error / s.saved)


def _hull(name: str, points: list[tuple[int, float, Form]]) -> list[Step]:
    """Steps along the lower convex hull of (cost, error): each costs more error for what it saves than the one before."""
    steps, at = [], 0
    while at < len(points) - 1:
        slopes = [((e - points[at][1]) / (points[at][0] - c), c) for c, e, _ in points[at + 1 :]]
        ahead = min(range(len(slopes)), key=slopes.__getitem__) + at + 1
        spent, error, form = points[ahead]
        steps.append(Step(name, form, points[at][0] - spent, error - points[at][1]))
        at = ahead
    return steps
