"""What a network of dot products would take of hardware before it is lowered: folds, cycles between frames, LUTs.

The folds are those of hwcomp.plan.folding; that streams in between widen, wait or convert is left out, and so is what is not a
dot product but for its share of the logic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwcomp.plan import folding
from hwcomp.plan.folding import DEPTHWISE, Fold, Folds
from hwcomp.plan.skips import Used

DEFAULT_LANES = 64
# LUTs of Yosys `synth_xilinx` on int8 designs, memories included: of a multiply-accumulate lane, of an engine of dot products, of another
# engine, per bit of what is kept in FIFOs and window buffers. Within a fifth of the designs of docs/few-bits.md.
LANE, ENGINE, OTHER, BIT = 45.0, 100.0, 60.0, 1 / 64


@dataclass(frozen=True)
class Dot:
    """A layer: `outputs` and `channels` of one of `sets` groups, kernel positions, output pixels, (padded) input pixels and
    elements that windows keep. A dense layer on one vector has one pixel. `used`: which weights are not zero, where some are."""

    outputs: int
    channels: int
    taps: int = 1
    sets: int = 1
    pixels: int = 1
    arriving: int = 1
    buffered: int = 0
    used: Used | None = None

    @property
    def folds(self) -> Folds:
        if self.pixels == self.arriving == 1:
            return folding.dense_folds(self.outputs, self.channels, self.used)
        frame = (self.taps, self.pixels, self.arriving, self.buffered)
        if self.channels == 1 and self.sets > 1:
            return folding.channel_folds(DEPTHWISE, self.sets, self.outputs, *frame)
        taps, *rest = frame
        return folding.conv_folds(self.outputs, taps, self.channels, *rest, self.sets, self.used)


def folded(dots: Iterable[Dot], budget: int | None = None) -> tuple[Fold, ...]:
    """The folds with the shortest interval whose lanes fit `budget` (default 64, or one per layer if more)."""
    folds = [d.folds for d in dots]
    budget = max(DEFAULT_LANES, len(folds)) if budget is None else budget
    low, high = 1, max((f.frontier[0].beats for f in folds), default=1)
    while low < high:
        middle = (low + high) // 2
        lanes = sum(f.fewest_lanes(middle).lanes for f in folds)
        fits = lanes <= budget and all(f.frontier[-1].beats <= middle for f in folds)
        low, high = (low, middle) if fits else (middle + 1, high)
    return tuple(f.fewest_lanes(high) for f in folds)


def cycles(dots: Iterable[Dot], budget: int | None = None) -> int:
    """Cycles between frames."""
    return max((f.beats for f in folded(dots, budget)), default=0)


def at_least(dots: Iterable[Dot], interval: int) -> tuple[Fold, ...]:
    """The folds with the fewest lanes that keep an interval."""
    return tuple(d.folds.fewest_lanes(interval) for d in dots)


def at_most(dots: Iterable[Dot], lanes: Iterable[int]) -> tuple[int, ...]:
    """The fewest beats of each with so many lanes."""
    pairs = zip(dots, lanes, strict=True)
    return tuple(min(f.beats for f in dot.folds.frontier if f.lanes <= most) for dot, most in pairs)


def choosing(folds: Iterable[Fold], bits: int) -> int:
    """LUTs of the multiplexers in front of lanes that choose among channels of so many bits."""
    return sum(f.muxes * f.select.luts(bits) for f in folds if f.select)


def luts(lanes: int, engines: int, others: int, bits: int, logic: int = 0) -> int:
    """`others`: engines that are no dot products. `bits`: of FIFOs and window buffers. `logic`: LUTs of multiplexers and tables."""
    return round(LANE * lanes + ENGINE * engines + OTHER * others + BIT * bits) + logic
