"""The least depth of every FIFO that lets frames follow each other at the interval of the largest engine."""

from __future__ import annotations

import numpy as np

from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.maxplus import Graph, Periodic
from hwcomp.plan.timing import Timing

_SWEEPS = 400


def steady(graph: Graph, interval: int) -> Periodic:
    """The periodic solver, anchored at a stream that is busy in every cycle of the interval."""
    busy = [link for link in graph.links if link.count * link.gap == interval]
    return Periodic(graph, interval, max(busy, key=lambda link: link.gap))


def least_depths(timing: Timing, interval: int) -> dict[str, int] | None:
    """Words of each of `timing.buffers`, found one after the other in stream order, each the least with the others as they
    are. None where no depth is enough."""
    for buffer in timing.buffers.values():
        buffer.resize(None)
    run = steady(timing.graph, interval)
    if not run.run(_SWEEPS):
        return None
    depths = {name: occupied(run, b) for name, b in timing.buffers.items()}
    for name, buffer in timing.buffers.items():
        buffer.resize(depths[name])
    for name, buffer in timing.buffers.items():
        low, high = 2, depths[name]  # high is enough
        while low < high:
            middle = (low + high) // 2
            buffer.resize(middle)
            if steady(timing.graph, interval).run(_SWEEPS):
                high = middle
            else:
                low = middle + 1
        depths[name] = high
        buffer.resize(high)
    return depths


def occupied(run: Periodic, buffer: Buffer) -> int:
    """Words that a FIFO holds at most in a steady state, at least 2."""
    push, pop = run.times[id(buffer.push)][0], run.times[id(buffer.pop)][0]
    pop = pop if buffer.place is None else pop[buffer.place]
    turns, left = np.divmod(push - 1 - pop[0], run.interval)
    gone = turns * len(pop) + np.searchsorted(pop - pop[0], left, side="right")  # words that left before each push
    return max(2, int((np.arange(len(push)) - gone).max()) + 1)
