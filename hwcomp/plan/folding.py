"""Folding: how many multiply-accumulate lanes every dot-product engine gets, for the shortest interval in a budget.

An engine has PE x SIMD lanes: PE outputs at a time from SIMD inputs per beat. A convolution's SIMD is taps x channels.
Lane counts need not divide the channels; the last group is then partly idle (docs/hardware.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Fold:
    """PE outputs, `taps` kernel positions and `simd` channels at a time. `memory`: relative cost of the window buffers."""

    pe: int
    taps: int
    simd: int
    groups: int
    chunks: int
    beats: int
    memory: int

    @property
    def lanes(self) -> int:
        return self.pe * self.taps * self.simd


def group_sizes(n: int) -> list[int]:
    """Every distinct ceil(n / k): the group sizes worth trying."""
    return sorted({ceil(n / k) for k in range(1, n + 1)})


def conv_folds(outputs: int, taps: int, channels: int, pixels: int) -> list[Fold]:
    """All folds of a convolution that no other beats in both lanes and beats; of equals the one with least memory."""
    folds = []
    for t in group_sizes(taps):
        for s in group_sizes(channels):
            chunks = ceil(taps / t) * ceil(channels / s)
            for pe in group_sizes(outputs):
                groups = ceil(outputs / pe)
                # t copies of a buffer of whole pixels, rounded up to words of s channels
                folds.append(Fold(pe, t, s, groups, chunks, pixels * groups * chunks, t * s * ceil(channels / s)))
    return _frontier(folds)


def dense_folds(outputs: int, slots: int) -> list[Fold]:
    """All useful folds of a dense layer over `slots` input slots. Memory is the input vector, whatever the fold."""
    folds = []
    for s in group_sizes(slots):
        chunks = ceil(slots / s)
        for pe in group_sizes(outputs):
            groups = ceil(outputs / pe)
            folds.append(Fold(pe, 1, s, groups, chunks, groups * chunks, s * chunks))
    return _frontier(folds)


def _frontier(folds: list[Fold]) -> list[Fold]:
    """Sorted by lanes; fewer beats with every step."""
    best: list[Fold] = []
    for fold in sorted(folds, key=lambda f: (f.lanes, f.beats, f.memory, f.pe)):
        if not best or fold.beats < best[-1].beats:
            best.append(fold)
    return best


def cheapest(folds: list[Fold], beats: int) -> Fold | None:
    """The fold with the fewest lanes that needs at most `beats`; None where even all lanes take longer."""
    return next((f for f in folds if f.beats <= beats), None)
