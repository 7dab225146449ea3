"""The stage of Softmax: one value at a time, those of one sum in a row."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.plan.stages import Stage, unsupported
from sw_ref.program import Kernel, Layout, Program

if TYPE_CHECKING:
    from hwcomp.plan.dataflow import Sweep

_MOST_BITS = 29  # of two tables: what a lane of hwc_requant holds


def softmax(sweep: Sweep, index: int, kernel: Kernel) -> Stage:
    x, y, p = sweep.program.edges[kernel.inputs[0]], sweep.program.edges[kernel.outputs[0]], kernel.params
    if p["split"] and p["bits"] > _MOST_BITS:
        raise unsupported(kernel, f"Softmax with two tables of {p['bits']} bits")
    source = sweep.source(kernel, 0, prod(x.shape[a] for a in p["axes"]), 1)
    return Stage(index, source.arrives.beats, (source,), replace(source.arrives, bits=y.bits, signed=y.signed))


def complete(program: Program, kernel: Kernel, stage: Stage, arrival: np.ndarray) -> np.ndarray:
    """When each sum's values have left hwc_softmax, if the last input of each came at `arrival`.

    A sum waits for its last value; then its values leave one by one. At an output the port counts the values of a pixel.
    """
    size, lanes = stage.out.channels, stage.sources[0].stream.lanes
    beats = ceil(size / lanes)
    ready = arrival[:, None] - beats + 1 + np.arange(size) // lanes
    order = np.arange(ready.size)
    values = np.maximum.accumulate(ready.ravel() - order) + order + 1
    first = values[size - 1 :: size] + bool(stage.sources[0].steps) + size + kernel.params["fraction"] + 6
    first = first + 4 * (kernel.params["split"] > 0)
    y = program.edges[kernel.outputs[0]]
    is_map = len(y.shape) >= 3 and y.layout == Layout.channels_last(y.shape)
    pixel = y.shape[0] if is_map else size
    return first + size - (pixel if y.name in program.outputs else 1)
