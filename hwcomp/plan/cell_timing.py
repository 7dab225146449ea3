"""Timing of the hardware cells (templates/verilog) as constraints between their streams. Source: the cells' headers.

A pipeline of several stages stalls as a whole: bubbles between its beats do not close while its end waits. How that binds
its beats depends on where the bubbles are (`Pipe.stiffen`); until that is known a Pipe closes them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from hwcomp.plan.maxplus import NEVER, Graph, Link, Periodic, arc
from hwcomp.plan.stages import Window
from hwcomp.plan.streams import Convert


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


class Pipe:
    """A pipeline of `latency` stages that stall together, from stream `source` to stream `out`.

    `last`: the beats of `source` with which a beat of `out` leaves, ascending (None: all). `hold`: a beat of `source` stands
    for so many in a row, of which it is the last.
    """

    def __init__(
        self, graph: Graph, source: Link, name: str, latency: int, last: np.ndarray | None = None, hold: int = 1
    ):
        self.latency, self.hold, self.source = latency, hold, source
        self.last = np.arange(source.count) if last is None else last
        self.out = graph.link(name, len(self.last))
        self.forward = arc(self.out, source, latency, index=self.last)
        self.backward = arc(source, self.out, 0)
        self.relax()

    def relax(self) -> None:
        """Bubbles close: the beat that is `latency` places behind waits for the one at the end to leave."""
        whole, rest = divmod(self.latency, self.hold)
        behind = np.arange(self.source.count) - whole - (rest > 0)
        turns, beat = np.divmod(behind, self.source.count)
        self.backward.index = np.searchsorted(self.last, beat, side="right") - 1 + turns * len(self.last)
        self.backward.delay = self.hold - rest if rest else 0
        self.out.steps = None

    def waits(self, run: Periodic) -> bool:
        """Whether any beat has to wait at the end."""
        entered = run.times[id(self.source)][0][self.last]
        return bool((run.times[id(self.out)][0] > entered + self.latency).any())

    def stiffen(self, ready: np.ndarray, free: np.ndarray, interval: int) -> bool:
        """Bubbles stay as they are when beat i comes at `ready[i]` and beat j may leave at `free[j]` (one frame of a steady
        state). Returns whether anything changed."""
        step = _steps(ready, free, self, interval)
        n, m = self.source.count, len(self.last)
        ends = step[:, self.last] + self.latency
        now, flat = step[-1], ends.ravel()
        index = np.searchsorted(flat, now, side="right") - 1
        delay = now - flat[index]
        index = index - (len(step) - 1) * m
        steps = np.diff(flat)[-m:]
        same = (
            np.array_equal(index, self.backward.index) and np.array_equal(delay, self.backward.delay)
            and self.out.steps is not None and np.array_equal(steps, self.out.steps)
        )  # fmt: skip
        self.backward.index, self.backward.delay, self.out.steps = index, delay, steps
        return not same


def _steps(ready: np.ndarray, free: np.ndarray, pipe: Pipe, interval: int) -> np.ndarray:
    """int64 [frames, beats]: the step of the pipeline with which each beat enters; it takes no steps while it waits.

    Starts empty; the last frame is like all that would follow.
    """
    latency, hold = pipe.latency, pipe.hold
    frames = 3 + latency // len(pipe.last)
    turns = np.arange(frames)[:, None] * interval
    comes = (ready - (hold - 1) + turns).ravel().tolist()
    leaves = iter((free + turns).ravel().tolist())
    is_last = np.zeros(len(ready), bool)
    is_last[pipe.last] = True
    is_last = np.tile(is_last, frames).tolist()
    step, waited, steps = comes[0] - 1, 0, []
    ends: deque[int] = deque()  # steps with which beats in the pipeline leave
    for come, final in zip(comes, is_last, strict=True):
        step += 1
        while True:
            while ends and ends[0] <= step:
                waited = max(waited, next(leaves) - ends.popleft())
            if step + waited >= come:
                break
            step = min(come - waited, ends[0]) if ends else come - waited
        step += hold - 1
        if final:
            ends.append(step + latency)
        steps.append(step)
    return np.array(steps, np.int64).reshape(frames, -1)


def thinned(graph: Graph, source: Link, name: str, last: np.ndarray) -> Link:
    """One stage; a beat out for some beats in, `last` (ascending): max-pool folds, sums over frames."""
    out = graph.link(name, len(last))
    arc(out, source, 1, index=last)
    arc(source, out, 0, index=np.searchsorted(last, np.arange(source.count) - 1, side="right") - 1)
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
    groups = w.repeat * w.sets
    out = graph.link(name, base.size * groups, chunks)
    arc(out, source, 4 + chunks - 1, index=np.repeat(base + span - 1, groups))
    # A word is written once the first window whose release makes room for it has been read.
    release = np.append(base[1:], source.count + base[0])
    need = np.arange(source.count) + 1 - w.depth
    turns, need = np.divmod(need - 1, source.count)  # releases lie in 1 .. count
    arc(source, out, 0, index=(np.searchsorted(release, need + 1) + 1) * groups - 1 + turns * out.count)
    return out


def maxpool(graph: Graph, source: Link, name: str, rows: int, cols: int, words: int, kernel, strides) -> Link:
    """hwc_maxpool: maxima along rows, then along columns, each a fold of one stage."""
    across, down = (cols - kernel[1]) // strides[1] + 1, (rows - kernel[0]) // strides[0] + 1
    ends = np.arange(across) * strides[1] + kernel[1] - 1
    last = (np.arange(rows)[:, None, None] * cols + ends[:, None]) * words + np.arange(words)
    row = thinned(graph, source, f"{name}_row", last.ravel())
    line = across * words
    last = (np.arange(down)[:, None] * strides[0] + kernel[0] - 1) * line + np.arange(line)
    return thinned(graph, row, name, last.ravel())


def fork(graph: Graph, source: Link, name: str, readers: int) -> list[Link]:
    """hwc_fork: every reader takes a beat when it can; the next one is offered once all have it."""
    taken = [graph.link(f"{name}_{i}", source.count) for i in range(readers)]
    done = graph.link(f"{name}_done", source.count)
    for link in graph.links:  # what waited for the beat to leave waits for the last reader
        for a in link.arcs:
            if a.source is source:
                a.source = done
    arc(source, done, 1, -1)
    for reader in (*taken, done):
        arc(reader, source, 0)
    for reader in taken:
        arc(done, reader, 0)
    return taken


def join(graph: Graph, sources: list[Link], name: str, indices: list[np.ndarray], count: int) -> Link:
    """Beats that come from several streams in the same cycle as they leave: hwc_add, hwc_concat, hwc_slice.

    Beat i of source k goes with beat `indices[k][i]` of the stream `name` of `count` beats (NEVER: it is dropped).
    """
    out = graph.link(name, count)
    for source, index in zip(sources, indices, strict=True):
        arc(source, out, 0, index=index)
        back_to = np.full(count, NEVER)
        passed = np.flatnonzero(index != NEVER)
        back_to[index[passed]] = passed
        arc(out, source, 0, index=back_to)
    return out


def permute(graph: Graph, source: Link, name: str, words: int) -> Link:
    """hwc_permute: blocks of `words` beats in another order, each once all of it is in."""
    w = Window(1, 1, source.count // words, words, (1, 1), (1, 1), (1, 1), words, 2 * words + 2)
    return windows(graph, source, name, w, 1)
