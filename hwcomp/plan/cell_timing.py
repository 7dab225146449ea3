"""Timing of the hardware cells (templates/verilog) as constraints between their streams. Source: the cells' headers.

Exact for cells without a pipeline or with one of a single stage. A longer pipeline is modelled as if its bubbles closed
while its end waits; the cells stall as a whole, which costs a beat or two of slack where a stall meets a bubble.
"""

from __future__ import annotations

import numpy as np

from hwcomp.plan.dataflow import Window
from hwcomp.plan.maxplus import NEVER, Graph, Link, arc
from hwcomp.plan.streams import Convert

LUT, ADD, POOL, PERMUTE = 1, 5, 1, 4  # cycles from a cell's (last needed) beat in to its beat out


def back(source: Link, index: np.ndarray, offset: int) -> np.ndarray:
    """`index` names beats of `source` for each beat of another stream: the same, `offset` beats of that stream on."""
    turns, i = np.divmod(np.arange(len(index)) + offset, len(index))
    return np.where(index[i] == NEVER, NEVER, index[i] + turns * source.count)


class Buffer:
    """A FIFO from stream `push` to stream `pop`; beat i leaves with beat `place[i]` of `pop` (None: with beat i)."""

    def __init__(self, push: Link, pop: Link, index: np.ndarray | None = None):
        self.push, self.pop = push, pop
        self.place = None if index is None else np.flatnonzero(index != NEVER)
        self._in, self._out = arc(pop, push, 1, index=index), arc(push, pop, 1)

    def resize(self, depth: int | None) -> Buffer:
        """Give it `depth` words (None: as many as it takes)."""
        self._in.delay = 1 if depth == 2 else 2
        self._out.delay = NEVER if depth is None else 1
        if self.place is None:
            self._out.offset = -(depth or 0)
        else:
            self._out.index = back(self.pop, self.place, -(depth or 0))
        return self


def fifo(graph: Graph, source: Link, name: str) -> Buffer:
    """hwc_fifo: the stream behind it is its `pop`."""
    return Buffer(source, graph.link(name, source.count))


def pipe(graph: Graph, source: Link, name: str, latency: int) -> Link:
    """One beat out for one beat in: requantize, add, tables."""
    out = graph.link(name, source.count)
    arc(out, source, latency)
    arc(source, out, 0, -latency)
    return out


def thinned(graph: Graph, source: Link, name: str, last: np.ndarray, latency: int = 1) -> Link:
    """A beat out for some beats in, `last` (ascending): max-pool folds, sums, the largest channel."""
    out = graph.link(name, len(last))
    arc(out, source, latency, index=last)
    turns, beat = np.divmod(np.arange(source.count) - latency, source.count)
    arc(source, out, 0, index=np.searchsorted(last, beat, side="right") - 1 + turns * len(last))
    return out


def width(graph: Graph, source: Link, name: str, c: Convert | None) -> Link:
    """hwc_width: a block of beats out once the last beat of a block is in; wires for one beat to one beat."""
    if c is None or (c.beats_in if c.blocks > 1 else c.last_in) == (c.beats_out if c.blocks > 1 else c.last_out) == 1:
        return source
    ins = np.append(np.full(c.blocks - 1, c.beats_in), c.last_in)
    outs = np.append(np.full(c.blocks - 1, c.beats_out), c.last_out)
    turns = source.count // int(ins.sum())
    ins, outs = np.tile(ins, turns), np.tile(outs, turns)
    ends, done = np.cumsum(ins) - 1, np.cumsum(outs) - 1  # last beat of each block in and out
    out = graph.link(name, int(outs.sum()))
    arc(out, source, 1, index=np.repeat(ends, outs))
    free = np.full(source.count, NEVER)
    free[ends] = np.append(-1, done[:-1])
    arc(source, out, 0, index=free)
    return out


def pad(graph: Graph, source: Link, name: str, shape: tuple[int, int], words: int, pads: tuple[int, ...]) -> Buffer:
    """A FIFO and hwc_pad (which adds no cycle) behind it; the padded stream is its `pop`."""
    top, left, bottom, right = pads
    rows, cols = shape
    index = np.full((rows + top + bottom, cols + left + right, words), NEVER)
    index[top : top + rows, left : left + cols] = np.arange(source.count).reshape(rows, cols, words)
    index = index.ravel()
    return Buffer(source, graph.link(name, index.size), index)


def windows(graph: Graph, source: Link, name: str, w: Window, chunks: int) -> Link:
    """hwc_window up to the dot product: the last beat of every group of `chunks` beats. `source`: the padded words."""
    rows = (w.rows - (w.kernel[0] - 1) * w.dilations[0] - 1) // w.strides[0] + 1
    cols = (w.cols - (w.kernel[1] - 1) * w.dilations[1] - 1) // w.strides[1] + 1
    span = ((w.kernel[0] - 1) * w.dilations[0] * w.cols + (w.kernel[1] - 1) * w.dilations[1] + 1) * w.words
    base = (np.arange(rows)[:, None] * w.strides[0] * w.cols + np.arange(cols) * w.strides[1]).ravel() * w.words
    groups = w.repeat
    out = graph.link(name, base.size * groups, chunks)
    arc(out, source, 4 + chunks - 1, index=np.repeat(base + span - 1, groups))
    # A word is written once the first window whose release makes room for it has been read.
    release = np.append(base[1:], source.count + base[0])
    need = np.arange(source.count) + 1 - w.depth
    turns, need = np.divmod(need - 1, source.count)  # releases lie in 1 .. count
    arc(source, out, 0, index=(np.searchsorted(release, need + 1) + 1) * groups - 1 + turns * out.count)
    return out


def groups(graph: Graph, source: Link, name: str, chunks: int, latency: int) -> Link:
    """Results of a dot product from the last beats of its groups of `chunks` beats."""
    out = graph.link(name, source.count)
    arc(out, source, latency)
    whole, rest = divmod(latency, chunks)
    if rest:
        arc(source, out, chunks - rest, -whole - 1)
    else:
        arc(source, out, 0, -whole)
    return out


def maxpool(graph: Graph, source: Link, name: str, rows: int, cols: int, words: int, kernel, strides) -> Link:
    """hwc_maxpool: maxima along rows, then along columns, each a fold of one stage."""
    across, down = (cols - kernel[1]) // strides[1] + 1, (rows - kernel[0]) // strides[0] + 1
    ends = np.arange(across) * strides[1] + kernel[1] - 1
    last = (np.arange(rows)[:, None, None] * cols + ends[:, None]) * words + np.arange(words)
    row = thinned(graph, source, f"{name}_row", last.ravel(), POOL)
    line = across * words
    last = (np.arange(down)[:, None] * strides[0] + kernel[0] - 1) * line + np.arange(line)
    return thinned(graph, row, name, last.ravel(), POOL)
