"""Multipliers and offsets near the nominal ones whose staircase is the float formula's, for models that state their types.

Where the formula first reaches level k, at the accumulator t_k, the affine form (a*M + C) >> s must reach it too:
k*2^s - t_k*M <= C < k*2^s - (t_k - 1)*M for every k. The room that a multiplier leaves for C is the least of linear
functions of M, so it is concave, and a ternary search finds the multiplier that leaves most. Source: docs/numerics.md,
"The staircase proof".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.lower import staircase
from hwcomp.lower.requant import Requant, trailing_zeros

_MOST_LEVELS = 1 << 10  # of outputs; staircases of 16-bit outputs are too long
_NEAR = 18  # multipliers within 2^-18 of the nominal one are tried: float32 is 2^-24 away from exact
_FAR = 1 << 62  # beyond every offset

Formula = Callable[[np.ndarray], np.ndarray]


def refine(
    rq: Requant, formula: Formula, lo: np.ndarray, hi: np.ndarray, fraction: np.ndarray, largest_shift: int
) -> Requant:
    """`rq`, or a record that differs from `formula` on fewer accumulators in [lo_c, hi_c] (int64 [channels]).

    `fraction` (float64 [channels], below 1): what a bias that is no whole number of accumulator steps adds to every
    accumulator; the offsets take it. One offset for all channels is kept where multipliers alone are enough: it is cheaper.
    """
    spare = min(rq.bits - int(rq.multiplier.max()).bit_length(), largest_shift - rq.shift)
    reach = np.maximum(np.abs(lo), np.abs(hi)).max()
    shift = rq.shift + max(spare, 0)
    multiplier = rq.multiplier << max(spare, 0)
    rounding = ((1 << (shift - 1)) if shift else 0) + (rq.zero << shift)
    offset = rounding + np.rint(fraction * multiplier).astype(np.int64)
    least, most = (int(v) for v in (multiplier.min(), multiplier.max()))
    limit = max(abs(rq.lo), abs(rq.hi)) + 1
    if least <= 0 or (limit << shift) + int(reach + 1) * (most + (most >> _NEAR) + 2) >= _FAR:
        return rq
    if fraction.any():
        rq = _reduced(replace(rq, form="affine", shift=shift, multiplier=multiplier, offset=offset))
    count, _, _ = staircase.compare(rq, formula, lo, hi)
    if not count or rq.hi - rq.lo > _MOST_LEVELS:
        return rq
    steps = _Steps.of(rq, formula, lo, hi, shift)

    def shared(m: np.ndarray) -> np.ndarray:
        low, high = steps.offsets(m)
        return np.minimum(high - offset, offset - low)

    def own(m: np.ndarray) -> np.ndarray:
        low, high = steps.offsets(m)
        return high - low

    width = np.maximum(multiplier >> _NEAR, 4)
    ends = np.maximum(multiplier - width, 1), np.minimum(multiplier + width, (1 << rq.bits) - 1)
    free = _largest(own, *ends)
    low, high = steps.offsets(free)
    tries = [
        (_largest(shared, *ends), offset),
        (multiplier, offset),
        (free, np.clip(offset, low, np.maximum(low, high))),
    ]
    wide = replace(rq, form="affine", shift=shift)
    wrong = [
        staircase.counts(replace(wide, multiplier=m, offset=np.broadcast_to(c, m.shape)), formula, lo, hi)
        for m, c in tries
    ]
    best = np.argmin(wrong, axis=0)
    m, c = (np.choose(best, [np.broadcast_to(t[i], best.shape) for t in tries]) for i in (0, 1))
    found = _reduced(replace(wide, multiplier=m, offset=c))
    return found if int(np.min(wrong, axis=0).sum()) < count else rq


@dataclass(frozen=True)
class _Steps:
    """`first` int64 [channels, levels]: where the formula reaches each level; `begun`, `ended`: at the first accumulator
    already, and not at the last one.
    """

    level: np.ndarray
    first: np.ndarray
    begun: np.ndarray
    ended: np.ndarray

    @classmethod
    def of(cls, rq: Requant, formula: Formula, lo: np.ndarray, hi: np.ndarray, shift: int) -> _Steps:
        levels = np.arange(rq.lo + 1, rq.hi + 1)[None, :]
        first = staircase.first_at(formula, levels, lo, hi)
        return cls(levels.astype(np.int64) << shift, first, first <= lo[:, None], first > hi[:, None])

    def offsets(self, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest offset [channels] that are right for the multipliers `m`; an empty range where none is."""
        up, column = self.level, m[:, None]
        low = np.where(self.ended, -_FAR, up - self.first * column).max(axis=1)
        high = np.where(self.begun, _FAR, up - (self.first - 1) * column - 1).min(axis=1)
        return low, high


def _largest(f: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Per channel the integer in [low, high] at which the concave `f` is largest."""
    low, high = low.copy(), high.copy()
    while (high - low > 2).any():
        third = (high - low) // 3
        a, b = low + third, high - third
        left = f(a) >= f(b)
        wide = high - low > 2
        high, low = np.where(wide & left, b, high), np.where(wide & ~left, a, low)
    tries = np.stack([np.minimum(low + i, high) for i in range(3)])
    values = np.stack([f(t) for t in tries])
    return tries[values.argmax(axis=0), np.arange(len(low))]


def _reduced(rq: Requant) -> Requant:
    """Without factors of two that all multipliers have; one offset where all are equal."""
    common = min(rq.shift, trailing_zeros(int(np.bitwise_or.reduce(rq.multiplier))))
    offset = rq.offset >> common  # what is cut off lies below every product
    offset = offset[:1] if (offset == offset[0]).all() else offset
    return replace(rq, shift=rq.shift - common, multiplier=rq.multiplier >> common, offset=offset)
