"""Zeros for a fraction of what a target takes: units go in one order over all layers until so much is saved.

What a target has no use for stays: a layer whose zeros save nothing there gets none.
"""

from __future__ import annotations

import math

import numpy as np

from hwcomp.errors import WorkFailed, shown
from hwcomp.passes._costs import COSTS, HARDWARE, at_most
from hwcomp.passes.base import ZeroCost

WORDS = {n: w for n, w in (COSTS | HARDWARE).items() if n not in ("macs", "parameters")}
"""What a target takes, by name."""
Masks = dict[str, np.ndarray]


class Budget:
    """`cost` of a network, of which `kept` is left; `names` of its layers for people, `what` goes."""

    def __init__(self, cost: ZeroCost, of: str, kept: Masks, names: dict[str, str], what: str):
        self._cost, self._of, self._kept, self._names, self._what = cost, of, kept, names, what
        self.idle: dict[str, str] = {}
        """Layers that stay as they are, and why."""

    def saved(self, name: str, mask: np.ndarray) -> float:
        """Of one layer alone, with this mask in place of that which is left."""
        return self._cost.layer(name, self._kept[name]) - self._cost.layer(name, mask & self._kept[name])

    def pays(self, name: str, mask: np.ndarray) -> bool:
        if self.saved(name, mask) > 0:
            return True
        self.idle[name] = self._cost.why(name, mask & self._kept[name])
        return False

    def within(self, units: Masks, keys: dict[str, np.ndarray], worth: dict[str, np.ndarray], amount: float) -> Masks:
        """What stays where the least `amount` of the cost goes. WorkFailed where that is out of reach.

        `units`: the number of each weight's unit. By layer and unit, `keys`: what goes first has the least, infinite stays; `worth`:
        which goes first of those with the same key.
        """
        every = np.concatenate([np.empty(0), *keys.values()])
        rank = [np.argsort(np.argsort(worth[n], kind="stable"), kind="stable") / len(k) for n, k in keys.items()]
        order = np.lexsort((np.concatenate([np.empty(0), *rank]), every))[: int(np.isfinite(every).sum())]
        starts = np.cumsum([0, *(len(k) for k in keys.values())])

        def cut(count: int) -> Masks:
            """Of the layers that lose some."""
            gone = np.zeros(len(every), bool)
            gone[order[:count]] = True
            parts = {n: gone[a:b] for n, a, b in zip(keys, starts, starts[1:], strict=False)}
            return {n: self._kept[n] & ~part[units[n]] for n, part in parts.items() if part.any()}

        def left(count: int) -> Masks:
            return self._kept | {n: mask for n, mask in cut(count).items() if self.saved(n, mask) > 0}

        whole = self._cost.total(self._kept)
        low, high, budget = 0, len(order), (1 - amount) * whole
        if (least := self._cost.total(left(high))) > budget:
            raise self._out_of_reach(amount, 1 - least / whole)
        while high - low > max(1, len(order) // 2000):
            middle = (low + high) // 2
            low, high = (low, middle) if self._cost.total(left(middle)) <= budget else (middle, high)
        return self._kept | {n: mask for n, mask in cut(high).items() if self.pays(n, mask)}

    def text(self, masks: Masks) -> str:
        """What stays of the cost, for the report."""
        return f"{self._cost.total(masks):,.0f} of {self._cost.total({}):,.0f} {WORDS[self._of]}"

    def nothing(self) -> WorkFailed:
        """The error where no layer's zeros save anything."""
        return WorkFailed(f"{self._what} saves none of the {WORDS[self._of]}", why=self._reasons(), fix=self._fix())

    def _out_of_reach(self, amount: float, most: float) -> WorkFailed:
        if most < 0.001:
            return self.nothing()
        why = at_most(most)
        if self.idle:
            why += f"; {self._reasons()}"
        fix = f"give {math.floor(most * 1000) / 1000:g} or less{f', or {self._fix()}' if self.idle else ''}"
        return WorkFailed(f"{self._what} can't save {100 * amount:g}% of the {WORDS[self._of]}", why=why, fix=fix)

    def _reasons(self) -> str:
        """Of the layer that takes most."""
        if not self.idle:
            return "no dot product has such units"
        name = max(self.idle, key=lambda n: self._cost.layer(n, self._kept[n]))
        others = f", and {len(self.idle) - 1} more" if len(self.idle) > 1 else ""
        return f"nothing is saved in '{shown(self._names[name])}'{others}: {self.idle[name]}"

    def _fix(self) -> str:
        patterns = "--prune block, or nm with --pass sparsify.shared=4," if self._of in COSTS else "--prune block or nm"
        return f"take {patterns} or filters with the pass prune"
