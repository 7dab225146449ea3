"""The staircase proof: the integer requantize and the source's float formula, compared over all accumulators.

Both are monotone in the accumulator with at most 2^n - 1 steps. Bisecting every step of both functions gives the exact
set of accumulators on which they differ, however large the accumulator's range. Source: docs/numerics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.lower import bounds
from hwcomp.lower.requant import Requant

# Steps that are looked at: over all channels of a layer, and per channel at least (all steps of 8-bit outputs).
_STEPS, _ALL_STEPS = 1 << 17, 256
NAMED = 1024  # runs of accumulators, and pairs of inputs, that a proof names


@dataclass(frozen=True)
class Proof:
    """`differing` of `accumulators` (summed over channels) give another integer than the float formula, by at most `worst`.

    `precision`: bits that the multipliers were rounded to, before common powers of two were divided out.
    `steps`: how many steps of the staircase were looked at per channel where that is not all (16-bit outputs of large
    layers); `differing` counts what was found there. `named`: (channel, first, last) of the accumulators that
    differ, the first 1024 such runs. `close`, `pairs`: of a sum, how many pairs of inputs lie within float32 noise of a tie,
    where a float32 sum may round the other way, and the first 1024 of them.
    """

    kernel: str
    form: str
    acc_bits: int
    multiplier_bits: int
    accumulators: int
    differing: int
    channels: int
    folded: int
    worst: int = 0
    precision: int = 31
    steps: int | None = None
    named: tuple[tuple[int, int, int], ...] = ()
    close: int = 0
    pairs: tuple[tuple[int, int], ...] = ()

    def line(self) -> str:
        if self.form == "table":
            return f"{self.kernel}: table of the float formula's results for {self.accumulators:,} inputs"
        equal = "equal to the float formula on every accumulator"
        if self.steps is not None:
            equal = f"equal to the float formula around {self.steps:,} steps per channel (not all were looked at)"
        some = f"differs from the float formula on {self.differing:,} of {self.accumulators:,} accumulators, by {self.worst} at most"
        short = "" if self.precision >= 24 else f" (rounded to {self.precision}, fewer than 24: less exact)"
        folded = f", {self.folded} constant channels" if self.folded else ""
        ties = f"; {self.close:,} pairs of inputs lie within float32 noise of a tie" if self.close else ""
        return (
            f"{self.kernel}: accumulator {self.acc_bits} bits, {self.form}, multiplier {self.multiplier_bits} bits{short}, "
            f"{self.channels} channels{folded}: {some if self.differing else equal}{ties}"
        )


def summary(proofs: Sequence[Proof]) -> str:
    """The outcome for a whole network, in one line."""
    differing, total = sum(p.differing for p in proofs), sum(p.accumulators for p in proofs)
    partly = sum(p.steps is not None for p in proofs)
    part = f"; of {partly} layer{'s' * (partly != 1)} only a part was looked at" if partly else ""
    close = sum(p.close for p in proofs)
    part += f"; {close:,} pairs of inputs of sums lie within float32 noise of a tie" if close else ""
    if not differing and partly:
        return f"none of {total:,} accumulators was found to differ from the float formula{part}"
    if not differing:
        return f"all {total:,} accumulators give what the float formula gives{part}"
    worst = max(p.worst for p in proofs)
    return f"{differing:,} of {total:,} accumulators differ from the float formula, by {worst} at most{part}"


def float_formula(
    scale: np.ndarray, zero: int, lo: int, hi: int, fraction: np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """clip(rint(f32(a) * S_c) + zero), as onnxruntime's QLinearConv computes it; a is int64 [channels, n].

    With biases that are no whole numbers of accumulator steps, by `fraction` (float64 [channels]), there is no such
    operator: clip(rint((a + fraction) * S_c) + zero), what the float operator of the model rounds.
    """
    s = scale.astype(np.float32)[:, None]

    def apply(a: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip(np.rint(a.astype(np.float32) * s).astype(np.float64) + zero, lo, hi).astype(np.int64)

    def between(a: np.ndarray) -> np.ndarray:
        return np.clip(np.rint((a + fraction[:, None]) * s.astype(np.float64)) + zero, lo, hi).astype(np.int64)

    return apply if fraction is None or not fraction.any() else between


def prove(
    kernel: str,
    rq: Requant,
    scale: np.ndarray,
    fraction: np.ndarray,
    live: np.ndarray,
    reach: bounds.Bounds,
    acc_bits: int,
) -> Proof:
    """Compare a dot product's requantize with the float formula on every accumulator that its inputs can give.

    `reach`: bounds before channels that are not `live` were folded into constants, which is exact.
    """
    count, worst, steps, named = 0, 0, None, ()
    if live.any():
        offset = rq.offset if rq.offset is None or rq.offset.size == 1 else rq.offset[live]
        part = replace(rq, multiplier=rq.multiplier[live], offset=offset)
        formula = float_formula(scale[live], rq.zero, rq.lo, rq.hi, fraction[live])
        count, worst, steps = compare(part, formula, reach.final_lo[live], reach.final_hi[live])
        if count:
            found = where(part, formula, reach.final_lo[live], reach.final_hi[live])
            named = tuple((int(np.flatnonzero(live)[c]), a, b) for c, a, b in found[:NAMED])
    total = int((reach.final_hi - reach.final_lo + 1).sum())
    bits = int(rq.multiplier.max()).bit_length()
    return Proof(
        kernel, rq.form, acc_bits, bits, total, count, len(live), int((~live).sum()), worst, rq.bits, steps, named
    )


def compare(
    rq: Requant, formula: Callable[[np.ndarray], np.ndarray], lo: np.ndarray, hi: np.ndarray
) -> tuple[int, int, int | None]:
    """How many accumulators in [lo_c, hi_c] (int64 [channels]), over all channels, the two functions map differently, the
    largest difference, and how many steps were looked at where these, and the accumulators, are more than _STEPS in all
    (None: all).

    They differ exactly on the union, over the levels k, of the accumulators between the two places where a function
    first reaches k. Both places grow with k, so each interval adds what lies beyond the end of the one before. The
    largest difference is at one of these places.
    """
    if rq.hi <= rq.lo:
        return 0, 0, None
    begin, start, end, looked_at = _disagreements(rq, formula, lo, hi)
    count = int((end - start).sum())
    if not count:
        return 0, 0, looked_at
    places = np.minimum(begin, hi[:, None])
    return count, int(np.abs(rq.apply(places) - formula(places)).max()), looked_at


def counts(rq: Requant, formula: Callable[[np.ndarray], np.ndarray], lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """How many accumulators the two functions map differently: int64 [channels]."""
    _, start, end, _ = _disagreements(rq, formula, lo, hi)
    return (end - start).sum(axis=1)


def where(
    rq: Requant, formula: Callable[[np.ndarray], np.ndarray], lo: np.ndarray, hi: np.ndarray
) -> list[tuple[int, int, int]]:
    """(channel, first, last) of every run of accumulators that the two functions map differently."""
    _, start, end, _ = _disagreements(rq, formula, lo, hi)
    return [(int(c), int(start[c, k]), int(end[c, k]) - 1) for c, k in np.argwhere(end > start)]


def runs(differing: np.ndarray, first: int) -> tuple[tuple[int, int, int], ...]:
    """(channel, first, last) of runs of set columns of bool [channels, n], the first NAMED; column 0 is accumulator `first`."""
    edges = np.diff(np.pad(differing, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begin, end = np.argwhere(edges > 0), np.argwhere(edges < 0)
    steps = zip(begin, end, strict=True)
    return tuple((int(c), first + int(a), first + int(b) - 1) for (c, a), (_, b) in steps)[:NAMED]


def _disagreements(
    rq: Requant, formula: Callable[[np.ndarray], np.ndarray], lo: np.ndarray, hi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int | None]:
    """Per channel and level (begin, start, end): begin..end-1 differ, start..end-1 of them at no lower level; and how many
    levels were looked at. More levels than room, but few accumulators (20-bit outputs of binary layers): these one by one.
    """
    total, room = rq.hi - rq.lo, max(_STEPS // len(lo), _ALL_STEPS)
    if (hi - lo).max() < room < total:
        each = lo[:, None] + np.arange((hi - lo).max() + 1)
        a = np.minimum(each, hi[:, None])
        return each, each, each + ((rq.apply(a) != formula(a)) & (each <= hi[:, None])), None
    levels = np.arange(rq.lo + 1, rq.hi + 1)[None, :]
    if total > room:
        levels = np.unique(np.linspace(rq.lo + 1, rq.hi, room).astype(np.int64))[None, :]
    looked_at = None if levels.size == total else levels.size
    mine = first_at(rq.apply, levels, lo, hi)
    theirs = first_at(formula, levels, lo, hi)
    begin, end = np.minimum(mine, theirs), np.maximum(mine, theirs)
    start = np.maximum(begin, np.concatenate([begin[:, :1], end[:, :-1]], axis=1))
    return begin, start, np.maximum(start, end), looked_at


def first_at(f: Callable[[np.ndarray], np.ndarray], levels: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Least a in [lo_c, hi_c + 1] with f(a) >= level, int64 [channels, levels]; hi_c + 1 where there is none."""
    low = np.repeat(lo[:, None], levels.size, axis=1)
    high = np.repeat(hi[:, None] + 1, levels.size, axis=1)
    while (low < high).any():
        middle = (low + high) >> 1
        reached = f(middle) >= levels
        high = np.where(reached, middle, high)
        low = np.where(reached, low, np.minimum(middle + 1, high))
    return low
