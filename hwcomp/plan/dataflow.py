"""DataflowPlan: one streaming engine per kernel, their lanes, buffers and beats. Shared by Verilog and HLS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.plan import folding
from hwcomp.plan.folding import Fold, Folds
from hwcomp.plan.streams import Convert, Stream, convert_pixel, convert_slots
from sw_ref.program import Edge, Kernel, Layout, Program

DEFAULT_LANES = 64
_MARGIN = 4  # words by which hwc_window's buffer must exceed what is live (its pipeline)


@dataclass(frozen=True)
class Window:
    """Parameters of hwc_window: padded frame `rows` x `cols`, `words` per pixel, `taps` read at a time, `depth` words."""

    taps: int
    rows: int
    cols: int
    words: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    repeat: int
    depth: int


@dataclass(frozen=True)
class Stage:
    """One engine. `beats`: cycles it needs per frame when nothing stalls it; the largest of all is the interval.

    `convert`: lanes on the way in; `buffer`: words of a FIFO in front of the padding; `pads`: (top, left, bottom, right)
    inserted; `window` and `fold` of dot products; `serialize`: accumulators to `out.lanes` at a time. None: not needed.
    """

    kernel: int
    beats: int
    source: Stream
    out: Stream
    convert: Convert | None = None
    pads: tuple[int, int, int, int] | None = None
    window: Window | None = None
    fold: Fold | None = None
    serialize: Convert | None = None
    buffer: int = 0


@dataclass(frozen=True)
class Port:
    """A graph input or output: the stream outside, and the conversion to or from the stream inside."""

    edge: str
    outer: Stream
    convert: Convert | None


@dataclass(frozen=True)
class DataflowPlan:
    """`streams`: how every edge travels. `lanes`: multiply-accumulate lanes in all, of `budget`."""

    budget: int
    lanes: int
    interval: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    streams: dict[str, Stream]
    stages: tuple[Stage, ...]


def plan_dataflow(program: Program, budget: int | None = None) -> DataflowPlan:
    """The plan with the shortest interval whose lanes fit `budget` (default 64, or one per dot product if more).

    WorkFailed where the budget has fewer lanes than the network has dot products.
    """
    dots = [k for k in program.kernels if k.kind in ("conv2d", "dense")]
    budget = max(DEFAULT_LANES, len(dots)) if budget is None else budget
    if budget < len(dots):
        raise WorkFailed(
            f"a budget of {budget} lanes is too small", why=f"the network has {len(dots)} dot products, each needs a lane",
            fix=f"give --pe-simd-budget {len(dots)} or more",
        )  # fmt: skip
    slowest, fastest = _Sweep(program, None).plan(budget), _Sweep(program, 0).plan(budget)
    low, high, best = fastest.interval, slowest.interval, slowest
    while low <= high:  # the shortest target interval that the budget affords
        middle = (low + high) // 2
        plan = _Sweep(program, middle).plan(budget)
        if plan.lanes <= budget:
            best = plan if plan.interval <= best.interval else best
            high = middle - 1
        else:
            low = middle + 1
    # Lanes that are left over may buy less hardware: fewer accumulators, fewer copies of a window buffer.
    compact = _Sweep(program, best.interval, spare=budget - best.lanes).plan(budget)
    return compact if compact.interval <= best.interval and compact.lanes <= budget else best


def check_dataflow(program: Program) -> None:
    """Raise UnsupportedError where a kernel has no engine in this form."""
    _Sweep(program, None).plan(0)


class _Sweep:
    """One walk through the kernels in order, choosing for each the fewest lanes that keep `target` beats (None: one lane).

    With `spare`, up to so many lanes more are spent in all where that makes an engine smaller.
    """

    def __init__(self, program: Program, target: int | None, spare: int = 0):
        self.program, self.target, self.spare = program, target, spare
        self.streams: dict[str, Stream] = {}
        self.stages: list[Stage] = []

    def plan(self, budget: int) -> DataflowPlan:
        program = self.program
        inputs = tuple(self._input(program.edges[n]) for n in program.inputs)
        for index, kernel in enumerate(program.kernels):
            stage = getattr(self, f"_{kernel.kind}")(index, kernel)
            if stage is not None:
                self.stages.append(stage)
                self.streams[kernel.outputs[0]] = stage.out
        outputs = tuple(self._output(program.edges[n]) for n in program.outputs)
        beats = [s.beats for s in self.stages] + [p.outer.beats for p in (*inputs, *outputs)]
        lanes = sum(s.fold.lanes for s in self.stages if s.fold)
        stages = tuple(replace(s, buffer=self._buffer(s, max(beats))) for s in self.stages)
        return DataflowPlan(budget, lanes, max(beats), inputs, outputs, self.streams, stages)

    def _buffer(self, stage: Stage, interval: int) -> int:
        """Words that arrive while padding is inserted between two frames: without room for them the source would wait."""
        if stage.pads is None:
            return 0
        top, left, bottom, right = stage.pads
        cols = self.program.edges[self.program.kernels[stage.kernel].inputs[0]].shape[2] + left + right
        words = ceil(stage.source.channels / stage.fold.simd) if stage.fold else stage.source.beats_per_pixel
        run = ((top + bottom) * cols + left + right) * words
        return 2 + ceil(run * stage.source.pixels * words / interval)

    def _fits(self, beats: int) -> bool:
        return self.target is None or beats <= self.target

    def _input(self, edge: Edge) -> Port:
        """External lanes divide the channels; as few as keep the target."""
        channels = self._channels(edge)
        stream = Stream(1, channels, edge.size // channels, edge.bits, edge.signed)
        for lanes in _divisors(channels):
            stream = replace(stream, lanes=lanes)
            if self._fits(stream.beats):
                break
        self.streams[edge.name] = stream
        return Port(edge.name, stream, None)

    def _output(self, edge: Edge) -> Port:
        inner = self.streams[edge.name]
        outer = inner
        for lanes in _divisors(inner.channels):
            outer = replace(inner, lanes=lanes)
            if outer.beats <= inner.beats or self._fits(outer.beats) or lanes == inner.lanes:
                break
        return Port(edge.name, outer, convert_pixel(inner.lanes, outer.lanes, inner.channels))

    def _channels(self, edge: Edge) -> int:
        """Channels of a pixel of this edge: those of the feature map that it is, or that reshapes make of it."""
        name = edge.name
        while len(self.program.edges[name].shape) < 3:
            readers = self.program.consumers(name)
            if len(readers) != 1 or readers[0].kind != "reshape":
                return edge.size
            name = readers[0].outputs[0]
        return self.program.edges[name].shape[0]

    def _source(self, kernel: Kernel) -> Stream:
        """The stream of a feature map that `kernel` reads channel by channel."""
        source, edge = self.streams[kernel.inputs[0]], self.program.edges[kernel.inputs[0]]
        shape = edge.shape
        if shape and (source.channels != shape[0] or edge.layout != Layout.channels_last(shape)):
            raise _unsupported(
                kernel, f"{kernel.kind} on a tensor of shape {list(shape)} whose channels do not come together"
            )
        return source

    def _fold(self, folds: Folds) -> Fold:
        if self.target is None:
            return folds.frontier[0]
        fold = folds.fewest_lanes(self.target)
        if self.spare:
            compact = folds.smallest(max(self.target, fold.beats), fold.lanes + self.spare)
            self.spare -= max(compact.lanes - fold.lanes, 0)
            return compact
        return fold

    def _dot_stage(self, kernel: Kernel, folds: Folds, pixels: int) -> tuple[Fold, Stream, Convert | None]:
        """The fold for the target, the output stream, and how accumulators reach its lanes."""
        fold = self._fold(folds)
        edge = self.program.edges[kernel.outputs[0]]
        channels, outputs = self._channels(edge), len(kernel.constants["bias"])
        # Fewest requantize lanes that keep up: a divisor of PE, of the channels too where possible (no idle lanes).
        limit = max(fold.beats, self.target or 0)
        fit = [d for d in _divisors(fold.pe) if pixels * fold.groups * (fold.pe // d) <= limit]
        even = [d for d in _divisors(fold.pe) if channels % d == 0]
        lanes = next((d for d in fit if d in even), fit[0] if channels == outputs else even[-1])
        out = Stream(lanes, channels, edge.size // channels, edge.bits, edge.signed)
        steps = fold.pe // lanes
        last = ceil(outputs / lanes) - (fold.groups - 1) * steps
        return fold, out, None if steps == 1 else Convert(fold.pe, lanes, 1, steps, fold.groups, 1, last)

    def _conv2d(self, index: int, kernel: Kernel) -> Stage:
        p, weight = kernel.params, kernel.constants["weight"]
        if p["groups"] != 1:
            raise _unsupported(kernel, "grouped convolution")
        x, y = self.program.edges[kernel.inputs[0]], self.program.edges[kernel.outputs[0]]
        source = self._source(kernel)
        outputs, channels, kh, kw = weight.shape
        pixels = y.size // outputs
        top, left, bottom, right = p["pads"]
        rows, cols = x.shape[1] + top + bottom, x.shape[2] + left + right
        buffered = 2 * kh * p["dilations"][0] * cols * channels
        folds = folding.conv_folds(outputs, kh * kw, channels, pixels, rows * cols, buffered)
        fold, out, serialize = self._dot_stage(kernel, folds, pixels)
        convert = convert_pixel(source.lanes, fold.simd, channels)
        words = ceil(channels / fold.simd)
        burst = ((top + bottom) * cols + left + right) * words
        window = self._window(fold, rows, cols, words, (kh, kw), tuple(p["strides"]), tuple(p["dilations"]), burst)
        pads = (top, left, bottom, right) if any(p["pads"]) else None
        return Stage(index, max(fold.beats, out.beats), source, out, convert, pads, window, fold, serialize)

    def _window(
        self, fold: Fold, rows: int, cols: int, words: int, kernel, strides, dilations, burst: int = 0
    ) -> Window | None:
        """None where every word is used once, in order: nothing to keep."""
        if fold.groups == 1 and kernel == (1, 1) and strides == (1, 1):
            return None
        span = ((kernel[0] - 1) * dilations[0] * cols + (kernel[1] - 1) * dilations[1] + 1) * words
        down = (rows - (kernel[0] - 1) * dilations[0] - 1) // strides[0]
        across = (cols - (kernel[1] - 1) * dilations[1] - 1) // strides[1]
        frame = (rows * cols - down * strides[0] * cols - across * strides[1]) * words
        step = max(strides[1] * words, (strides[0] * cols - across * strides[1]) * words, frame)
        # A frame's first window must be complete when the one before is done, and the padding between two frames comes in
        # one burst: docs/hardware.md, "Window buffers".
        depth = max(2, span + step + burst + _MARGIN)
        return Window(fold.taps, rows, cols, words, kernel, strides, dilations, fold.groups, depth)

    def _dense(self, index: int, kernel: Kernel) -> Stage:
        x, source = self.program.edges[kernel.inputs[0]], self.streams[kernel.inputs[0]]
        outputs, features = kernel.constants["weight"].shape
        if x.size != features:
            raise _unsupported(kernel, "a dense layer over more than one row")
        slots = source.beats * source.lanes
        fold, out, serialize = self._dot_stage(kernel, folding.dense_folds(outputs, slots), 1)
        convert = convert_slots(source.lanes, fold.simd, source.beats)
        window = self._window(fold, 1, 1, fold.chunks, (1, 1), (1, 1), (1, 1))
        return Stage(
            index, max(fold.beats, source.beats, out.beats), source, out, convert, None, window, fold, serialize
        )

    def _maxpool2d(self, index: int, kernel: Kernel) -> Stage:
        p, x = kernel.params, self.program.edges[kernel.inputs[0]]
        if p["dilations"] != [1, 1]:
            raise _unsupported(kernel, "a dilated max-pool")
        source, y = self._source(kernel), self.program.edges[kernel.outputs[0]]
        top, left, bottom, right = p["pads"]
        beats = (x.shape[1] + top + bottom) * (x.shape[2] + left + right) * source.beats_per_pixel
        out = replace(source, pixels=y.shape[1] * y.shape[2])
        return Stage(index, beats, source, out, pads=(top, left, bottom, right) if any(p["pads"]) else None)

    def _requantize(self, index: int, kernel: Kernel) -> Stage:
        source, y = self._source(kernel), self.program.edges[kernel.outputs[0]]
        return Stage(index, source.beats, source, replace(source, bits=y.bits, signed=y.signed))

    def _argmax(self, index: int, kernel: Kernel) -> Stage:
        x, y = self.program.edges[kernel.inputs[0]], self.program.edges[kernel.outputs[0]]
        source = self.streams[x.name]
        if source.pixels != 1 or x.shape[kernel.params["axis"]] != x.size or source.channels != x.size:
            raise _unsupported(kernel, "ArgMax of anything but a vector")
        return Stage(index, source.beats, source, Stream(1, 1, 1, y.bits, y.signed))

    def _reshape(self, index: int, kernel: Kernel) -> None:
        """The same stream under another name: nothing to build."""
        self.streams[kernel.outputs[0]] = self.streams[kernel.inputs[0]]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _unsupported(kernel: Kernel, what: str) -> UnsupportedError:
    node = kernel.origin[0] if kernel.origin else kernel.name
    return UnsupportedError(f"{what} is not available for target fpga yet", node=node, fix="target mcu can do it")
