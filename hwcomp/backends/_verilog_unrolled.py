"""Unrolled binary layers: the module that a netlist of shared counters is printed as."""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _verilog_bits as few
from hwcomp.backends import _verilog_rom as rom
from hwcomp.plan import unrolled
from hwcomp.plan.bits import decides
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel


def counters(kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> unrolled.Counters:
    """Of the engine's lanes and outputs, in their order."""
    words = rom.weight_words(kernel, stage, x, y)
    return unrolled.share(words.reshape(stage.fold.pe, -1))


def values(name: str, kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> dict[str, object]:
    """What the template of the module `name` takes."""
    c, start = counters(kernel, stage, x, y), few.starts(kernel, x, y)
    begin = rom.start_words(start.values, kernel, stage, y)[0] + c.start * (2 if start.double else 1)
    sign, bits, lanes = decides(kernel, y), c.bits, stage.fold.taps * stage.fold.simd
    outputs = [
        {
            "start": int(first),
            "flip": f"{len(flips)}'b{''.join(str(int(f)) for f in flips[::-1])}",
            "reads": [f"c_q[{r * bits}+:{bits}]" for r in reads[::-1]],
        }
        for first, flips, reads in zip(begin, c.flips, c.reads, strict=True)
    ]  # fmt: skip
    return {
        "name": name, "lanes": lanes, "bits": bits, "acc": start.width, "sign": int(sign), "double": int(start.double),
        "width": 1 if sign else start.width, "lat": unrolled.latency(kernel) - 2, "steps": unrolled.STEPS,
        "reg": unrolled.REGISTER, "outputs": outputs,
        "counters": [_inputs(c.inputs[g], int(p)) for g, p in zip(c.group, c.pattern, strict=True)],
        "idle": [f"x_q[{i}]" for i in np.setdiff1d(np.arange(lanes), c.inputs)],
    }  # fmt: skip


def _inputs(lanes: np.ndarray, pattern: int) -> list[str]:
    """What a counter counts, the top bit first."""
    texts = [f"{'' if pattern >> j & 1 else '~'}x_q[{lane}]" if lane >= 0 else "1'b0" for j, lane in enumerate(lanes)]
    return texts[::-1]
