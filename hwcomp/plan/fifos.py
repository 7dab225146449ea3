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
    least = _search(timing, interval, dict.fromkeys(most, 2), most, _relaxed)
    if _stiff(timing, interval) is not None:
        return least
    return _search(timing, interval, least, {n: d + 8 for n, d in most.items()}, _stiff)


def _search(timing: Timing, interval: int, low: dict[Reader, int], high: dict[Reader, int], solve) -> dict[Reader, int]:
    for name, buffer in timing.buffers.items():
        buffer.resize(high[name])
    found = {}
    for name, buffer in timing.buffers.items():
        enough, few, step = high[name], low[name], 1
        probe = few
        while few < enough:  # first near the bottom, in growing steps, then in halves
            buffer.resize(probe)
            if solve(timing, interval):
                enough = probe
            else:
                few = probe + 1
            step *= 2
            probe = min(few + step, (few + enough) // 2)
        found[name] = enough
        buffer.resize(enough)
    return found


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
    stiff = set()
    for _ in range(_ROUNDS):
        if run is None:
            return None
        changed = False
        for pipe in timing.pipes:
            if id(pipe) in stiff or pipe.waits(run):
                stiff.add(id(pipe))
                ready, free = _ready(run, pipe.source, pipe.backward), _ready(run, pipe.out, pipe.forward)
                changed |= pipe.stiffen(ready, free, interval)
        if not changed:
            return run
        run = Periodic(timing.graph, interval, [busiest(timing)])
        run = run if run.run(_SWEEPS) else None
    return None


def _ready(run: Periodic, link: Link, apart: Arc) -> np.ndarray:
    """When the beats of a link could move but for one arc."""
    if link in run.pinned:
        return run.times[id(link)][0]
    bounds = [run._bound(a, link.count)[0] for a in link.arcs if a is not apart]
    return np.max(bounds, axis=0) if bounds else np.full(link.count, NEVER)


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.pop)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)
