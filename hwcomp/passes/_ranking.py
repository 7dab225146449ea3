"""The order in which units go, and how many: per layer, over all layers, or by what each layer costs the result.

Scope sensitivity: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.2, with the error of the network's
results for a fraction of one layer at a time; what is saved per error decides between layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp.passes._units import Units

SCOPES = ("global", "layer", "sensitivity")
_FRACTIONS = (0.125, 0.25, 0.5, 0.75)  # of a layer's units that a sensitivity scan takes away

# (units that are gone) -> (error of the results, cost of what is left); Mixed where that is no network.
Trial = Callable[[np.ndarray], tuple[float, float]]


# (units that are gone) -> rows and columns of a group, of which each dot product shall keep a multiple, by its output.
Steps = Callable[[np.ndarray], dict[str, tuple[int, int]]]


@dataclass(frozen=True)
class Side:
    """The distinct units of the rows (`axis` 0) or columns (1) of a dot product, and how many each is in one group."""

    name: str
    axis: int
    units: np.ndarray
    repeat: int


@dataclass(frozen=True)
class Ranking:
    """`order`: int64 units that may go, the one to go first in front. `sides`: of all dot products. `multiple`: what is left of
    rows and of columns is one of it where possible."""

    order: np.ndarray
    sides: tuple[Side, ...]
    multiple: int | Steps = 1

    def gone(self, count: int) -> np.ndarray:
        """The first `count` units, without those that stay so that layers have a multiple of rows and columns."""
        first = np.sort(self.order[:count])
        if self.multiple == 1:
            return first
        gone, place = set(first.tolist()), {u: i for i, u in enumerate(self.order.tolist())}
        steps = self.multiple(first) if callable(self.multiple) else {s.name: (self.multiple,) * 2 for s in self.sides}
        for _ in self.sides:  # a unit that comes back is in all of its layers
            before = len(gone)
            for side in self.sides:
                mine = sorted((u for u in side.units.tolist() if u in gone), key=place.__getitem__)
                multiple = steps[side.name][side.axis]
                step = multiple // math.gcd(multiple, side.repeat)
                left = len(side.units) - len(mine)
                back = min(-left % step, len(mine))
                gone.difference_update(mine[len(mine) - back :])
            if len(gone) == before:
                break
        return np.array(sorted(gone), np.int64)


def ranking(
    units: Units, worth: dict[int, float], scope: str, most: float, multiple: int | Steps, trial: Trial | None
) -> Ranking:
    """`worth` by unit; the least goes first, `most` of a layer's units at most. `trial`: for scope sensitivity."""
    sides = _sides(units)
    layers = tuple({s.units.tobytes(): s.units for s in sides if s.axis == 0}.values())
    ordered = sorted(worth, key=lambda u: (worth[u], u))
    stay = _kept_anyway(layers, ordered, most)
    ordered = [u for u in ordered if u not in stay]
    if scope != "global":
        home: dict[int, int] = {}
        for i, layer in enumerate(layers):
            for unit in layer.tolist():
                home.setdefault(unit, i)
        groups: dict[int, list[int]] = {}
        for unit in ordered:
            groups.setdefault(home[unit], []).append(unit)
        key: dict[int, float] = {}
        for i, group in groups.items():
            if scope == "layer":
                key |= {u: (rank + 1) / len(layers[i]) for rank, u in enumerate(group)}
            else:
                key |= _sensitivity(group, trial)
        ordered.sort(key=key.__getitem__)  # stable: those of a layer keep their order
    return Ranking(np.array(ordered, np.int64), sides, multiple)


def _sides(units: Units) -> tuple[Side, ...]:
    found = []
    for axis, sides in enumerate((units.rows, units.columns)):
        for name, mine in sides.items():
            node = units.graph.producer(name)
            apart = (
                units.graph.tensors[node.inputs[1]].shape[1] == 1
            )  # depthwise: its channels are no columns of one another
            groups = 1 if apart else getattr(node.attrs, "groups", 1)
            distinct, counts = np.unique(mine, return_counts=True)
            found.append(Side(name, axis, distinct, max(1, int(counts.min()) // groups)))
    return tuple(found)


def _kept_anyway(layers: tuple[np.ndarray, ...], ordered: list[int], most: float) -> set[int]:
    """Units that are the best of a layer, which keeps 1 - `most` of them."""
    place = {u: i for i, u in enumerate(ordered)}
    stay: set[int] = set()
    for layer in layers:
        by_worth = sorted(layer.tolist(), key=lambda u: place.get(u, len(ordered)))
        stay.update(by_worth[math.floor(most * len(by_worth)) :])
    return stay


def _sensitivity(group: list[int], trial: Trial) -> dict[int, float]:
    """Error per cost saved of each unit of a layer, in their order never less than that of one before it."""
    error, cost = trial(np.array([], np.int64))
    key, done, least = {}, 0, 0.0
    for fraction in (*_FRACTIONS, 1.0):
        count = max(1, round(fraction * len(group)))
        if count <= done:
            continue
        now, left = trial(np.array(group[:count], np.int64))
        if left >= cost:  # a model of steps: what saves nothing yet goes with those that follow
            continue
        least = max(least, (now - error) / (cost - left))
        key |= dict.fromkeys(group[done:count], least)
        error, cost, done = now, left, count
    return key | dict.fromkeys(group[done:], math.inf)
