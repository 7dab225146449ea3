"""Latency of one frame through an idle pipeline, before anything is simulated.

Every engine is followed pixel by pixel: when its last needed input pixel arrives, when it is free, how long it computes.
Register stages inside the cells are counted per engine. Close to what is measured: within two percent for thousands of
cycles, within a few cycles per engine for tiny networks.
"""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from hwcomp.plan.dataflow import DataflowPlan, Stage
from sw_ref.program import Kernel, Program

_FIFO, _WIDTH, _WINDOW, _POOL, _REQUANT = 1, 1, 4, 2, 5  # cycles in the pipeline of each cell


def frame_latency(program: Program, plan: DataflowPlan) -> int:
    """Cycles from the first input beat to the last output beat of a single frame, estimated."""
    times = {}  # edge name -> float64 [pixels]: cycle in which each pixel of its stream is complete
    for port in plan.inputs:
        times[port.edge] = (np.arange(port.outer.pixels) + 1.0) * port.outer.beats_per_pixel
    stages = {s.kernel: s for s in plan.stages}
    for index, kernel in enumerate(program.kernels):
        arrival = times[kernel.inputs[0]]
        if index in stages:
            arrival = _engine(program, kernel, stages[index], arrival)
        times[kernel.outputs[0]] = arrival
    tail = max(port.outer.beats_per_pixel for port in plan.outputs)
    return int(max(times[p.edge][-1] for p in plan.outputs) + _FIFO + tail)


def _engine(program: Program, kernel: Kernel, stage: Stage, arrival: np.ndarray) -> np.ndarray:
    if kernel.kind == "dense":
        words = stage.fold.groups * max(stage.fold.chunks, ceil(stage.out.beats / stage.fold.groups))
        done = arrival[-1] + words + _dot_delay(stage)
        return np.linspace(done - words * (1 - 1 / stage.out.pixels), done, stage.out.pixels)
    if kernel.kind == "conv2d":
        words = ceil(program.edges[kernel.inputs[0]].shape[0] / stage.fold.simd)
        needed = _needed(program, kernel, arrival, words)
        per_pixel = max(stage.fold.groups * stage.fold.chunks, stage.out.beats_per_pixel)
        return _serve(needed, per_pixel) + _dot_delay(stage)
    if kernel.kind == "maxpool2d":
        return _needed(program, kernel, arrival, stage.source.beats_per_pixel) + _FIFO + _POOL
    if kernel.kind == "softmax":
        return _softmax(program, kernel, stage, arrival)
    return arrival + _FIFO + _REQUANT


def _softmax(program: Program, kernel: Kernel, stage: Stage, arrival: np.ndarray) -> np.ndarray:
    """A sum waits for its last value, and its values leave one by one: hwc_softmax."""
    x, p = program.edges[kernel.inputs[0]], kernel.params
    size = prod(x.shape[a] for a in p["axes"])
    beat = (
        np.arange(stage.out.channels) // stage.source.lanes - stage.source.beats_per_pixel + 1
    )  # of a pixel, from the last
    values = _serve((arrival[:, None] + beat).ravel(), 1) + _WIDTH * (stage.convert is not None)
    first = values.reshape(-1, size)[:, -1] + size + p["fraction"] + 7 + 4 * (p["split"] > 0)
    leave = (first[:, None] + np.arange(size)).reshape(-1, stage.out.channels)
    # At an output the beats of a pixel are counted there.
    return leave[:, 0 if kernel.outputs[0] in program.outputs else -1]


def _dot_delay(stage: Stage) -> int:
    lanes = stage.fold.taps * stage.fold.simd
    widths = (stage.convert is not None) + (stage.serialize is not None)
    window = _WINDOW if stage.window else 0
    return _FIFO + _WIDTH * widths + window + 3 + (lanes - 1).bit_length() // 2 + _REQUANT


def _needed(program: Program, kernel: Kernel, arrival: np.ndarray, words: int) -> np.ndarray:
    """When the last input pixel of each window is in; padding takes its beats in the stream."""
    (_, rows, cols), (_, down, across) = (program.edges[n].shape for n in (kernel.inputs[0], kernel.outputs[0]))
    top, left, bottom, right = kernel.params["pads"]
    padded = np.zeros((rows + top + bottom, cols + left + right))
    padded[top : top + rows, left : left + cols] = arrival.reshape(rows, cols)
    stream = _serve(padded.ravel(), words).reshape(padded.shape)
    (kh, kw), (sh, sw), (dh, dw) = (kernel.params[k] for k in ("kernel", "strides", "dilations"))
    return stream[(kh - 1) * dh :: sh, (kw - 1) * dw :: sw][:down, :across].ravel()


def _serve(ready: np.ndarray, each: float) -> np.ndarray:
    """Completion times of jobs that take `each` cycles, in order, none before it is `ready`."""
    index = np.arange(len(ready))
    return np.maximum.accumulate(ready - index * each) + (index + 1) * each
