"""The timing of a planned design: every stream between its cells and what bounds its beats. Follows the netlist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hwcomp.plan import cell_timing as cells
from hwcomp.plan import unrolled
from hwcomp.plan.bits import PRODUCT, Weights, ahead, decides, dot_latency, thresholds, weights_of
from hwcomp.plan.cell_timing import Buffer, Pipe
from hwcomp.plan.execution import Execution
from hwcomp.plan.folding import Fold
from hwcomp.plan.latency import estimate
from hwcomp.plan.maxplus import NEVER, Frames, Graph, Link
from hwcomp.plan.stages import OUTPUT, DataflowPlan, Reader, Source, Stage
from hwcomp.plan.streams import Convert
from sw_ref.program import Kernel, Program

PAD = -1
"""The place of the FIFO in front of a kernel's padding, where a Reader has the number of an input."""
_ONES = Weights(PRODUCT, 1)  # of a window sum
_ADD, _MUL = 5, 7  # cycles in hwc_add, hwc_mul
EXACT = 150_000
"""Beats up to which designs are followed one by one."""
HUGE = 12_000_000
"""Beats of a frame beyond which only pixels are looked at."""


@dataclass
class Timing:
    """`inputs`, `outputs`: the streams that enter and leave; `buffers`: the FIFOs of the plan."""

    graph: Graph = field(default_factory=Graph)
    inputs: list[Link] = field(default_factory=list)
    outputs: list[Link] = field(default_factory=list)
    buffers: dict[Reader, Buffer] = field(default_factory=dict)
    pipes: list[Pipe] = field(default_factory=list)

    def piped(self, pipe: Pipe) -> Link:
        self.pipes.append(pipe)
        return pipe.out

    def pipe(self, source: Link, name: str, latency: int, last: np.ndarray | None = None) -> Link:
        return self.piped(Pipe(self.graph, source, name, latency, last))


def build(program: Program, plan: DataflowPlan) -> Timing:
    """All cells of the design, with the depths of the plan."""
    t, readers = Timing(), plan.readers()
    arrives: dict[Reader, Link] = {}

    def spread(edge: str, made: Link) -> None:
        branches = [made]
        if len(readers[edge]) > 1:
            branches = cells.fork(t.graph, made, edge, len(readers[edge]))
        arrives.update(zip(readers[edge], branches, strict=False))

    for port in plan.inputs:
        t.inputs.append(t.graph.link(port.edge, port.outer.beats))
        spread(port.edge, t.inputs[-1])
    for stage in plan.stages:
        kernel = program.kernels[stage.kernel]
        keys = [(stage.kernel, i) for i in range(len(stage.sources))]
        heads = [_arrive(t, s, arrives[k], k) for s, k in zip(stage.sources, keys, strict=True)]
        made = _KINDS[kernel.kind](t, program, kernel, stage, heads)
        spread(kernel.outputs[0], made)
    for i, port in enumerate(plan.outputs):
        t.outputs.append(_arrive(t, port.source, arrives[OUTPUT, i], (OUTPUT, i)))
    return t


def followed(program: Program, plan: DataflowPlan) -> bool:
    """Whether there is a timing: of a huge design, and of a kind of engine without one, only pixels are looked at."""
    beats = sum(3 * (s.beats + s.out.beats) for s in plan.stages)  # of a frame between all cells, roughly
    return beats <= HUGE and all(program.kernels[s.kernel].kind in _KINDS for s in plan.stages)


def frame_latency(program: Program, plan: DataflowPlan) -> int:
    """Cycles from the first input beat to the last output beat of a single frame, both counted; an estimate if not `followed`."""
    if not followed(program, plan):
        return estimate(program, plan)
    done = completions(build(program, plan), 1)
    if done is None:
        raise ValueError("with these FIFOs no frame comes through")
    return int(done[0]) + 1


def completions(timing: Timing, frames: int) -> np.ndarray | None:
    """int64 [frames]: the cycle in which each of some frames back to back is complete. None: the design gets stuck.

    Exact up to `EXACT` beats; beyond, bubbles in pipelines that wait are taken to close.
    """
    if timing.graph.beats() * frames > EXACT:
        run = Frames(timing.graph, frames)
        run.run()
        return np.max([run.times[id(link)][:, -1] for link in timing.outputs], axis=0)
    return finished(timing, Execution(timing.graph, timing.pipes, frames))


def finished(timing: Timing, run: Execution) -> np.ndarray | None:
    """int64 [frames]: the cycle in which each frame of an execution is complete; None where it gets stuck."""
    if run.stuck:
        return None
    return np.max([run.times[id(link)][link.count - 1 :: link.count] for link in timing.outputs], axis=0)


def _arrive(t: Timing, source: Source, link: Link, key: Reader) -> Link:
    """The FIFO and the conversions in front of an engine or port."""
    name = f"{key[0]}.{key[1]}"
    first = cells.fifo(t.graph, link, f"{name}_fifo").resize(2 if source.late else source.depth)
    last = first.pop
    for i, step in enumerate(source.steps):
        if isinstance(step, Convert):
            last = cells.width(t.graph, last, f"{name}_width{i}", step)
        else:
            last = t.piped(cells.permute(t.graph, last, f"{name}_permute{i}", step.words))
    t.buffers[key] = cells.fifo(t.graph, last, f"{name}_late").resize(source.depth) if source.late else first
    return t.buffers[key].pop if source.late else last


def _padded(t: Timing, program: Program, stage: Stage, head: Link) -> Link:
    if stage.pads is None:
        return head
    shape = program.edges[program.kernels[stage.kernel].inputs[0]].shape[1:]
    words = head.count // (shape[0] * shape[1])
    buffer = cells.pad(t.graph, head, f"{stage.kernel}_pad", shape, words, stage.pads).resize(stage.buffer)
    t.buffers[stage.kernel, PAD] = buffer
    return buffer.pop


def _windows(t: Timing, program: Program, stage: Stage, head: Link) -> Link:
    """A source padded; as the beats of its windows, where they need a buffer."""
    padded = _padded(t, program, stage, head)
    if stage.window is None:
        return padded
    if stage.window.held:
        return cells.repeat(t.graph, padded, f"{stage.kernel}_repeat", stage.window.repeat)
    return t.piped(cells.windows(t.graph, padded, f"{stage.kernel}_window", stage.window, stage.fold.chunks))


def _sums(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    """Dot products and sums over windows, requantized."""
    name, fold = str(stage.kernel), stage.fold
    last = _windows(t, program, stage, heads[0])
    if fold is None:  # over the whole frame: with the beats of its last pixel
        words = stage.sources[0].arrives.beats_per_pixel
        last = cells.thinned(t.graph, last, f"{name}_sum", np.arange(last.count - words, last.count))
    else:
        held = weights_of(kernel, program.edges[kernel.inputs[0]]) if kernel.kind != "avgpool2d" else _ONES
        latency = unrolled.latency(program, kernel, fold.steps) if fold.unrolled else dot_latency(fold, held)
        ends = _ends(fold, last.count)
        last = t.pipe(last, f"{name}_sum", latency, ends)
    results = last.count
    last = cells.width(t.graph, last, f"{name}_serial", stage.serialize)
    if decides(kernel, program.edges[kernel.outputs[0]]):
        return last if stage.order is None else _reorder(t, stage, last)
    last = t.pipe(last, f"{name}_requant", _requant(kernel))
    if fold and last.count % results == 0:
        steps = last.count // results
        if fold.kept:
            come, around = ends - ends[0], ends[-1] + 1
        else:
            each = max(fold.chunks, steps)
            come, around = np.arange(results) * each, results * each
        t.pipes[-1].usual = (come[:, None] + np.arange(steps)).ravel(), around
    return last if stage.order is None else _reorder(t, stage, last)


def _ends(fold: Fold, beats: int) -> np.ndarray:
    """The beats of a frame with which groups are complete."""
    if not fold.kept:
        return np.arange(fold.chunks - 1, beats, fold.chunks)
    ends = np.cumsum(fold.kept) - 1
    return (np.arange(0, beats, fold.per_pixel)[:, None] + ends).ravel()


def _reorder(t: Timing, stage: Stage, source: Link) -> Link:
    lanes = stage.out.lanes
    if lanes == len(stage.order):
        return source
    return t.piped(cells.permute(t.graph, source, f"{stage.kernel}_order", len(stage.order) // lanes))


def _requant(kernel: Kernel) -> int:
    """Cycles in hwc_requant or hwc_threshold."""
    if count := thresholds(kernel):
        t, down = kernel.constants["threshold"], kernel.constants["descending"]
        return (2 if count > 1 else 1) + int(not ((t == t[:1]).all() and (down == down[0]).all()))
    m, offset = kernel.constants["multiplier"], kernel.constants.get("offset")
    if not (m == 1).all():
        return 5
    affine = kernel.params["requantize"]["form"] == "affine"
    return 3 if affine and not (offset == offset[0]).all() else 2


def _maxpool2d(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    name, p = str(stage.kernel), kernel.params
    last = _windows(t, program, stage, heads[0])
    if stage.window:  # dilated: the taps of a window one after another, a row that is pooled into one
        last = cells.thinned(
            t.graph, last, f"{name}_row", np.arange(stage.fold.chunks - 1, last.count, stage.fold.chunks)
        )
        return cells.thinned(t.graph, last, name, np.arange(last.count))
    shape = program.edges[kernel.inputs[0]].shape
    top, left, bottom, right = p["pads"]
    rows, cols = shape[1] + top + bottom, shape[2] + left + right
    return cells.maxpool(t.graph, last, name, rows, cols, last.count // (rows * cols), p["kernel"], p["strides"])


def _requantize(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    if ahead(kernel, program.edges[kernel.inputs[0]]) and not stage.sources[0].steps:
        return heads[0]
    return t.pipe(heads[0], f"{stage.kernel}_requant", _requant(kernel))


def _add(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    count = heads[0].count
    both = cells.join(t.graph, heads, f"{stage.kernel}_add", [np.arange(count)] * 2, count)
    return t.pipe(both, str(stage.kernel), _ADD)


def _mul(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    a, b = heads
    if w := stage.window:  # a gate, repeated for every pixel
        b = t.piped(cells.windows(t.graph, b, f"{stage.kernel}_gate", w, w.words))
    both = cells.join(t.graph, [a, b], f"{stage.kernel}_mul", [np.arange(a.count)] * 2, a.count)
    return t.pipe(both, str(stage.kernel), _MUL)


def _lut(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    return cells.thinned(t.graph, heads[0], str(stage.kernel), np.arange(heads[0].count))


def _softmax(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    """hwc_softmax: a frame is held until its largest value is known, then until the sum of its exponentials is."""
    values, name = stage.out.channels, f"{stage.kernel}_softmax"
    held = t.piped(cells.hold(t.graph, heads[0], f"{name}_x", values))
    powers = t.pipe(held, f"{name}_exp", 5 if kernel.params["split"] else 1)
    summed = t.piped(cells.hold(t.graph, powers, f"{name}_e", values))
    return t.pipe(summed, f"{name}_share", kernel.params["fraction"] + 3)


def _concat(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    """Every input in turn: its beats of each round start where those of the input before end."""
    turn, starts = sum(stage.turns), np.cumsum((0, *stage.turns))
    index = []
    for head, beats, start in zip(heads, stage.turns, starts, strict=False):
        rounds, beat = np.divmod(np.arange(head.count), beats)
        index.append(rounds * turn + start + beat)
    return cells.join(t.graph, heads, str(stage.kernel), index, stage.out.beats)


def _slice(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    beats, first, last = stage.turns
    at = np.arange(heads[0].count) % beats
    passed = (at >= first) & (at <= last)
    index = np.where(passed, np.cumsum(passed) - 1, NEVER)
    return cells.join(t.graph, heads, str(stage.kernel), [index], stage.out.beats)


def _shuffle(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    return _reorder(t, stage, heads[0])


def _repeat(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    w = stage.window
    if w.held:
        return cells.repeat(t.graph, heads[0], f"{stage.kernel}_repeat", w.repeat)
    return t.piped(cells.windows(t.graph, heads[0], f"{stage.kernel}_window", w, w.words))


def _pad(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    return _padded(t, program, stage, heads[0])


def _same(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    return heads[0]


def _argmax(t: Timing, program: Program, kernel: Kernel, stage: Stage, heads: list[Link]) -> Link:
    s = stage.sources[0].arrives
    last = np.arange(s.beats_per_pixel - 1, s.beats, s.beats_per_pixel)
    return t.pipe(heads[0], f"{stage.kernel}_argmax", (s.lanes - 1).bit_length() + 2, last)


_KINDS: dict[str, Callable[[Timing, Program, Kernel, Stage, list[Link]], Link]] = {
    "add": _add, "argmax": _argmax, "avgpool2d": _sums, "concat": _concat, "conv2d": _sums, "dense": _sums,
    "lut": _lut, "maxpool2d": _maxpool2d, "mul": _mul, "pad": _pad, "reorder": _same, "repeat": _repeat, "requantize": _requantize,
    "shuffle": _shuffle, "slice": _slice, "softmax": _softmax,
}  # fmt: skip
