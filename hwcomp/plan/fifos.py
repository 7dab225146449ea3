"""The least depth of every FIFO with which frames follow each other at the interval of the largest engine.

A FIFO in front of a join holds what the shorter branch delivers while the longer one fills its windows; one in front of
padding holds what comes while padding is inserted. How much that is follows from the timing of the whole design.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.execution import Execution
from hwcomp.plan.fifo_bound import whole_frames
from hwcomp.plan.liveness import live
from hwcomp.plan.maxplus import Periodic
from hwcomp.plan.stages import OUTPUT, DataflowPlan, Reader
from hwcomp.plan.timing import EXACT, PAD, Timing, build, finished, followed
from sw_ref.program import Program

_SWEEPS = 400
_FRAMES = 6  # from an idle start, of which the last half must keep the interval
EXACT_TOTAL = 1_000_000
"""Beats that are followed one by one, in all, to find the least depths of a design."""
_WIDE = 8  # steps between depths that are tried one after the other, before it goes by halves

Depths = dict[Reader, int]


def sized(program: Program, plan: DataflowPlan, least: bool = False) -> DataflowPlan:
    """The plan with the least depths of its FIFOs; in a large design with some words more, in a huge one whole frames.
    Where converters of widths take longer than the largest engine, the interval is theirs.

    `least`: the least in a large design too, which takes minutes.
    """
    if not followed(program, plan):
        return plan.with_depths(whole_frames(program, plan))
    search = _Search(program, plan, least)
    found, exact = search.depths()
    depths = search.flowing(found)
    exact = exact and depths == found
    stages = tuple(replace(s, buffer=depths.get((s.kernel, PAD), s.buffer)) for s in plan.stages)
    return replace(plan, stages=stages, interval=search.interval, least_fifos=exact).with_depths(depths)


class _Search:
    """From depths that are enough in a model without stalled bubbles up to what they cost, and down again."""

    def __init__(self, program: Program, plan: DataflowPlan, least: bool):
        self.program, self.plan, self.timing = program, plan, build(program, plan)
        self.interval = plan.interval
        self.held: Depths = {}  # what FIFOs of three words or more held at most: with as many no beat moves at another time
        beats = self.timing.graph.beats() * _FRAMES
        self.runs = sys.maxsize if least else EXACT_TOTAL // beats if beats <= EXACT else 0

    def depths(self) -> tuple[Depths, bool]:
        """Words of each FIFO, and whether none can be one less with the others as they are."""
        free = self._unbounded(self.timing)
        if not self.runs:
            return self._large()
        steady = _Steady(self.timing, self.interval)
        most = {name: occupied(free, b) for name, b in self.timing.buffers.items()}
        least = _reduced(self.timing, steady.keeps, most, dict.fromkeys(most, 2))
        if self._keeps(()):
            return least, True
        two = {name: 2 if depth == 2 else None for name, depth in least.items()}
        safe = self._safe([two, dict.fromkeys(two)]) or {name: depth + _WIDE for name, depth in least.items()}
        safe = {name: max(depth, least[name]) for name, depth in safe.items()}
        more, deepest = 0, safe
        while not (kept := self._keeps((), deepest)) and more < self.interval:
            more = max(2 * more, _WIDE)
            deepest = {name: depth + more for name, depth in safe.items()}
        if not kept:
            return deepest, False
        deepest = {name: min(depth, max(least[name], self.held.get(name, depth))) for name, depth in deepest.items()}
        return _reduced(self.timing, self._keeps, deepest, least), self.runs >= 0

    def flowing(self, depths: Depths) -> Depths:
        """`depths`, with more words in front of joins and behind forks where the design could stop for ever: engines stall as a
        whole, so where inputs pause bubbles stand in them, and they hold less than in back to back frames."""
        held = [name for name in depths if name[1] != PAD and self._may_hold(name)]
        if not held:
            return depths
        timing = build(self.program, self.plan)
        for pipe in timing.pipes:
            pipe.hold_one()

        def more(words: int) -> Depths:
            return {name: depth + (words if name in held else 0) for name, depth in depths.items()}

        def flows(depths: Depths) -> bool:
            for name, depth in depths.items():
                timing.buffers[name].resize(depth)
            return live(timing.graph)

        low, high = -1, 0
        while not flows(more(high)):
            if high > self.interval:
                return depths | whole_frames(self.program, self.plan)
            low, high = high, max(4, 2 * high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if flows(more(middle)) else (middle, high)
        return more(high)

    def _large(self) -> tuple[Depths, bool]:
        """Two words everywhere but in front of joins and padding and behind forks; there what they hold without a limit."""
        planned = {name: b.depth for name, b in build(self.program, self.plan).buffers.items()}
        some = {name: planned[name] if name[1] == PAD else None if self._may_hold(name) else 2 for name in planned}
        pads = {name: None if name[1] == PAD else depth for name, depth in some.items()}
        found = self._safe([some, pads, dict.fromkeys(some)])
        if found is None:
            return planned | whole_frames(self.program, self.plan), False
        small = {name: 2 if depth <= 3 else planned[name] if name[1] == PAD else None for name, depth in found.items()}
        found = self._safe([small]) or found
        return found, max(found.values()) == 2

    def _may_hold(self, name: Reader) -> bool:
        """A FIFO in front of a join, or one of several that read the same stream."""
        join = name[0] != OUTPUT and len(self.program.kernels[name[0]].inputs) > 1
        return join or len(self.plan.readers()[self.plan.sources()[name].edge]) > 1

    def _unbounded(self, timing: Timing) -> Periodic:
        """A steady state in which FIFOs take what comes. Where the interval of the largest engine can't be kept at all,
        it is raised to the shortest that can."""
        for buffer in timing.buffers.values():
            buffer.resize(None)
        found, low, high = None, self.interval, 2 * self.interval
        while found is None or low < high:
            run = Periodic(
                timing.graph, low if found is None and low == self.interval else (low + high) // 2, timing.inputs
            )
            if run.run(_SWEEPS):
                found, high = run, run.interval
            else:
                low, high = run.interval + 1, high if run.interval < high - 1 else 2 * high
        self.interval = high
        return found

    def _safe(self, starts: list[dict[Reader, int | None]]) -> Depths | None:
        """What FIFOs without a depth hold even if no bubble closes that is there when an engine never waits for input:
        for the first of `starts` that has a steady state."""
        timing = build(self.program, self.plan)
        for pipe in timing.pipes:
            pipe.stiffen()
        for depths in starts:
            for name, depth in depths.items():
                timing.buffers[name].resize(depth)
            run = Periodic(timing.graph, self.interval, timing.inputs)
            if run.run(_SWEEPS):
                return {n: occupied(run, b) if b.depth is None else b.depth for n, b in timing.buffers.items()}
        return None

    def _keeps(self, smaller: Sequence[Reader], depths: Depths | None = None) -> bool:
        """Whether frames from an idle start keep the interval. Says no when it has been asked too often."""
        for name, depth in (depths or {}).items():
            self.timing.buffers[name].resize(depth)
        if not _Steady(self.timing, self.interval).keeps(()):
            return False
        self.runs -= 1
        if self.runs < 0:
            return False
        run = Execution(self.timing.graph, self.timing.pipes, _FRAMES)
        done = finished(self.timing, run)
        if done is None or (np.diff(done)[_FRAMES // 2 :] != self.interval).any():
            return False
        if depths:
            self.held = {name: max(3, words(run, b)) for name, b in self.timing.buffers.items() if b.depth > 2}
        return True


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.room.source)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)


def words(run: Execution, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in an execution."""
    push, pop = (np.array(run.times[id(link)]) for link in (buffer.push, buffer.room.source))
    if buffer.place is not None:
        pop = pop.reshape(run.frames, -1)[:, buffer.place].ravel()
    gone = np.searchsorted(pop, push, side="left")  # words that left before each push
    return int((np.arange(len(push)) - gone).max()) + 1


class _Steady:
    """Tells whether there is a steady state in which bubbles close: without one no design keeps the interval."""

    def __init__(self, timing: Timing, interval: int):
        self.timing, self.interval = timing, interval
        self.pinned = [max(timing.graph.links, key=lambda link: link.count)]
        self.times: dict[int, np.ndarray] = {}
        self.earliest = True

    def keeps(self, smaller: Sequence[Reader]) -> bool:
        """`smaller`: the FIFOs with fewer words than when the answer was last yes; none: start afresh."""
        run = Periodic(self.timing.graph, self.interval, self.pinned)
        buffers = [self.timing.buffers[n] for n in smaller]
        if buffers and self.times:
            run.times = dict(self.times)
            faster = any(b.depth == 2 for b in buffers)  # two words are faster than three: earlier times may do
            if run.settle({id(b.push) for b in buffers}, _SWEEPS):
                self.times, self.earliest = run.times, self.earliest and not faster
                return True
            if self.earliest and not faster:
                return False
            run = Periodic(self.timing.graph, self.interval, self.pinned)
        if not run.run(_SWEEPS):
            return False
        self.times, self.earliest = run.times, True
        return True


def _reduced(timing: Timing, keeps: Callable[[Sequence[Reader]], bool], depths: Depths, hints: Depths) -> Depths:
    """From `depths` that are enough to depths of which none can be one less. `hints`: where to look first."""
    buffers = timing.buffers
    depths = dict(depths)
    for name, depth in depths.items():
        buffers[name].resize(depth)
    keeps(())

    def shrink(names: list[Reader]) -> None:
        """What the hints say for as many of these as can be told together."""
        for name in names:
            buffers[name].resize(hints[name])
        if keeps(names):
            depths.update((name, hints[name]) for name in names)
            return
        for name in names:
            buffers[name].resize(depths[name])
        if len(names) > 1:
            shrink(names[: len(names) // 2])
            shrink(names[len(names) // 2 :])

    if names := [n for n, d in depths.items() if hints[n] < d]:
        shrink(names)
    proved: set[Reader] = set()
    while todo := [n for n in depths if depths[n] > 2 and n not in proved]:
        name = todo[0]
        low, high, probe, step = 2, depths[name], min(hints[name], depths[name] - 1), 1
        while low < high:  # near the hint, then in growing steps, then in halves
            buffers[name].resize(probe)
            if keeps([name]):
                high, probe = probe, max(low, probe - step)
            else:
                low, probe = probe + 1, min(high - 1, probe + step)
            step *= 2
            probe = (low + high) // 2 if step > _WIDE else probe
        buffers[name].resize(high)
        if high == 2:
            proved.clear()  # it is faster than one of three words, which may help the others
        depths[name], hints = high, {**hints, name: high - 1}
        proved.add(name)
    return depths
