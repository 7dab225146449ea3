"""Engines that take single elements: requantizers, tables, sums and products of two tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwcomp.plan._windows import MARGIN
from hwcomp.plan.stages import Stage, Window
from hwcomp.plan.streams import divisors
from sw_ref.program import Kernel, Layout

if TYPE_CHECKING:
    from hwcomp.plan.dataflow import Sweep


def requantize(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    y, stream = sweep.program.edges[kernel.outputs[0]], sweep.stream(kernel)
    source = sweep.source(kernel, 0, stream.channels, stream.lanes, y.layout)
    return Stage(index, source.beats, (source,), replace(source.arrives, bits=y.bits, signed=y.signed))


def add(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """Both operands as pixels of the first, in the fewest lanes that keep up: each takes two multipliers."""
    y, stream = sweep.program.edges[kernel.outputs[0]], sweep.stream(kernel)
    lanes = sweep.lanes(divisors(stream.channels), lambda n: y.size // n)
    sources = tuple(sweep.source(kernel, i, stream.channels, lanes, y.layout) for i in range(2))
    return Stage(index, 0, sources, replace(sources[0].arrives, bits=y.bits, signed=y.signed))


def mul(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    """As a sum; a gate, one value per channel, is kept for two frames and repeated for every pixel.

    Where the elements of a channel come together, one lane at a time: then each value is repeated for its channel.
    """
    (a, b), y = (sweep.program.edges[n] for n in kernel.inputs), sweep.program.edges[kernel.outputs[0]]
    if a.shape == b.shape:
        return add(sweep, index, kernel)
    channels, each = a.shape[0], a.size // a.shape[0]
    if y.layout == Layout.channels_last(y.shape):
        lanes = sweep.lanes(divisors(channels), lambda n: y.size // n)
        sources = sweep.source(kernel, 0, channels, lanes, y.layout), sweep.source(kernel, 1, channels, lanes)
        cols, words = 1, channels // lanes
    else:
        sources = sweep.source(kernel, 0, each, 1, y.layout), sweep.source(kernel, 1, 1, 1)
        cols, words = channels, 1
    one = (1, 1)
    gate = Window(1, 1, cols, words, one, one, one, each, 2 * words + MARGIN) if each > 1 else None
    return Stage(index, 0, sources, replace(sources[0].arrives, bits=y.bits, signed=y.signed), window=gate)
