"""Latency of one frame through an idle pipeline, estimated: for designs too large for hwcomp.plan.timing.

Every engine is followed pixel by pixel: when its last needed input pixel arrives, when it is free, how long it computes.
Register stages inside the cells are counted per engine. Close to what is measured: within two percent for thousands of
cycles, within a few cycles per engine for tiny networks.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from hwcomp.plan import _softmax
from hwcomp.plan.stages import DataflowPlan, Source, Stage
from hwcomp.plan.streams import Permute
from sw_ref.program import Kernel, Program

_FIFO, _WIDTH, _WINDOW, _POOL, _REQUANT, _PERMUTE, _PRODUCT = 1, 1, 4, 2, 5, 4, 7  # cycles in the pipeline of each cell


def estimate(program: Program, plan: DataflowPlan) -> int:
    """Cycles from the first input beat to the last output beat of a single frame, estimated."""
    times = completion(program, plan)
    tail = max(port.outer.beats_per_pixel for port in plan.outputs)
    return int(max(_arrived(times, p.source)[-1] for p in plan.outputs) + _FIFO + tail)


def completion(program: Program, plan: DataflowPlan) -> dict[str, np.ndarray]:
    """Edge with nets of its own -> float64 [pixels of its stream]: the cycle in which each pixel is complete."""
    times = {}
    for port in plan.inputs:
        times[port.edge] = (np.arange(port.outer.pixels) + 1.0) * port.outer.beats_per_pixel
    for stage in plan.stages:
        kernel = program.kernels[stage.kernel]
        arrivals = [_arrived(times, s) for s in stage.sources]
        times[kernel.outputs[0]] = _resampled(_engine(program, kernel, stage, arrivals), stage.out.pixels)
    return times


def _arrived(times: dict[str, np.ndarray], source: Source) -> np.ndarray:
    """When each pixel has passed the FIFO and the conversions of a source."""
    at = times[source.edge] + _FIFO
    for step in source.steps:
        if isinstance(step, Permute):
            blocks = _resampled(at, step.blocks)
            at = (blocks[:, None] + _PERMUTE + (np.arange(step.words) + 1.0)).ravel()
    return _resampled(at, source.arrives.pixels)


def _resampled(at: np.ndarray, pixels: int) -> np.ndarray:
    """The same elements as another number of pixels."""
    last = -(-(np.arange(pixels) + 1) * len(at) // pixels) - 1
    return at[last]


def _engine(program: Program, kernel: Kernel, stage: Stage, arrivals: list[np.ndarray]) -> np.ndarray:
    arrival = arrivals[0]
    if kernel.kind == "dense" and stage.sources[0].arrives.pixels == 1:
        words = max(stage.fold.per_pixel, stage.fold.groups * ceil(stage.out.beats / stage.fold.groups))
        done = arrival[-1] + words + _dot_delay(stage)
        return np.linspace(done - words * (1 - 1 / stage.out.pixels), done, stage.out.pixels)
    if kernel.kind == "dense":
        return _serve(arrival, max(stage.fold.per_pixel, stage.out.beats / len(arrival))) + _dot_delay(stage)
    if kernel.kind in ("conv2d", "avgpool2d", "maxpool2d"):
        return _sliding(program, kernel, stage, arrival)
    if kernel.kind == "concat":
        joined = np.max([_resampled(a, stage.out.pixels) for a in arrivals], axis=0)
        return _serve(joined, stage.out.beats_per_pixel)
    if kernel.kind == "slice":
        p, x = kernel.params, program.edges[kernel.inputs[0]]
        carried = x.layout.order()
        at = np.unravel_index(carried, x.shape)[p["axis"]]
        kept = np.flatnonzero((at >= p["start"]) & (at < p["stop"]))
        per_pixel = len(kept) // stage.out.pixels
        return arrival[kept[per_pixel - 1 :: per_pixel] * len(arrival) // x.size]
    if kernel.kind == "mul":
        gate = _resampled(arrivals[1], stage.out.pixels) + (_WINDOW if stage.window else 0)
        return _serve(np.maximum(arrival, gate), stage.out.beats_per_pixel) + _PRODUCT
    if kernel.kind == "repeat":  # a group of words is given out when all of it is in
        groups = _resampled(arrival, stage.window.cols)
        each = stage.window.words * stage.window.repeat
        return _resampled(_serve(groups, each) + _WINDOW, stage.out.pixels)
    if kernel.kind == "lut":
        return arrival + 1
    if kernel.kind == "pad":
        _, rows, cols = program.edges[kernel.inputs[0]].shape
        return _padded(kernel, arrival.reshape(rows, cols), stage.out.beats_per_pixel).ravel()
    if kernel.kind == "softmax":
        return _softmax.complete(program, kernel, stage, arrival)
    if kernel.kind == "shuffle":
        return arrival + (_PERMUTE + stage.out.beats_per_pixel if stage.out.lanes < len(stage.order) else 0)
    return np.max(arrivals, axis=0) + (0 if kernel.kind == "reorder" else _REQUANT)


def _sliding(program: Program, kernel: Kernel, stage: Stage, arrival: np.ndarray) -> np.ndarray:
    (_, rows, cols), y = program.edges[kernel.inputs[0]].shape, program.edges[kernel.outputs[0]]
    words = stage.sources[0].arrives.beats // (rows * cols)
    needed = _needed(kernel, y.shape[1:], _resampled(arrival, rows * cols).reshape(rows, cols), words)
    per_pixel = stage.out.beats / len(needed)
    if stage.fold:
        per_pixel = max(stage.fold.per_pixel, per_pixel)
    if kernel.kind == "maxpool2d":
        return (_serve(needed, per_pixel) + _WINDOW if stage.window else needed) + _POOL
    return _serve(needed, per_pixel) + _dot_delay(stage) - _FIFO


def _dot_delay(stage: Stage) -> int:
    lanes = 1 if stage.fold is None else stage.fold.dot
    widths = len(stage.sources[0].steps) + (stage.serialize is not None)
    window = _WINDOW if stage.window else 0
    select = int(bool(stage.fold and stage.fold.select))
    return _FIFO + _WIDTH * widths + window + select + 3 + (lanes - 1).bit_length() // 2 + _REQUANT


def _needed(kernel: Kernel, out: tuple[int, ...], arrival: np.ndarray, words: int) -> np.ndarray:
    """When the last input pixel of each window is in; padding takes its beats in the stream."""
    stream = _padded(kernel, arrival, words)
    (kh, kw), (sh, sw), (dh, dw) = (kernel.params[k] for k in ("kernel", "strides", "dilations"))
    return stream[(kh - 1) * dh :: sh, (kw - 1) * dw :: sw][: out[0], : out[1]].ravel()


def _padded(kernel: Kernel, arrival: np.ndarray, words: int) -> np.ndarray:
    """When each pixel of the padded map is in, for the pixels of the map."""
    (rows, cols), (top, left, bottom, right) = arrival.shape, kernel.params["pads"]
    padded = np.zeros((rows + top + bottom, cols + left + right))
    padded[top : top + rows, left : left + cols] = arrival
    return _serve(padded.ravel(), words).reshape(padded.shape)


def _serve(ready: np.ndarray, each: float) -> np.ndarray:
    """Completion times of jobs that take `each` cycles, in order, none before it is `ready`."""
    index = np.arange(len(ready))
    return np.maximum.accumulate(ready - index * each) + (index + 1) * each
