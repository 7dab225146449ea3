"""The least depth of every FIFO that lets frames follow each other at the interval of the largest engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.maxplus import NEVER, Arc, Link, Periodic
from hwcomp.plan.stages import DataflowPlan, Reader
from hwcomp.plan.timing import PAD, Timing, build
from sw_ref.program import Program

_SWEEPS = 400
_ROUNDS = 12


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
    run = _relaxed(timing, interval, timing.inputs)
    if run is None:
        return None
    most = {name: occupied(run, b) for name, b in timing.buffers.items()}
    least = _search(timing, interval, most, dict.fromkeys(most, 2), _relaxed)
    if _stiff(timing, interval) is not None:
        return least
    return _search(timing, interval, {n: d + 8 for n, d in most.items()}, least, _stiff)


def _search(timing: Timing, interval: int, depths: dict[Reader, int], hints: dict[Reader, int], solve) -> dict[Reader, int]:
    """From `depths` that are enough to depths of which none can be one less. `hints`: where to look first."""

    def enough(name: Reader, depth: int) -> bool:
        timing.buffers[name].resize(depth)
        return solve(timing, interval) is not None

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


def busiest(timing: Timing) -> Link:
    return max(timing.graph.links, key=lambda link: link.count * link.gap)


def _relaxed(timing: Timing, interval: int, pinned: list[Link] | None = None) -> Periodic | None:
    """A steady state in which bubbles close."""
    for pipe in timing.pipes:
        pipe.relax()
    run = Periodic(timing.graph, interval, pinned or [busiest(timing)])
    return run if run.run(_SWEEPS) else None


def _stiff(timing: Timing, interval: int) -> Periodic | None:
    """A steady state in which bubbles stay. It takes a few rounds to find out where they are."""
    run = _relaxed(timing, interval)
    for _ in range(_ROUNDS):
        if run is None or not any([p.stiffen(run) for p in timing.pipes]):
            return run
        run = Periodic(timing.graph, interval, [busiest(timing)])
        run = run if run.run(_SWEEPS) else None
    return None


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.pop)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)
