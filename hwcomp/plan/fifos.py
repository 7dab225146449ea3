"""The least depth of every FIFO with which frames follow each other at the interval of the largest engine.

A FIFO in front of a join holds what the shorter branch delivers while the longer one fills its windows; one in front of
padding holds what comes while padding is inserted. How much that is follows from the timing of the whole design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.maxplus import Periodic
from hwcomp.plan.stages import DataflowPlan, Reader
from hwcomp.plan.timing import PAD, Timing, build, completions
from sw_ref.program import Program

_SWEEPS = 400
_FRAMES = 6  # from an idle start, of which the last half must keep the interval
_SPARE = 8  # words by which bubbles in waiting pipelines may raise a depth

Depths = dict[Reader, int]


def sized(program: Program, plan: DataflowPlan) -> DataflowPlan:
    """The plan with the least depths of its FIFOs."""
    depths = least_depths(build(program, plan), plan.interval)
    if depths is None:
        raise AssertionError("no depth is enough")
    stages = tuple(replace(s, buffer=depths.get((s.kernel, PAD), s.buffer)) for s in plan.stages)
    return replace(plan, stages=stages).with_depths(depths)


def least_depths(timing: Timing, interval: int) -> Depths | None:
    """Words of each FIFO: none can be one less with the others as they are. None where no depth is enough."""
    for buffer in timing.buffers.values():
        buffer.resize(None)
    free = Periodic(timing.graph, interval, timing.inputs)
    if not free.run(_SWEEPS):
        return None
    most = {name: occupied(free, b) for name, b in timing.buffers.items()}
    steady = _Steady(timing, interval)
    least = _reduced(timing, steady.keeps, most, dict.fromkeys(most, 2))
    if _keeps(timing, interval):
        return least

    def keeps(smaller: Sequence[Reader]) -> bool:
        return steady.keeps(()) and _keeps(timing, interval)

    return _reduced(timing, keeps, {n: d + _SPARE for n, d in most.items()}, least)


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.room.source)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)


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


def _keeps(timing: Timing, interval: int) -> bool:
    """Whether frames from an idle start keep the interval."""
    done = completions(timing, _FRAMES)
    return done is not None and bool((np.diff(done)[_FRAMES // 2 :] == interval).all())


def _reduced(timing: Timing, keeps: Callable[[Sequence[Reader]], bool], depths: Depths, hints: Depths) -> Depths:
    """From `depths` that are enough to depths of which none can be one less. `hints`: where to look first."""
    buffers = timing.buffers
    depths = dict(depths)
    for name, depth in depths.items():
        buffers[name].resize(depth)
    keeps(())

    def without(names: list[Reader]) -> None:
        """Two words for as many of these as can be told together."""
        for name in names:
            buffers[name].resize(2)
        if keeps(names):
            depths.update(dict.fromkeys(names, 2))
            return
        for name in names:
            buffers[name].resize(depths[name])
        if len(names) > 1:
            without(names[: len(names) // 2])
            without(names[len(names) // 2 :])

    if names := [n for n, d in depths.items() if hints[n] == 2 < d]:
        without(names)
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
            probe = (low + high) // 2 if step > _SPARE else probe
        buffers[name].resize(high)
        if high == 2:
            proved.clear()  # it is faster than one of three words, which may help the others
        depths[name], hints = high, {**hints, name: high - 1}
        proved.add(name)
    return depths
