"""What the report says of zeros in hardware: for each engine whose weights have some, the beats that it leaves out, or why none.
hwcomp.plan.skips says which, hwcomp.plan.folding whether that pays.
"""

from __future__ import annotations

from typing import Any

from hwcomp.plan import selects, skips
from hwcomp.plan.folding import DENSE
from hwcomp.plan.stages import DataflowPlan, Stage
from sw_ref.program import Kernel, Program

FEW = 0.1  # zeros that the report speaks of
CURVE = tuple(i / 20 for i in range(1, 21))
"""Densities of the break-even plot."""


def of(program: Program, plan: DataflowPlan, stage: Stage) -> dict[str, Any] | None:
    """None of an engine without weights, or without zeros. `beats`: of a pixel with beats left out where that is possible, relative
    to all; curves, each with the lanes of this engine: of blocks of PE x SIMD, and, where lanes may choose among channels, of those
    that follow a pattern and of single weights at random places."""
    kernel, fold = program.kernels[stage.kernel], stage.fold
    if kernel.kind not in ("conv2d", "dense"):
        return None
    weight = kernel.constants["weight"]
    density = float((weight != 0).mean())
    if density > 1 - FEW:
        return None
    facts = {"density": round(density, 4), "lanes": fold.lanes, "skips": bool(fold.kept or fold.select)}
    if fold.unrolled or fold.kind != DENSE:
        why = (
            "its weights are wired in: zeros are no logic"
            if fold.unrolled
            else "depthwise: a beat serves other channels"
        )
        return {**facts, "beats": None, "curves": {}, "why": why}
    left = _left(program, plan, kernel, stage)
    whole = round(fold.groups * fold.chunks * fold.read / fold.simd)
    curves = {
        "blocks of PE x SIMD": list(CURVE),
        "patterns N:M": [selects.pattern(d) for d in CURVE],
        "single weights": [round(min(1 - (1 - d) ** fold.lanes, selects.scattered(d, weight.size)), 4) for d in CURVE],
    }
    return {**facts, "beats": round(left / whole, 4), "curves": curves, "why": _why(stage, left, whole)}


def _left(program: Program, plan: DataflowPlan, kernel: Kernel, stage: Stage) -> int:
    """Beats of a pixel whose weights are not all zero, in this fold."""
    fold = stage.fold
    if fold.kept or fold.select:
        return fold.per_pixel
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    row = kernel.kind == "dense" and x.size == kernel.constants["weight"].shape[1]
    used = skips.Used.of(kernel, x, y, plan.streams[kernel.inputs[0]] if row else None)
    return sum(skips.beats(used, fold.taps, fold.simd, (fold.pe,))[0]) if used else fold.groups * fold.chunks


def _why(stage: Stage, left: int, whole: int) -> str:
    if stage.fold.select:
        return f"{left:,} beats for a pixel in place of {whole:,}: channels with weights of zero are not multiplied"
    text = f"{left:,} of {whole:,} beats for a pixel have weights that are not all zero"
    if stage.fold.kept:
        return f"{text}, the others are left out"
    if left > (1 - skips.LEAST) * whole:
        return f"{text}: less than 1/{round(1 / skips.LEAST)} could go, which the schedule would not be worth"
    return f"{text}: all outputs read the words in order, there is no buffer to leave words out of"
