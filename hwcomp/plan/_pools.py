"""Engines of pools: maxima and averages over windows."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from hwcomp.plan import folding
from hwcomp.plan._windows import Frame
from hwcomp.plan.folding import SUM, Fold
from hwcomp.plan.stages import Stage
from hwcomp.plan.streams import Convert, Stream, divisors
from sw_ref.program import Kernel, Layout

if TYPE_CHECKING:
    from hwcomp.plan.dataflow import Sweep


def maxpool2d(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Separable, one beat per input beat; a dilated one reads its taps one by one from a window buffer."""
    frame, x = Frame.of(sweep.program, kernel), sweep.program.edges[kernel.inputs[0]]
    dilated = any(d > 1 and k > 1 for d, k in zip(frame.dilations, frame.kernel, strict=True))
    per_word = max(frame.arriving, frame.pixels * frame.taps) if dilated else frame.arriving

    def beats(lanes: int) -> int:
        return per_word * ceil(frame.channels / lanes)

    stream = sweep.stream(kernel)
    keep = stream.lanes if stream.channels == frame.channels else None
    lanes = sweep.lanes(sorted({*divisors(frame.channels), *([keep] if keep else [])}), beats, keep)
    source = sweep.source(kernel, 0, frame.channels, lanes, Layout.channels_last(x.shape))
    words = source.arrives.beats_per_pixel
    out = replace(source.arrives, pixels=frame.pixels)
    window = fold = None
    if dilated:
        fold = Fold(1, 1, lanes, words, frame.taps, beats(lanes), SUM, words)
        window = frame.window(fold, words)
    return Stage(index, beats(lanes), (source,), out, frame.pads, window, fold)


def avgpool2d(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Window sums; over the whole frame with one sum per channel instead of a window buffer."""
    frame = Frame.of(sweep.program, kernel)
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    layout, pixels = Layout.channels_last(x.shape), frame.pixels
    if whole_frame(frame):
        lanes = sweep.lanes(divisors(frame.channels), lambda n: frame.arriving * frame.channels // n)
        source = sweep.source(kernel, 0, frame.channels, lanes, layout)
        words = source.arrives.beats_per_pixel
        before = (frame.arriving - 1) * words  # the sums leave with the last pixel, while it waits
        limit = max(sweep.target or 0, before + words)
        narrow = next(d for d in divisors(lanes) if before + ceil(frame.channels / d) <= limit)
        beats = before + ceil(frame.channels / narrow)
        fold = window = None
    else:
        folds = folding.channel_folds(SUM, frame.channels, 1, frame.taps, pixels, frame.arriving, frame.buffered)
        fold = sweep.fold(folds, free=True)
        lanes, words, beats = fold.simd, fold.groups, fold.beats
        source = sweep.source(kernel, 0, frame.channels, lanes, layout)
        window = frame.window(fold, words)
        limit = max(sweep.target or 0, beats)
        narrow = next(d for d in divisors(lanes) if pixels * words * (lanes // d) <= limit)
    out = Stream(narrow, frame.channels, pixels, y.bits, y.signed)
    steps = lanes // narrow
    last = ceil(frame.channels / narrow) - (words - 1) * steps
    serialize = None if steps == 1 else Convert(lanes, narrow, 1, steps, words, 1, last)
    return Stage(index, beats, (source,), out, frame.pads, window, fold, serialize)


def whole_frame(frame: Frame) -> bool:
    """One window that is the whole padded map."""
    return frame.kernel == (frame.rows, frame.cols)
