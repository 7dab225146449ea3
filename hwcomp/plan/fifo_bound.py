"""Depths of the FIFOs in front of engines that share a stream or join streams: whole frames, a safe bound.

Every reader of a forked stream but the slowest, and every input of a join, holds a frame and what comes while the latest
input is on its way. So no branch ever waits for room that another one must free first.
"""

from __future__ import annotations

from math import ceil

from hwcomp.plan.latency import completion
from hwcomp.plan.stages import OUTPUT, DataflowPlan, Reader
from sw_ref.program import Program

_SURE = 64  # cycles that estimates of two paths may be apart from what is measured, besides a tenth of the interval


def whole_frames(program: Program, plan: DataflowPlan) -> dict[Reader, int]:
    """Words of the FIFO in front of each reader that needs more than two."""
    times = completion(program, plan)
    ends = {edge: float(t[-1]) for edge, t in times.items()}
    depths: dict[Reader, int] = {}
    for stage in plan.stages:
        if len(stage.sources) < 2:
            continue
        arrivals = sorted(ends[s.edge] for s in stage.sources)
        sure = arrivals[-1] - arrivals[-2] > _SURE + plan.interval / 10
        for i, source in enumerate(stage.sources):
            gap = arrivals[-1] - ends[source.edge]
            if gap or not sure or stage.turns:
                turn = stage.turns[i] if stage.turns else 0  # words that wait while the others have their turn
                depths[stage.kernel, i] = max(2, source.buffered.beats * (1 + ceil(gap / plan.interval)) + turn)
    sources, outs = plan.sources(), {s.kernel: program.kernels[s.kernel].outputs[0] for s in plan.stages}
    for readers in plan.readers().values():
        tight = [r for r in readers if r not in depths and r[0] != OUTPUT]
        for reader in sorted(tight, key=lambda r: ends[outs[r[0]]])[:-1] if len(readers) > 1 else []:
            depths[reader] = max(2, sources[reader].buffered.beats)
    return depths
