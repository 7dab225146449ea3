"""Engines that only move or select elements: joins, slices, orders, and ArgMax."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import ceil, gcd, prod
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.plan._windows import MARGIN
from hwcomp.plan.stages import Source, Stage, Window, unsupported
from hwcomp.plan.streams import Stream, divisors
from sw_ref.program import Edge, Kernel, Layout

if TYPE_CHECKING:
    from hwcomp.plan.dataflow import Sweep


def concat(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Beats of every input in turn. Along the last carried axis the lanes divide every input's part but the last's."""
    y, axis = sweep.program.edges[kernel.outputs[0]], kernel.params["axis"]
    order = carried_axes(kernel, y)
    edges = [sweep.program.edges[n] for n in kernel.inputs]
    channels = [e.shape[order[-1]] for e in edges]
    if axis == order[-1]:
        options = divisors(reduce(gcd, channels[:-1]))
        pixel = sum(channels)
    else:
        options, pixel = divisors(channels[0]), channels[0]
    keep = max(s.lanes for s in (sweep.stream(kernel, i) for i in range(len(edges))))
    pixels = y.size // pixel
    lanes = sweep.lanes(options, lambda n: pixels * ceil(pixel / n), keep)
    sources = tuple(
        _late(sweep.source(kernel, i, c, lanes, _same_order(kernel, y, e)))
        for i, (c, e) in enumerate(zip(channels, edges, strict=True))
    )
    rounds = prod(y.shape[a] for a in order[: order.index(axis)])
    turns = tuple(s.arrives.beats // rounds for s in sources)
    return Stage(index, 0, sources, Stream(lanes, pixel, pixels, y.bits, y.signed), turns=turns)


def slice_(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Drops beats. Along the last carried axis the lanes divide the start, and the end unless it is the axis' own."""
    p, (x, y) = kernel.params, (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    order = carried_axes(kernel, y)
    channels, pixel = x.shape[order[-1]], y.shape[order[-1]]
    options = divisors(channels)
    if p["axis"] == order[-1]:
        common = gcd(p["start"], p["stop"] if p["stop"] < channels else 0) or channels
        options = divisors(common)
    stream = sweep.stream(kernel)
    keep = stream.lanes if stream.channels == channels else None
    lanes = sweep.lanes(options, lambda n: x.size // channels * ceil(channels / n), keep)
    source = sweep.source(kernel, 0, channels, lanes, _same_order(kernel, y, x))
    beats = source.arrives.beats // prod(x.shape[a] for a in order[: order.index(p["axis"])])
    if p["axis"] == order[-1]:
        turns = (beats, p["start"] // lanes, ceil(p["stop"] / lanes) - 1)
    else:
        each = beats // x.shape[p["axis"]]
        turns = (beats, each * p["start"], each * p["stop"] - 1)
    out = replace(source.arrives, channels=pixel, pixels=y.size // pixel)
    return Stage(index, source.beats, (source,), out, turns=turns)


def repeat(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Groups of words that a window buffer keeps and gives out several times; along the last carried axis, one by one."""
    p, (x, y) = kernel.params, (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    order = carried_axes(kernel, y)
    channels, last = x.shape[order[-1]], p["axis"] == order[-1]
    if last:
        source = sweep.source(kernel, 0, 1, 1, _same_order(kernel, y, x))
        words = 1
    else:
        stream = sweep.stream(kernel)
        keep = stream.lanes if stream.channels == channels else None
        lanes = sweep.lanes(divisors(channels), lambda n: y.size // n, keep)
        source = sweep.source(kernel, 0, channels, lanes, _same_order(kernel, y, x))
        words = prod(x.shape[a] for a in order[order.index(p["axis"]) + 1 :]) // lanes
    one, times = (1, 1), p["times"]
    window = Window(
        1, 1, source.arrives.beats // words, words, one, one, one, times, 1 if words == 1 else 2 * words + MARGIN
    )
    out = replace(source.arrives, pixels=source.arrives.pixels * times)
    return Stage(index, 0, (source,), out, window=window)


def shuffle(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Channels of every pixel in another order. A tensor whose channels are not carried together is one long pixel."""
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    order = kernel.constants["order"].astype(np.int64)
    channels = x.shape[0]
    if x.layout == y.layout == Layout.channels_last(x.shape):
        picks = order
    else:
        channels = x.size
        place = np.empty(x.size, np.int64)  # where each element comes
        place[x.layout.order()] = np.arange(x.size)
        picks = place[np.arange(x.size).reshape(x.shape)[order].ravel()[y.layout.order()]]
    lanes = sweep.lanes(divisors(channels), lambda n: x.size // n)
    source = sweep.source(kernel, 0, channels, lanes)
    return Stage(index, source.beats, (source,), source.arrives, order=tuple(picks.tolist()))


def reorder(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Frames in another order: the permutation is that of the source."""
    y = sweep.program.edges[kernel.outputs[0]]
    channels = sweep.channels(y)
    lanes = sweep.lanes(divisors(channels), lambda n: y.size // n)
    source = sweep.source(kernel, 0, channels, lanes, y.layout)
    return Stage(index, source.beats, (source,), source.arrives)


def pad(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    x, y = (sweep.program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    channels, pixels = x.shape[0], y.shape[1] * y.shape[2]
    stream = sweep.stream(kernel)
    keep = stream.lanes if stream.channels == channels else None
    lanes = sweep.lanes(divisors(channels), lambda n: pixels * channels // n, keep)
    source = sweep.source(kernel, 0, channels, lanes, Layout.channels_last(x.shape))
    pads = tuple(kernel.params["pads"])
    return Stage(index, 0, (source,), replace(source.arrives, pixels=pixels), pads if any(pads) else None)


def argmax(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """One index per pixel of the elements along the axis."""
    x, y, axis = sweep.program.edges[kernel.inputs[0]], sweep.program.edges[kernel.outputs[0]], kernel.params["axis"]
    if y.layout != Layout.row_major(y.shape):
        raise unsupported(kernel, f"ArgMax whose output {list(y.shape)} is not carried row by row")
    rank, n = len(x.shape), x.shape[axis]
    inside = Layout(x.shape, (*(a for a in range(rank) if a != axis), axis))
    stream = sweep.stream(kernel)
    keep = stream.lanes if stream.channels == n else None
    lanes = sweep.lanes(sorted({*divisors(n), *([keep] if keep else [])}), lambda k: x.size // n * ceil(n / k), keep)
    source = sweep.source(kernel, 0, n, lanes, inside)
    return Stage(index, source.beats, (source,), Stream(1, 1, max(y.size, 1), y.bits, y.signed))


def _late(source: Source) -> Source:
    return replace(source, late=bool(source.steps))


def carried_axes(kernel: Kernel, y: Edge) -> list[int]:
    """The axes of a tensor in the order in which they are carried, the fastest last."""
    axes = list(range(len(y.shape)))
    last = [*axes[1:], *axes[:1]]
    orders = [(Layout.row_major(y.shape), axes), (Layout.channels_last(y.shape), last)]
    for layout, order in orders if len(axes) < 3 else orders[::-1]:
        if y.layout == layout:
            return order
    raise unsupported(kernel, f"{kernel.kind} of a tensor {list(y.shape)} that is carried in a rearranged order")


def _same_order(kernel: Kernel, y: Edge, x: Edge) -> Layout:
    """The order of `y`, for a tensor of another shape."""
    return Layout(x.shape, tuple(carried_axes(kernel, y)))
