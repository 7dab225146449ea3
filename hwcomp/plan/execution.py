"""A design beat by beat from an idle start: exact, pipelines that stall as a whole included; slow.

Every stream computes the time of its next beat as soon as the beats that bound it are known.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Generator

import numpy as np

from hwcomp.plan.cell_timing import Pipe
from hwcomp.plan.maxplus import Graph, Link


class _Line:
    """The beats of a Pipe, which makes a step in every cycle in which its end does not wait.

    `steps`: the one with which each beat enters; `ends`: the one with which each beat that leaves is at the end.
    """

    def __init__(self, pipe: Pipe):
        self.pipe, self.exit = pipe, id(pipe.backward.source)
        self.is_last = np.isin(np.arange(pipe.source.count), pipe.last).tolist()
        self.steps = array("q")
        self.ends = array("q")


class Execution:
    """`times`: of all beats of each link, by its id, over `frames` frames back to back. `stuck`: they never come through."""

    def __init__(self, graph: Graph, pipes: list[Pipe], frames: int):
        self.frames = frames
        self.times: dict[int, array[int]] = {id(link): array("q") for link in graph.links}
        self._waiting: dict[int, list[Generator]] = {id(link): [] for link in graph.links}
        lines = [_Line(p) for p in pipes]
        self._into = {id(x.pipe.source): x for x in lines}
        self._out_of = {id(x.pipe.out): x for x in lines}
        self._taps = {id(tap.target): (x, tap) for x in lines for tap in x.pipe.taps}
        self._ready = deque(self._walk(link) for link in graph.links)
        while self._ready:
            walk = self._ready.popleft()
            needed = next(walk, None)
            if needed is not None:
                self._waiting[needed].append(walk)
        self.stuck = any(len(self.times[id(link)]) < frames * link.count for link in graph.links)

    def _walk(self, link: Link) -> Generator[int]:
        """Compute all beats of a link; yield the id of another one to wait for its next beat."""
        times, waiting = self.times[id(link)], self._waiting[id(link)]
        into, out_of, (tapped, tap) = (
            self._into.get(id(link)),
            self._out_of.get(id(link)),
            self._taps.get(id(link), (None, None)),
        )
        known = {
            id(a) for a in ((into and into.pipe.backward), (out_of and out_of.pipe.forward), (tap and tap.bound)) if a
        }
        arcs = [
            (id(a.source), self.times[id(a.source)], None if a.index is None else a.index.tolist(), a.offset, a.delay, a.source.count)
            for a in link.arcs if id(a) not in known
        ]  # fmt: skip
        left = self.times[into.exit] if into else []
        before = self.times[out_of.exit] if out_of else []
        released = self.times[tapped.exit] if tapped else []
        now, step, waited, gone, number = -1, -1, 0, 0, 0
        for frame in range(self.frames):
            for i in range(link.count):
                now += 1
                for key, source, index, offset, delay, count in arcs:
                    beat = (i + offset if index is None else index[i]) + frame * count
                    if beat >= 0:
                        while len(source) <= beat:
                            yield key
                        if source[beat] + delay > now:
                            now = source[beat] + delay
                if out_of:  # the pipeline has made the steps from the beat before to this one
                    while len(out_of.ends) <= number:
                        yield id(out_of.pipe.source)
                    end, late = out_of.ends[number], 0
                    if number:
                        while len(before) < number:
                            yield out_of.exit
                        late = before[number - 1] - out_of.ends[number - 1]
                    now = max(now, end + late)
                if into:
                    step += 1
                    ends = into.ends
                    while True:
                        while gone < len(ends) and ends[gone] <= step:
                            while len(left) <= gone:
                                yield into.exit
                            waited = left[gone] - ends[gone]
                            gone += 1
                        if step + waited >= now:
                            break
                        step = min(now - waited, ends[gone]) if gone < len(ends) else now - waited
                    now = step + waited
                    into.steps.append(step)
                    if into.is_last[i]:
                        ends.append(step + into.pipe.latency)
                if tapped:
                    beat = tap.beats[i] + frame * tapped.pipe.source.count
                    while len(tapped.steps) <= beat:
                        yield id(tapped.pipe.source)
                    at = tapped.steps[beat] + tap.stage
                    while gone < len(tapped.ends) and tapped.ends[gone] <= at:
                        while len(released) <= gone:
                            yield tapped.exit
                        waited = released[gone] - tapped.ends[gone]
                        gone += 1
                    now = max(now, at + waited)
                times.append(now)
                number += 1
                if waiting:
                    self._ready.extend(waiting)
                    waiting.clear()
