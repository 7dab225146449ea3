"""The least depth of every FIFO that lets frames follow each other at the interval of the largest engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.maxplus import Link, Periodic
from hwcomp.plan.stages import DataflowPlan, Reader
from hwcomp.plan.timing import PAD, Timing, build, completions
from sw_ref.program import Program

_SWEEPS = 400
_FRAMES = 8


def sized(program: Program, plan: DataflowPlan) -> DataflowPlan:
    """The plan with the least depths of its FIFOs."""
    depths = least_depths(build(program, plan), plan.interval)
    if depths is None:
        raise AssertionError("no depth is enough")
    stages = tuple(replace(s, buffer=depths.get((s.kernel, PAD), s.buffer)) for s in plan.stages)
    return replace(plan, stages=stages).with_depths(depths)


def least_depths(timing: Timing, interval: int) -> dict[Reader, int] | None:
    """Words of each FIFO, found one after the other in stream order: each the least with the others as they are then.

    None where no depth is enough.
    """
    for buffer in timing.buffers.values():
        buffer.resize(None)
    run = _steady(timing, interval, timing.inputs)
    if run is None:
        return None
    most = {name: occupied(run, b) for name, b in timing.buffers.items()}
    least = _search(timing, interval, most, dict.fromkeys(most, 2), _relaxed)
    if _exact(timing, interval):
        return least
    return _search(timing, interval, {n: d + 8 for n, d in most.items()}, least, _exact)


def _search(timing: Timing, interval: int, depths: dict[Reader, int], hints: dict[Reader, int], solve) -> dict[Reader, int]:
    """From `depths` that are enough to depths of which none can be one less. `hints`: where to look first."""

    def enough(name: Reader, depth: int) -> bool:
        timing.buffers[name].resize(depth)
        return solve(timing, interval)

    depths = dict(depths)
    for name, depth in depths.items():
        timing.buffers[name].resize(depth)
    smaller = True
    while smaller:  # another pass: a FIFO of two words is faster than one of three, which helps the others
        smaller = False
        for name, depth in depths.items():
            low, high, probe, step = 2, depth, min(hints[name], depth - 1), 1
            while low < high:
                if enough(name, probe):
                    high, probe = probe, max(low, probe - step)
                else:
                    low, probe = probe + 1, min(high - 1, probe + step)
                step *= 2
                if step > 8:
                    probe = (low + high) // 2
            timing.buffers[name].resize(high)
            if high < depth:
                depths[name], smaller = high, True
        hints = {name: depth - 1 for name, depth in depths.items()}
    return depths


def _relaxed(timing: Timing, interval: int, pinned: list[Link] | None = None) -> bool:
    """Whether there is a steady state in which bubbles close: no design without one keeps the interval."""
    return _steady(timing, interval, pinned or [max(timing.graph.links, key=lambda link: link.count)]) is not None


def _steady(timing: Timing, interval: int, pinned: list[Link]) -> Periodic | None:
    run = Periodic(timing.graph, interval, pinned)
    return run if run.run(_SWEEPS) else None


def _exact(timing: Timing, interval: int) -> bool:
    """Whether frames from an idle start keep the interval."""
    if not _relaxed(timing, interval):
        return False
    done = completions(timing, _FRAMES)
    return done is not None and bool((np.diff(done)[_FRAMES // 2 :] == interval).all())


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.room.source)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)
