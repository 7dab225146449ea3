"""Timed marked graphs in max-plus form: when does every beat of every stream move, and can frames keep a given interval.

A design is a set of streams (`Link`) and of constraints between them (`Arc`): beat i of one stream moves no earlier than
a given beat of another one, plus a delay. Bounded buffers are arcs that look back. The earliest times that satisfy all
arcs are the self-timed execution (Baccelli, Cohen, Olsder, Quadrat: Synchronization and Linearity, 1992). Two solvers:
frames from an idle start, and the periodic steady state, which exists for an interval exactly if the execution reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

NEVER = -(1 << 40)  # an index without a beat, a time without a bound


@dataclass
class Link:
    """A stream of `count` beats per frame, one per cycle at most. `arcs` bound its times from below.

    `spaced`: int64 [count], rising from 0: the beats of a frame are at least as far apart as these, frames by `around`.
    """

    name: str
    count: int
    arcs: list[Arc] = field(default_factory=list)
    spaced: np.ndarray | None = None
    around: int = 0


@dataclass
class Arc:
    """Beat i moves no earlier than beat `index[i]` (or i + `offset`) of `source` plus `delay` cycles.

    Indices count from the frame's first beat; negative ones are beats of frames before. `leaves`: it waits for the beat to
    leave its place, not to come.
    """

    source: Link
    delay: int
    offset: int = 0
    index: np.ndarray | None = None
    leaves: bool = False
    kept: tuple | None = None  # what Periodic makes of `index`: they are used often


class Graph:
    """Links in stream order, the sources first."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    def link(self, name: str, count: int) -> Link:
        self.links.append(Link(name, count))
        return self.links[-1]

    def beats(self) -> int:
        return sum(link.count for link in self.links)


def arc(
    target: Link, source: Link, delay: int, offset: int = 0, index: np.ndarray | None = None, leaves: bool = False
) -> Arc:
    """Bound `target` by `source`; returns the arc, which may be changed (the depth of a buffer)."""
    made = Arc(source, delay, offset, index, leaves)
    target.arcs.append(made)
    return made


class Solver:
    """Earliest times by sweeps in both directions until nothing changes (Kleene iteration).

    `times[id(link)]`: int64 [frames, count]. Each sweep can only raise them.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.times: dict[int, np.ndarray] = {}
        self.readers: dict[int, list[Link]] = {id(link): [] for link in graph.links}
        for link in graph.links:
            for a in link.arcs:
                if a.source is not link:
                    self.readers[id(a.source)].append(link)

    def settle(self, dirty: set[int], sweeps: int) -> bool:
        """Raise times until all arcs hold; False where `sweeps` did not suffice or `_refused` said so."""
        for _ in range(sweeps):
            for links in (self.graph.links, self.graph.links[::-1]):
                for link in links:
                    if id(link) in dirty:
                        dirty.discard(id(link))
                        if self._raise(link):
                            if self._refused(link):
                                return False
                            dirty.update(id(r) for r in self.readers[id(link)])
                            if any(a.source is link for a in link.arcs):
                                dirty.add(id(link))
            if not dirty:
                return True
        return False

    def _raise(self, link: Link) -> bool:
        old = self.times[id(link)]
        new = old
        for a in link.arcs:
            new = np.maximum(new, self._bound(a, link.count))
        if new is old or not (new > old).any():
            return False
        self.times[id(link)] = self._serve(new, link)
        return True

    def _refused(self, link: Link) -> bool:
        return False

    def _bound(self, a: Arc, count: int) -> np.ndarray:
        raise NotImplementedError

    def _serve(self, ready: np.ndarray, link: Link) -> np.ndarray:
        raise NotImplementedError


class Frames(Solver):
    """`frames` frames through an idle design, the first beat in cycle 0."""

    def __init__(self, graph: Graph, frames: int):
        super().__init__(graph)
        self.frames = frames
        for link in graph.links:
            self.times[id(link)] = np.arange(frames * link.count, dtype=np.int64).reshape(frames, -1)

    def run(self, sweeps: int = 1 << 20) -> bool:
        return self.settle({id(link) for link in self.graph.links}, sweeps)

    def _bound(self, a: Arc, count: int) -> np.ndarray:
        source = self.times[id(a.source)]
        flat = source.ravel()
        if a.index is None:
            bound = np.full(flat.size, NEVER, np.int64)
            kept = max(flat.size - abs(a.offset), 0)
            if a.offset <= 0:
                bound[flat.size - kept :] = flat[:kept] + a.delay
            else:
                bound[:kept] = flat[flat.size - kept :] + a.delay
            return bound.reshape(source.shape)
        index = a.index + np.arange(self.frames)[:, None] * a.source.count
        inside = (index >= 0) & (index < flat.size)
        return np.where(inside, flat[np.clip(index, 0, flat.size - 1)] + a.delay, NEVER)

    def _serve(self, ready: np.ndarray, link: Link) -> np.ndarray:
        flat = ready.ravel()
        steps = np.arange(flat.size, dtype=np.int64)
        return (np.maximum.accumulate(flat - steps) + steps).reshape(ready.shape)


class Periodic(Solver):
    """The steady state with `interval` cycles per frame: times of one frame, all others the same, shifted.

    `pinned`: links whose first beat is in cycle 0 or later; the times of the first of them may not rise.
    """

    def __init__(self, graph: Graph, interval: int, pinned: list[Link]):
        super().__init__(graph)
        self.interval, self.pinned = interval, pinned
        for link in graph.links:
            self.times[id(link)] = np.full((1, link.count), NEVER, np.int64)
        for link in pinned:
            first = np.full(link.count, NEVER, np.int64)
            first[0] = 0
            self.times[id(link)] = self._serve(first[None], link)

    def run(self, sweeps: int) -> bool:
        return self.settle({id(link) for link in self.graph.links}, sweeps)

    def _refused(self, link: Link) -> bool:
        return link is self.pinned[0] and self.times[id(link)][0, 0] > 0

    def _bound(self, a: Arc, count: int) -> np.ndarray:
        source = self.times[id(a.source)][0]
        if a.index is None:
            shift = a.offset % count
            turns = (a.offset - shift) // count
            bound = np.concatenate([source[shift:], source[:shift] + self.interval]) if shift else source
            return (bound + (a.delay + turns * self.interval))[None]
        if a.kept is None or a.kept[0] is not a.index:
            turns, beat = np.divmod(a.index, a.source.count)
            a.kept = a.index, beat, turns if turns.any() else None
        _, beat, turns = a.kept
        bound = source[beat]
        if turns is not None:
            bound += turns * self.interval
        bound += a.delay
        return bound[None]

    def _serve(self, ready: np.ndarray, link: Link) -> np.ndarray:
        flat = ready[0]
        steps = np.arange(flat.size, dtype=np.int64) if link.spaced is None else link.spaced
        best = np.maximum.accumulate(flat - steps)
        around = flat.size if link.spaced is None else link.around
        return (np.maximum(best, best[-1] + around - self.interval) + steps)[None]
