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


@dataclass(frozen=True)
class Ranking:
    """`order`: int64 units that may go, the one to go first in front. `sides`: the distinct units of the rows, and of the
    columns, of each dot product, each set once. `multiple`: what is left of rows and of columns is one of it where possible;
    `repeats` [sides]: rows or columns of a unit in one group.
    """

    order: np.ndarray
    sides: tuple[np.ndarray, ...]
    repeats: tuple[int, ...]
    multiple: int = 1

    def gone(self, count: int) -> np.ndarray:
        """The first `count` units, without those that stay so that layers have a multiple of rows and columns."""
        gone = set(self.order[:count].tolist())
        if self.multiple > 1:
            place = {u: i for i, u in enumerate(self.order.tolist())}
            for _ in self.sides:  # a unit that comes back is in all of its layers
                before = len(gone)
                for units, repeat in zip(self.sides, self.repeats, strict=True):
                    mine = sorted((u for u in units.tolist() if u in gone), key=place.__getitem__)
                    step = self.multiple // math.gcd(self.multiple, repeat)
                    left = len(units) - len(mine)
                    back = min(-left % step, len(mine))
                    gone.difference_update(mine[len(mine) - back :])
                if len(gone) == before:
                    break
        return np.array(sorted(gone), np.int64)


def ranking(
    units: Units, worth: dict[int, float], scope: str, most: float, multiple: int, trial: Trial | None
) -> Ranking:
    """`worth` by unit; the least goes first, `most` of a layer's units at most. `trial`: for scope sensitivity."""
    layers = tuple(d for d, _ in _sides(units, units.rows))
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
    sides = [*_sides(units, units.rows), *_sides(units, units.columns)] if multiple > 1 else []
    return Ranking(np.array(ordered, np.int64), tuple(d for d, _ in sides), tuple(c for _, c in sides), multiple)


def _sides(units: Units, sides: dict[str, np.ndarray]) -> list[tuple[np.ndarray, int]]:
    """Of rows or columns by dot product: the distinct units, and how many each is in a group; each set once."""
    found: dict[bytes, tuple[np.ndarray, int]] = {}
    for name, mine in sides.items():
        node = units.graph.producer(name)
        apart = (
            units.graph.tensors[node.inputs[1]].shape[1] == 1
        )  # depthwise: its channels are no columns of one another
        groups = 1 if apart else getattr(node.attrs, "groups", 1)
        distinct, counts = np.unique(mine, return_counts=True)
        found.setdefault(distinct.tobytes(), (distinct, max(1, int(counts.min()) // groups)))
    return list(found.values())


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
        saved = max(cost - left, 1e-30)
        least = max(least, (now - error) / saved)
        key |= dict.fromkeys(group[done:count], least)
        error, cost, done = now, left, count
    return key
