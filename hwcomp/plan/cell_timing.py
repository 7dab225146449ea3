"""Timing of the hardware cells (templates/verilog) as constraints between their streams. Source: the cells' headers.

Exact but for one thing that constraints cannot say: a pipeline of several stages stalls as a whole, so bubbles between its
beats do not close while its end waits. The constraints of a `Pipe` let them close; hwcomp.plan.execution keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.plan.maxplus import NEVER, Arc, Graph, Link, arc
from hwcomp.plan.stages import Window
from hwcomp.plan.streams import Convert


def back(source: Link, index: np.ndarray, offset: int) -> np.ndarray:
    """`index` names beats of `source` for each beat of another stream: the same, `offset` beats of that stream on."""
    turns, i = np.divmod(np.arange(len(index)) + offset, len(index))
    return index[i] + turns * source.count


def before(source: Link, last: np.ndarray, distance: int, beats: np.ndarray | None = None) -> np.ndarray:
    """For `beats` of `source` (None: all): the last one of `last`, by number, that is at least `distance` beats before."""
    beats = np.arange(source.count) if beats is None else beats
    turns, beat = np.divmod(beats - distance, source.count)
    return np.searchsorted(last, beat, side="right") - 1 + turns * len(last)


class Buffer:
    """A FIFO from stream `push` to stream `pop`; beat i leaves with beat `place[i]` of `pop` (None: with beat i)."""

    def __init__(self, push: Link, pop: Link, index: np.ndarray | None = None):
        self.push, self.pop, self.depth = push, pop, None
        self.place = None if index is None else np.flatnonzero(index != NEVER)
        self._in, self.room = arc(pop, push, 1, index=index), arc(push, pop, 1, leaves=True)

    def resize(self, depth: int | None) -> Buffer:
        """Give it `depth` words (None: as many as it takes)."""
        self.depth = depth
        self._in.delay = 1 if depth == 2 else 2
        self.room.delay = NEVER if depth is None else 1
        if self.place is None:
            self.room.offset = -(depth or 0)
        else:
            self.room.index = back(self.pop, self.place, -(depth or 0))
        return self


def fifo(graph: Graph, source: Link, name: str) -> Buffer:
    """hwc_fifo: the stream behind it is its `pop`."""
    return Buffer(source, graph.link(name, source.count))


def pad(graph: Graph, source: Link, name: str, shape: tuple[int, int], words: int, pads: tuple[int, ...]) -> Buffer:
    """A FIFO and hwc_pad (which adds no cycle) behind it; the padded stream is its `pop`."""
    top, left, bottom, right = pads
    rows, cols = shape
    index = np.full((rows + top + bottom, cols + left + right, words), NEVER)
    index[top : top + rows, left : left + cols] = np.arange(source.count).reshape(rows, cols, words)
    index = index.ravel()
    return Buffer(source, graph.link(name, index.size), index)


@dataclass(frozen=True)
class Tap:
    """`target` moves when its beat of the pipe, in `beats`, leaves a stage; as a constraint: `bound`."""

    target: Link
    beats: list[int]
    stage: int
    bound: Arc


class Pipe:
    """A pipeline of `latency` stages that stall together, from stream `source` to stream `out`.

    `last`: the beats of `source` with which a beat of `out` leaves, ascending (None: all). `backward.source` is the stream
    of beats that have left: `out`, or behind a fork or join what that calls so.
    """

    def __init__(self, graph: Graph, source: Link, name: str, latency: int, last: np.ndarray | None = None):
        self.latency, self.source = latency, source
        self.last = np.arange(source.count) if last is None else last
        self.out = graph.link(name, len(self.last))
        if last is None:
            self.forward, self.backward = (
                arc(self.out, source, latency),
                arc(source, self.out, 0, -latency, leaves=True),
            )
        else:
            self.forward = arc(self.out, source, latency, index=last)
            self.backward = arc(source, self.out, 0, index=before(source, last, latency), leaves=True)
        self.taps: list[Tap] = []
        self.usual: tuple[np.ndarray, int] | None = None

    def stiffen(self) -> None:
        """Keep the bubbles that are there when the engine in front never waits for input (`usual`: when its beats come, and
        the cycles of a frame), at all times: an upper bound, where they close now and then."""
        if self.usual is None:
            return
        come, around = self.usual
        turns = self.latency // around + 1
        ends = (come + np.arange(-turns, 1)[:, None] * around).ravel() + self.latency
        at = np.searchsorted(ends, come, side="right") - 1
        self.backward.index, self.backward.delay = at - turns * len(come), come - ends[at]
        for link in (self.out, self.backward.source):
            link.spaced, link.around = come, around

    def hold_one(self) -> None:
        """Hold one result at a time: what a pipeline does at worst, when bubbles of a pausing input stand behind the first."""
        self.backward.offset, self.backward.index, self.backward.delay = 0, before(self.source, self.last, 1), 0

    def tap(self, target: Link, beats: np.ndarray, stage: int) -> None:
        bound = arc(target, self.out, 0, index=before(self.source, self.last, self.latency - stage, beats), leaves=True)
        self.taps.append(Tap(target, beats.tolist(), stage, bound))


def thinned(graph: Graph, source: Link, name: str, last: np.ndarray) -> Link:
    """One stage; a beat out for some beats in, `last` (ascending): max-pool folds, sums over frames."""
    out = graph.link(name, len(last))
    arc(out, source, 1, index=last)
    arc(source, out, 0, index=before(source, last, 1), leaves=True)
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
    arc(source, out, 0, index=free, leaves=True)
    return out


def windows(graph: Graph, source: Link, name: str, w: Window, chunks: int) -> Pipe:
    """hwc_window, from the padded words to every beat of its windows; `chunks` beats are a group, or `w.kept` all."""
    rows = (w.rows - (w.kernel[0] - 1) * w.dilations[0] - 1) // w.strides[0] + 1
    cols = (w.cols - (w.kernel[1] - 1) * w.dilations[1] - 1) // w.strides[1] + 1
    span = ((w.kernel[0] - 1) * w.dilations[0] * w.cols + (w.kernel[1] - 1) * w.dilations[1] + 1) * w.words
    base = (np.arange(rows)[:, None] * w.strides[0] * w.cols + np.arange(cols) * w.strides[1]).ravel() * w.words
    return _reads(graph, source, name, base, span, w.kept or w.repeat * w.sets * chunks, w.depth)


def repeat(graph: Graph, source: Link, name: str, times: int) -> Link:
    """hwc_repeat: a beat leaves with the last of its copies."""
    last = np.arange(source.count) * times + times - 1
    out = graph.link(name, source.count * times)
    arc(out, source, 0, index=np.repeat(np.arange(source.count), times))
    arc(_offered(graph, source, f"{name}_taken"), out, 0, index=last)
    return out


def permute(graph: Graph, source: Link, name: str, words: int) -> Pipe:
    """hwc_permute: blocks of `words` beats in another order, each once all of it is in."""
    return _reads(graph, source, name, np.arange(0, source.count, words), words, words, 2 * words + 2)


def hold(graph: Graph, source: Link, name: str, words: int) -> Pipe:
    """hwc_hold: frames of `words` beats, each given out once all of it is in."""
    issue = graph.link(f"{name}_issue", source.count)
    ends = np.repeat(np.arange(words - 1, source.count, words), words)
    arc(issue, source, 1, index=ends)
    turns, need = np.divmod(np.arange(source.count) - (2 * words + 4), source.count)
    arc(
        source, issue, 1, index=ends[need] + turns * source.count
    )  # a frame lets go of its words when its last one is read
    return Pipe(graph, issue, name, 1)


def _reads(graph: Graph, source: Link, name: str, base: np.ndarray, span: int, beats: int, depth: int) -> Pipe:
    """A circular buffer of `depth` words, read in windows of `span` words from `base`, each for so many beats."""
    issue = graph.link(f"{name}_issue", base.size * beats)
    arc(issue, source, 1, index=np.repeat(base + span - 1, beats))
    pipe = Pipe(graph, issue, name, 3)
    # A window lets go of its words when its last beat leaves stage 2, and the next cycle sees the room.
    done = graph.link(f"{name}_done", base.size)
    ends = np.arange(1, base.size + 1) * beats - 1
    arc(done, issue, 2, index=ends)
    pipe.tap(done, ends, 2)
    release = np.append(base[1:], source.count + base[0])  # words gone with each window
    turns, need = np.divmod(np.arange(source.count) - depth, source.count)
    arc(source, done, 1, index=np.searchsorted(release, need + 1) + turns * base.size)
    return pipe


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
    done = _offered(graph, source, f"{name}_done")
    for reader in taken:
        arc(reader, source, 0)
        arc(done, reader, 0)
    return taken


def join(graph: Graph, sources: list[Link], name: str, indices: list[np.ndarray], count: int) -> Link:
    """Beats that come from several streams in the same cycle as they leave: hwc_add, hwc_concat, hwc_slice.

    Beat i of source k goes with beat `indices[k][i]` of the stream `name` of `count` beats (NEVER: it is dropped).
    """
    out = graph.link(name, count)
    for source, index in zip(sources, indices, strict=True):
        passed = np.flatnonzero(index != NEVER)
        offered = np.full(count, NEVER)
        offered[index[passed]] = passed
        arc(out, source, 0, index=offered)
        arc(_offered(graph, source, f"{source.name}_taken"), out, 0, index=index, leaves=True)
    return out


def _offered(graph: Graph, source: Link, name: str) -> Link:
    """`source` becomes the times from which its beats are offered; the new stream says when they are taken."""
    taken = graph.link(name, source.count)
    for link in graph.links:
        for a in link.arcs:
            if a.source is source and a.leaves:
                a.source = taken
    arc(source, taken, 1, -1)
    arc(taken, source, 0)
    return taken
