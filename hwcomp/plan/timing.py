"""The timing of a planned design: every stream between its cells, and what bounds their beats."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np

from hwcomp.plan import cell_timing as cells
from hwcomp.plan.dataflow import DataflowPlan, Stage
from hwcomp.plan.maxplus import Frames, Graph, Link
from sw_ref.program import Kernel, Program


@dataclass
class Timing:
    """`outputs`: the streams that leave; `buffers`: the FIFOs whose depth the plan chooses, by name."""

    graph: Graph = field(default_factory=Graph)
    outputs: list[Link] = field(default_factory=list)
    buffers: dict[str, cells.Buffer] = field(default_factory=dict)


def build(program: Program, plan: DataflowPlan) -> Timing:
    """All cells of the design. The same order and structure as the netlist."""
    t = Timing()
    ends: dict[str, Link] = {p.edge: t.graph.link(p.edge, p.outer.beats) for p in plan.inputs}
    stages = {s.kernel: s for s in plan.stages}
    for index, kernel in enumerate(program.kernels):
        source = ends[kernel.inputs[0]]
        if index in stages:
            head = cells.fifo(t.graph, source, f"k{index}_fifo").resize(2).pop
            source = _KINDS[kernel.kind](t, program, kernel, stages[index], head, f"k{index}")
        ends[kernel.outputs[0]] = source
    for i, port in enumerate(plan.outputs):
        last = cells.fifo(t.graph, ends[port.edge], f"out{i}_fifo").resize(2).pop
        t.outputs.append(cells.width(t.graph, last, f"out{i}", port.convert))
    return t


def frame_latency(program: Program, plan: DataflowPlan) -> int:
    """Cycles from the first input beat to the last output beat of a single frame."""
    t = build(program, plan)
    frames = Frames(t.graph, 1)
    frames.run()
    return 1 + max(int(frames.times[id(link)][-1, -1]) for link in t.outputs)


def completions(timing: Timing, frames: int) -> np.ndarray:
    """The cycle in which each of `frames` frames that come back to back is complete, int64 [frames]."""
    run = Frames(timing.graph, frames)
    run.run()
    return np.max([run.times[id(link)][:, -1] for link in timing.outputs], axis=0)


def _dot(t: Timing, program: Program, kernel: Kernel, stage: Stage, head: Link, name: str) -> Link:
    x, fold = program.edges[kernel.inputs[0]], stage.fold
    last = cells.width(t.graph, head, f"{name}_width", stage.convert)
    if stage.pads:
        words = ceil(x.shape[0] / fold.simd)
        t.buffers[name] = cells.pad(t.graph, last, f"{name}_pad", x.shape[1:], words, stage.pads).resize(stage.buffer)
        last = t.buffers[name].pop
    latency = 3 + (fold.taps * fold.simd - 1).bit_length() // 2
    if stage.window:
        last = cells.windows(t.graph, last, f"{name}_window", stage.window, fold.chunks)
        last = cells.groups(t.graph, last, f"{name}_mvu", fold.chunks, latency)
    else:
        ends = np.arange(fold.chunks - 1, last.count, fold.chunks)
        last = cells.thinned(t.graph, last, f"{name}_mvu", ends, latency)
    last = cells.width(t.graph, last, f"{name}_serial", stage.serialize)
    return cells.pipe(t.graph, last, name, _requant(kernel))


def _requant(kernel: Kernel) -> int:
    """Cycles in hwc_requant."""
    m, offset = kernel.constants["multiplier"], kernel.constants.get("offset")
    if not (m == 1).all():
        return 5
    affine = kernel.params["requantize"]["form"] == "affine"
    return 3 if affine and not (offset == offset[0]).all() else 2


def _maxpool2d(t: Timing, program: Program, kernel: Kernel, stage: Stage, head: Link, name: str) -> Link:
    x, p, last = program.edges[kernel.inputs[0]], kernel.params, head
    top, left, bottom, right = p["pads"]
    words = stage.source.beats_per_pixel
    if stage.pads:
        t.buffers[name] = cells.pad(t.graph, last, f"{name}_pad", x.shape[1:], words, stage.pads).resize(stage.buffer)
        last = t.buffers[name].pop
    rows, cols = x.shape[1] + top + bottom, x.shape[2] + left + right
    return cells.maxpool(t.graph, last, name, rows, cols, words, p["kernel"], p["strides"])


def _requantize(t: Timing, program: Program, kernel: Kernel, stage: Stage, head: Link, name: str) -> Link:
    return cells.pipe(t.graph, head, name, _requant(kernel))


def _argmax(t: Timing, program: Program, kernel: Kernel, stage: Stage, head: Link, name: str) -> Link:
    s = stage.source
    last = np.arange(s.beats_per_pixel - 1, s.beats, s.beats_per_pixel)
    return cells.thinned(t.graph, head, name, last, (s.lanes - 1).bit_length() + 2)


_KINDS = {"argmax": _argmax, "conv2d": _dot, "dense": _dot, "maxpool2d": _maxpool2d, "requantize": _requantize}
