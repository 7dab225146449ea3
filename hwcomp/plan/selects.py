"""N:M patterns: weights of which at most N of every M channels are not zero, so that a beat may bring M for every N multipliers.

Read from the integer weights alone, as hwcomp.plan.skips does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, comb, gcd

import numpy as np

from hwcomp.plan.skips import Used

SIZES = (2, 4, 8, 16)
"""M: channels of which some are chosen."""
MOST = 3 / 4
"""N / M at most: what is left out must be worth the multiplexers."""
_SHARES = (64, 32, 16, 8, 4, 2, 1)


@dataclass(frozen=True)
class Select:
    """`n` of every `m` channels of a tap are multiplied; `share` outputs that follow one another choose the same."""

    n: int
    m: int
    share: int

    @property
    def ways(self) -> int:
        """Inputs of a multiplexer: the channels chosen stay in order."""
        return self.m - self.n + 1

    @property
    def bits(self) -> int:
        """Of an index."""
        return (self.ways - 1).bit_length()

    def of(self, pe: int, outputs: int) -> Select:
        """For `pe` of `outputs` at a time: groups that do not follow the pattern have less in common."""
        whole = pe % self.share == 0 or pe >= outputs
        return replace(self, share=min(pe, self.share if whole else gcd(pe, self.share)))

    def luts(self, bits: int) -> int:
        """Of a multiplexer for `bits` bits: a tree of those with four inputs, of a LUT each."""
        return bits * ceil((self.ways - 1) / 3)


@lru_cache(maxsize=256)
def selects(used: Used) -> tuple[Select, ...]:
    """Patterns that the weights follow, the more they leave out the later."""
    found: list[Select] = []
    for m in SIZES:
        n = max(_most(used, m, 1), 1)
        if n <= MOST * m and all(n * s.m < s.n * m for s in found):
            share = next(s for s in _SHARES if s == 1 or (s <= used.shape[1] and _most(used, m, s) <= n))
            found.append(Select(n, m, share))
    return tuple(found)


def _most(used: Used, m: int, share: int) -> int:
    """How many of `m` channels any `share` outputs use at most."""
    sets, outputs, taps, channels = used.shape
    if channels < m:
        return m
    full = np.zeros((sets, ceil(outputs / share) * share, taps, ceil(channels / m) * m), bool)
    full[:, :outputs, :, :channels] = used.array()
    either = full.reshape(sets, -1, share, taps, full.shape[3]).any(axis=2)
    return int(either.reshape(*either.shape[:3], -1, m).sum(axis=-1).max())


def pattern(density: float) -> float:
    """Beats, relative to all, of weights that follow a pattern of so many."""
    found = [ceil(round(density * m, 6)) / m for m in SIZES]
    return min((f for f in found if f <= MOST), default=1.0)


def scattered(density: float, weights: int) -> float:
    """Beats, relative to all, of so many weights of which each is not zero by chance: in every other such layer no M channels have
    more than N."""
    best = 1.0
    for m in SIZES:
        within, n = 0.0, -1
        while within ** (weights / m) < 1 / 2 and n < m:
            n += 1
            within += comb(m, n) * density**n * (1 - density) ** (m - n)
        best = min(best, max(n, 1) / m if n <= MOST * m else 1.0)
    return best


def packed(words: np.ndarray, pe: int, select: Select) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the channels read, [words, pe * lanes read], as (those of the channels chosen [words, pe * lanes], indices of
    hwc_select [words, selections * lanes])."""
    n, m, share = select.n, select.m, select.share
    given = words.reshape(len(words), pe, -1, m)
    wanted = np.zeros((len(words), ceil(pe / share) * share, *given.shape[2:]), bool)
    wanted[:, :pe] = given != 0
    wanted = wanted.reshape(len(words), -1, share, *given.shape[2:]).any(axis=2)
    first = np.argsort(~wanted, axis=3, kind="stable")[..., :n]  # those used, filled up with others
    chosen = np.sort(first, axis=3)
    weights = np.take_along_axis(given, np.repeat(chosen, share, axis=1)[:, :pe], axis=3)
    return weights.reshape(len(words), -1), (chosen - np.arange(n)).reshape(len(words), -1)
