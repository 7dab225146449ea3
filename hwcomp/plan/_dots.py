"""Engines of dot products: convolutions with any groups, dense layers."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from hwcomp.plan import folding
from hwcomp.plan._windows import Frame, row_of
from hwcomp.plan.bits import decides, parts
from hwcomp.plan.folding import DENSE, DEPTHWISE, Fold, Folds
from hwcomp.plan.skips import Used
from hwcomp.plan.stages import Source, Stage, unsupported
from hwcomp.plan.streams import Convert, Stream, convert_slots, divisors
from sw_ref.program import Edge, Kernel, Layout

if TYPE_CHECKING:
    from hwcomp.plan.dataflow import Sweep


def conv2d(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    frame, sets = Frame.of(sweep.program, kernel), kernel.params["groups"]
    outputs, channels, _, _ = kernel.constants["weight"].shape
    edge = sweep.program.edges[kernel.inputs[0]]
    each = outputs // sets  # outputs of a group
    used = _used(sweep, kernel)
    folds = folding.conv_folds(each, frame.taps, channels, frame.pixels, frame.arriving, frame.buffered, sets, used)
    if channels == 1 and sets > 1:
        apart = folding.channel_folds(
            DEPTHWISE, sets, each, frame.taps, frame.pixels, frame.arriving, frame.buffered
        )  # fmt: skip
        folds = apart if each == 1 else folding.best_of(apart, folds)
    fold = _fold(sweep, kernel, folds)
    group = edge.shape[0] if fold.kind == DEPTHWISE else channels
    source = sweep.source(kernel, 0, group, fold.read, Layout.channels_last(edge.shape))
    return _dot_stage(sweep, index, kernel, frame, fold, source, each)


def dense(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    outputs, features = kernel.constants["weight"].shape
    if x.size != features:
        if y.layout != Layout.row_major(y.shape):
            raise unsupported(kernel, f"a dense layer whose output {list(y.shape)} is not carried row by row")
        frame = row_of(x.size // features, features)
        used = _used(sweep, kernel)
        folds = folding.conv_folds(outputs, 1, features, frame.pixels, frame.pixels, 2 * features, used=used)
        fold = _fold(sweep, kernel, folds)
        source = sweep.source(kernel, 0, features, fold.read, Layout.row_major(x.shape))
        return _dot_stage(sweep, index, kernel, frame, fold, source, outputs)
    # One row: the weights follow whatever order and idle lanes its elements come in.
    stream = sweep.stream(kernel)
    slots = stream.beats * stream.lanes
    fold = _fold(sweep, kernel, folding.dense_folds(outputs, slots, _used(sweep, kernel, stream)))
    convert = convert_slots(stream.lanes, fold.read, stream.beats)
    arrives = Stream(fold.read, slots, 1, stream.bits, stream.signed)
    source = Source(sweep.roots[x.name], stream, arrives, (convert,) if convert else ())
    return _dot_stage(sweep, index, kernel, row_of(1, slots), fold, source, outputs)


def _used(sweep: Sweep, kernel: Kernel, stream: Stream | None = None) -> Used | None:
    if not sweep.skip or kernel.name in sweep.unroll:
        return None
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    return Used.of(kernel, x, y, stream)


def _fold(sweep: Sweep, kernel: Kernel, folds: Folds) -> Fold:
    """An unrolled layer takes all at once."""
    if kernel.name in sweep.unroll:
        return replace(max(folds.all, key=lambda f: f.lanes), unrolled=True, steps=sweep.steps)
    if size := sweep.whole.get(kernel.name):
        folds = folding.whole(folds, size)
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    return replace(sweep.fold(replace(folds, parts=parts(kernel, x, y))), steps=sweep.steps)


def _dot_stage(sweep: Sweep, index: int, kernel: Kernel, frame: Frame, fold: Fold, source: Source, each: int) -> Stage:
    """`each`: outputs of a group."""
    y = sweep.program.edges[kernel.outputs[0]]
    lanes, out, order = _out(sweep, kernel, y, fold, frame.pixels, each)
    steps = fold.sums // lanes
    if fold.kind == DENSE:
        blocks, last = fold.repeat, ceil(each / lanes) - (fold.repeat - 1) * steps
    else:
        blocks, last = fold.groups, ceil(len(kernel.constants["bias"]) / lanes) - (fold.groups - 1) * steps
    serialize = None if steps == 1 else Convert(fold.sums, lanes, 1, steps, blocks, 1, last)
    words = source.arrives.beats // max(source.arrives.pixels // _sets(fold), 1)
    window = frame.window(fold, words)
    return Stage(index, fold.beats, (source,), out, frame.pads, window, fold, serialize, order)


def _sets(fold: Fold) -> int:
    """Pixels of the arriving stream that make one of the map: the groups of a convolution come one by one."""
    return fold.sets if fold.kind == DENSE else 1


def _out(
    sweep: Sweep, kernel: Kernel, y: Edge, fold: Fold, pixels: int, each: int
) -> tuple[int, Stream, tuple[int, ...] | None]:
    """Lanes to requantize in, the stream they make, and the order of channels in it.

    The fewest lanes that keep up: a divisor of what leaves together, of the channels too where possible (no idle lanes).
    """
    outputs, channels = len(kernel.constants["bias"]), sweep.channels(y)
    limit = max(fold.beats, sweep.target or 0)
    fit = [d for d in divisors(fold.sums) if pixels * fold.groups * (fold.sums // d) <= limit]
    if fold.kept:  # groups of few beats follow one another
        fit = [d for d in fit if fold.sums // d <= min(fold.kept)]
    if decides(kernel, y):  # single bits: a conversion costs more than the lanes
        fit = fit[::-1]
    if fold.kind == DEPTHWISE:
        order = None
        if each > 1 and fold.simd > 1:  # outputs come as the first of every lane, the second of every lane
            order = tuple(r * fold.simd + lane for lane in range(fold.simd) for r in range(each))
        lanes = next((d for d in fit if channels % d == 0), fit[0])
        return lanes, Stream(lanes, channels, y.size // channels, y.bits, y.signed), order
    unit = each if fold.sets > 1 else outputs  # consecutive outputs of one pixel
    lanes = next((d for d in fit if channels % d == 0 and unit % d == 0), fit[0])
    unit = channels if channels % lanes == 0 and unit % lanes == 0 else unit
    return lanes, Stream(lanes, unit, y.size // unit, y.bits, y.signed), None
