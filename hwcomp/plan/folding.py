"""Folding: how many multiply-accumulate lanes every dot-product engine gets, for the shortest interval in a budget.

An engine has PE x SIMD lanes: PE outputs at a time from SIMD inputs per beat. A convolution's SIMD is taps x channels.
Where weights follow an N:M pattern a beat brings M channels for every N lanes, which choose (hwcomp.plan.selects).
Lane counts need not divide the channels; the last group is then partly idle (docs/hardware.md). The groups of a grouped
convolution follow one another in one engine; a depthwise engine has several of them side by side.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

from hwcomp.plan.selects import Select, selects
from hwcomp.plan.skips import LEAST, Used, beats

_MEMORY_BIT = 1 / 32  # LUT equivalents of a bit of window memory in distributed RAM


@dataclass(frozen=True)
class Parts:
    """Rough LUT equivalents that rank folds with about the same lanes: a lane, a sum with its bias and serializer, the
    control of a window buffer; `bits` of an element that is kept."""

    lane: float = 60.0
    sum: float = 60.0
    window: float = 0.0
    bits: int = 8


DENSE, DEPTHWISE, SUM = "dense", "depthwise", "sum"
STEPS = 5
"""Of hwc_popcount: five fill the LUT6 in front of a carry chain at the least cost per bit."""


@dataclass(frozen=True)
class Fold:
    """PE outputs, `taps` kernel positions and `simd` channels at a time; `groups` x `chunks` beats per output pixel.

    `kind`: dense (every output reads all lanes), depthwise (every channel lane has a sum of its own; pe is 1), or sum (as
    depthwise, without multipliers). `sets`: parts of a pixel that are read one by one, each for groups / sets groups.
    `unrolled`: the weights are wired in, and no lanes of the budget. `steps`: of hwc_popcount at most, where bits are counted.
    `kept`: where beats of zero weights are left out, those of each group. `select`: where channels of zero weights are; more
    are read at a time then.
    """

    pe: int
    taps: int
    simd: int
    groups: int
    chunks: int
    beats: int
    kind: str = DENSE
    sets: int = 1
    unrolled: bool = False
    steps: int = STEPS
    kept: tuple[int, ...] = ()
    select: Select | None = None

    @property
    def per_pixel(self) -> int:
        """Beats for all outputs of a pixel."""
        return sum(self.kept) or self.groups * self.chunks

    @property
    def lanes(self) -> int:
        """Multiply-accumulate lanes; adders alone count in the window sums that have no others."""
        return self.pe * self.taps * self.simd

    @property
    def dot(self) -> int:
        """Lanes that one sum adds up."""
        return self.taps * self.simd if self.kind == DENSE else self.taps

    @property
    def read(self) -> int:
        """Channels that a beat brings of a tap."""
        return self.simd * self.select.m // self.select.n if self.select else self.simd

    @property
    def muxes(self) -> int:
        """Multiplexers in front of the lanes."""
        return ceil(self.pe / self.select.share) * self.dot if self.select else 0

    @property
    def sums(self) -> int:
        """Accumulators: they leave the engine together."""
        return self.pe if self.kind == DENSE else self.simd

    @property
    def repeat(self) -> int:
        """How often each set is read."""
        return self.groups // self.sets


@dataclass(frozen=True)
class Folds:
    """All folds of one engine. `frontier`: those that no other beats in both lanes and beats, by falling beats.

    `buffered`: elements of the window buffer, of which every tap read at a time needs a copy.
    """

    all: tuple[Fold, ...]
    frontier: tuple[Fold, ...]
    buffered: int
    parts: Parts = Parts()

    def fewest_lanes(self, beats: int) -> Fold:
        """The fold with the fewest lanes that needs at most `beats`; the fastest where none does."""
        index = bisect_left([-f.beats for f in self.frontier], -beats)
        return self.frontier[min(index, len(self.frontier) - 1)]

    def smallest(self, beats: int, lanes: int) -> Fold:
        """The fold with the least hardware that needs at most `beats` and `lanes`."""
        fitting = (f for f in self.all if f.beats <= beats and f.lanes <= lanes)
        return min(fitting, key=lambda f: (self.area(f), f.lanes, f.sums), default=self.fewest_lanes(beats))

    def area(self, fold: Fold) -> float:
        parts = self.parts
        area = fold.lanes * parts.lane + fold.sums * parts.sum + _mux_area(fold, parts.bits)
        if fold.taps == fold.chunks == 1 and parts.window:
            return area  # a word that is repeated waits where it is
        return area + parts.window + fold.taps * self.buffered * parts.bits * _MEMORY_BIT


def whole(folds: Folds, size: int) -> Folds:
    """Those whose sums add up whole vectors of `size` lanes; all where none does."""
    fit = tuple(f for f in folds.all if f.kind == DENSE and f.select is None and f.dot % size == 0)
    return replace(folds, all=fit, frontier=_frontier(list(fit))) if fit else folds


@lru_cache(maxsize=4096)
def group_sizes(n: int) -> tuple[int, ...]:
    """Every distinct ceil(n / k): the group sizes worth trying."""
    return tuple(sorted({ceil(n / k) for k in range(1, n + 1)}))


@lru_cache(maxsize=256)
def conv_folds(
    outputs: int, taps: int, channels: int, pixels: int, arriving: int, buffered: int, sets: int = 1,
    used: Used | None = None,
) -> Folds:  # fmt: skip
    """Folds of a convolution with `pixels` output pixels and `arriving` (padded) input pixels, whose words take a beat
    each; `buffered` elements of the input are kept for its windows. `outputs` and `channels` are those of one of `sets`
    groups. `used`: which weights are not zero, where beats may be left out."""
    folds = []
    for t in group_sizes(taps):
        for simd, read, select in _widths(used, channels):
            chunks = ceil(taps / t) * ceil(channels / read)
            for pe, kept in _kept(used, outputs, t, read, taps):
                groups = sets * ceil(outputs / pe)
                each = sum(kept) or groups * chunks
                beats = max(pixels * each, arriving * sets * ceil(channels / read))
                some = select and select.of(pe, outputs)
                folds.append(Fold(pe, t, simd, groups, chunks, beats, DENSE, sets, kept=kept, select=some))
    return Folds(tuple(folds), _frontier(folds), buffered)


@lru_cache(maxsize=256)
def channel_folds(kind: str, channels: int, repeat: int, taps: int, pixels: int, arriving: int, buffered: int) -> Folds:
    """Folds of an engine that keeps channels apart, with `repeat` outputs for each. More than one only for lanes that
    divide the channels: all outputs of a word follow one another."""
    folds = []
    for simd in group_sizes(channels):
        if repeat > 1 and channels % simd:
            continue
        words = ceil(channels / simd)
        for t in group_sizes(taps):
            chunks = ceil(taps / t)
            beats = max(pixels * words * repeat * chunks, arriving * words)
            folds.append(Fold(1, t, simd, words * repeat, chunks, beats, kind, words))
    return Folds(tuple(folds), _frontier(folds), buffered)


@lru_cache(maxsize=256)
def best_of(*several: Folds) -> Folds:
    """All of them, for engines that can be built in several ways."""
    folds = [f for some in several for f in some.all]
    return Folds(tuple(folds), _frontier(folds), several[0].buffered)


@lru_cache(maxsize=256)
def dense_folds(outputs: int, slots: int, used: Used | None = None) -> Folds:
    """Folds of a dense layer over `slots` input slots."""
    folds = []
    for simd, read, select in _widths(used, slots):
        chunks = ceil(slots / read)
        for pe, kept in _kept(used, outputs, 1, read, 1):
            groups = ceil(outputs / pe)
            beats = max(sum(kept), chunks) if kept else groups * chunks
            folds.append(Fold(pe, 1, simd, groups, chunks, beats, kept=kept, select=select and select.of(pe, outputs)))
    return Folds(tuple(folds), _frontier(folds), slots)


def _widths(used: Used | None, channels: int) -> list[tuple[int, int, Select | None]]:
    """(channel lanes, channels read for them, how they are chosen) for all sizes of groups."""
    found: list[tuple[int, int, Select | None]] = [(s, s, None) for s in group_sizes(channels)]
    for select in selects(used) if used else ():
        found += [(g * select.n, g * select.m, select) for g in group_sizes(ceil(channels / select.m))]
    return found


def _kept(used: Used | None, outputs: int, taps: int, simd: int, all_taps: int) -> list[tuple[int, tuple[int, ...]]]:
    """(outputs at a time, beats of each group, or nothing where hardly a beat is left out) for all sizes of groups.

    All outputs at once of single pixels read every word once, in order: there is no buffer whose words could be left out.
    """
    sizes = group_sizes(outputs)
    if used is None:
        return [(pe, ()) for pe in sizes]
    found = []
    for pe, kept in zip(sizes, beats(used, taps, simd, sizes), strict=True):
        whole = len(kept) * ceil(used.shape[2] / taps) * ceil(used.shape[3] / simd)
        skips = (pe < outputs or all_taps > 1) and sum(kept) <= (1 - LEAST) * whole
        found.append((pe, kept if skips else ()))
    return found


def _spent(fold: Fold) -> float:
    """LUT equivalents of what folds with the same lanes differ in."""
    return fold.sums * Parts.sum + _mux_area(fold, Parts.bits)


def _mux_area(fold: Fold, bits: int) -> int:
    return fold.muxes * fold.select.luts(bits) if fold.select else 0


def _frontier(folds: list[Fold]) -> tuple[Fold, ...]:
    best: list[Fold] = []
    for fold in sorted(folds, key=lambda f: (f.lanes, f.beats, f.muxes > 0, f.taps, _spent(f), f.sums)):
        if not best or fold.beats < best[-1].beats:
            best.append(fold)
    return tuple(best)
