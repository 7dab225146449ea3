"""DataflowPlan: one streaming engine per kernel, their lanes, buffers and beats. Shared by Verilog and HLS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from hwcomp.errors import WorkFailed
from hwcomp.plan import _dots, _elements, _moves, _pools, _softmax, codebooks, fifos
from hwcomp.plan.codebooks import Logic
from hwcomp.plan.folding import STEPS, Fold, Folds
from hwcomp.plan.stages import ALIASES, DataflowPlan, Port, Source, Stage, unsupported
from hwcomp.plan.streams import Permute, Stream, convert_pixel, divisors, regroup
from sw_ref.program import Edge, Kernel, Layout, Program

DEFAULT_LANES = 64
DOTS = ("conv2d", "dense")
_ENGINES: dict[str, Callable[..., Stage]] = {
    "add": _elements.add, "argmax": _moves.argmax, "avgpool2d": _pools.avgpool2d, "concat": _moves.concat,
    "conv2d": _dots.conv2d, "dense": _dots.dense, "lut": _elements.requantize, "maxpool2d": _pools.maxpool2d,
    "mul": _elements.mul, "pad": _moves.pad, "reorder": _moves.reorder, "repeat": _moves.repeat, "requantize": _elements.requantize,
    "shuffle": _moves.shuffle, "slice": _moves.slice_, "softmax": _softmax.softmax,
}  # fmt: skip


def plan_dataflow(
    program: Program,
    budget: int | None = None,
    least_fifos: bool = False,
    unroll: Collection[str] = (),
    steps: int = STEPS,
    skip: bool = True,
    logic: Logic | None = None,
) -> DataflowPlan:
    """What `fold_dataflow` finds, with FIFOs that keep its interval; `least_fifos`: see hwcomp.plan.fifos.sized."""
    return fifos.sized(program, fold_dataflow(program, budget, unroll, steps, skip, logic), least_fifos)


def fold_dataflow(
    program: Program,
    budget: int | None = None,
    unroll: Collection[str] = (),
    steps: int = STEPS,
    skip: bool = True,
    logic: Logic | None = None,
) -> DataflowPlan:
    """The plan with the shortest interval whose lanes fit `budget` (default 64, or one per dot product if more).

    `unroll`: names of dot products whose weights are wired in; they take no lanes of the budget. `steps`: Fold.steps.
    `skip`: engines may leave out beats whose weights are all zero, and choose among channels. `logic`: what codebooks are weighed
    by (None: there are none). WorkFailed where the budget has fewer lanes than the
    network has other dot products.
    """
    dots = [k for k in program.kernels if k.kind in DOTS and k.name not in unroll]
    budget = max(DEFAULT_LANES, len(dots)) if budget is None else budget
    if budget < len(dots):
        raise WorkFailed(
            f"a budget of {budget} lane{'s' * (budget != 1)} is too small",
            why=f"the network has {len(dots)} dot products, each needs a lane",
            fix=f"give --pe-simd-budget {len(dots)} or more",
        )  # fmt: skip

    def swept(target: int | None, spare: int = 0, whole: Mapping[str, int] | None = None) -> DataflowPlan:
        return Sweep(program, target, unroll, spare, steps, skip, whole).plan(budget)

    slowest, fastest = swept(None), swept(0)
    low, high, best = fastest.interval, slowest.interval, slowest
    while low <= high:  # the shortest target interval that the budget affords
        middle = (low + high) // 2
        plan = swept(middle)
        if plan.lanes <= budget:
            best = plan if plan.interval <= best.interval else best
            high = middle - 1
        else:
            low = middle + 1
    # Lanes that are left over may buy less hardware: fewer accumulators, fewer copies of a window buffer.
    compact = swept(best.interval, budget - best.lanes)
    plan = compact if compact.interval <= best.interval and compact.lanes <= budget else best
    return _coded(program, plan, logic, lambda spare, whole: swept(plan.interval, spare, whole)) if logic else plan


def _coded(
    program: Program, plan: DataflowPlan, logic: Logic, swept: Callable[[int, dict[str, int]], DataflowPlan]
) -> DataflowPlan:
    """The plan with codebooks; with lanes for whole vectors in layers that have vector codes, the largest first, where others would
    take them and the interval and the budget stay."""
    best, whole = codebooks.given(program, plan, logic), {}

    def tried(spare: int, names: dict[str, int], least: int) -> DataflowPlan | None:
        """Where it keeps interval and budget, and at least that many bits less are in ROM."""
        found = swept(spare, names)
        if found.interval > plan.interval or found.lanes > plan.budget:
            return None
        found = codebooks.given(program, found, logic)
        return found if codebooks.saved(found, logic) >= least else None

    coded = [k for k in program.kernels if "vectors" in k.params]
    for kernel in sorted(coded, key=lambda k: -k.constants["index"].size):
        stage = next(s for s in best.stages if program.kernels[s.kernel] is kernel)
        if stage.fold.unrolled or (stage.codebook and stage.codebook.vector > 1):
            continue
        more = whole | {kernel.name: kernel.constants["codebook"].shape[-1]}
        if trial := tried(0, more, codebooks.saved(best, logic) + 1):
            best, whole = trial, more
    compact = tried(plan.budget - best.lanes, whole, codebooks.saved(best, logic)) if whole else None
    return compact or best


def check_dataflow(program: Program) -> None:
    """Raise UnsupportedError where a kernel has no engine in this form."""
    Sweep(program, None).plan(0)


class Sweep:
    """One walk through the kernels in order, choosing for each the fewest lanes that keep `target` beats (None: one lane).

    With `spare`, up to so many lanes more are spent in all where that makes an engine smaller. `whole`: names of dot products whose
    sums add up whole vectors of so many lanes.
    """

    def __init__(
        self,
        program: Program,
        target: int | None,
        unroll: Collection[str] = (),
        spare: int = 0,
        steps: int = STEPS,
        skip: bool = True,
        whole: Mapping[str, int] | None = None,
    ):
        self.program, self.target, self.unroll, self.spare = program, target, unroll, spare
        self.steps, self.skip, self.whole = steps, skip, whole or {}
        self.streams: dict[str, Stream] = {}
        self.roots: dict[str, str] = {}
        self.stages: list[Stage] = []

    def plan(self, budget: int) -> DataflowPlan:
        program = self.program
        inputs = tuple(self._input(program.edges[n]) for n in program.inputs)
        for index, kernel in enumerate(program.kernels):
            name = kernel.outputs[0]
            if kernel.kind in ALIASES:
                self.roots[name], self.streams[name] = self.roots[kernel.inputs[0]], self.streams[kernel.inputs[0]]
                continue
            if kernel.kind not in _ENGINES:
                raise unsupported(kernel, f"a kernel of kind {kernel.kind}")
            stage = _ENGINES[kernel.kind](self, index, kernel)
            stage = replace(stage, beats=max(stage.beats, stage.out.beats, *(s.beats for s in stage.sources)))
            self.stages.append(stage)
            self.roots[name], self.streams[name] = name, stage.out
        outputs = tuple(self._output(program.edges[n]) for n in program.outputs)
        interval = max([s.beats for s in self.stages] + [p.outer.beats for p in (*inputs, *outputs)])
        dots = [s.fold for s in self.stages if program.kernels[s.kernel].kind in DOTS]
        lanes = sum(f.lanes for f in dots if not f.unrolled)
        stages = tuple(replace(s, buffer=self._buffer(s, interval)) for s in self.stages)
        return DataflowPlan(budget, lanes, interval, inputs, outputs, self.streams, self.roots, stages)

    # What engines ask ---------------------------------------------------------------------------------------------

    def fits(self, beats: int) -> bool:
        return self.target is None or beats <= self.target

    def lanes(self, options: Iterable[int], beats: Callable[[int], int], keep: int | None = None) -> int:
        """The fewest of the rising `options` whose beats fit, the last where none does; `keep` where that one fits."""
        options = list(options)
        if keep in options and self.fits(beats(keep)):
            return keep
        return next((n for n in options if self.fits(beats(n))), options[-1])

    def fold(self, folds: Folds, *, free: bool = False) -> Fold:
        """`free`: lanes that are no multipliers, so not of the budget."""
        if self.target is None:
            return folds.frontier[0]
        fold = folds.fewest_lanes(self.target)
        if self.spare and not free:
            compact = folds.smallest(max(self.target, fold.beats), fold.lanes + self.spare)
            self.spare -= max(compact.lanes - fold.lanes, 0)
            return compact
        return fold

    def stream(self, kernel: Kernel, position: int = 0) -> Stream:
        return self.streams[kernel.inputs[position]]

    def source(self, kernel: Kernel, position: int, channels: int, lanes: int, layout: Layout | None = None) -> Source:
        """Input `position` of `kernel`, in the order `layout` (None: as it is), as pixels of `channels` in `lanes`."""
        return self._source(self.program.edges[kernel.inputs[position]], channels, lanes, layout)

    def _source(self, edge: Edge, channels: int, lanes: int, layout: Layout | None = None) -> Source:
        stream = now = self.streams[edge.name]
        steps = []
        if layout is not None and edge.layout != layout:
            whole = [d for d in divisors(now.channels) if channels % d == 0]
            through = self.lanes(whole, lambda n: edge.size // n)
            if convert := convert_pixel(now.lanes, through, now.channels):
                steps.append(convert)
            steps.append(Permute.of(through, edge.layout, layout))
            now = replace(now, lanes=through, channels=channels, pixels=edge.size // channels)
        steps += regroup(now, channels, lanes)
        arrives = replace(now, lanes=lanes, channels=channels, pixels=edge.size // channels)
        return Source(self.roots[edge.name], stream, arrives, tuple(steps))

    def channels(self, edge: Edge) -> int:
        """Channels of a pixel of this edge: those of the feature map that it is, or that reshapes make of it.

        A map of one channel that is only read under another shape has the channels of that one: beats of more than one.
        """
        if len(edge.shape) >= 3 and edge.layout == Layout.channels_last(edge.shape):
            readers = self.program.consumers(edge.name)
            if edge.shape[0] > 1 or not readers or any(r.kind not in ALIASES for r in readers):
                return edge.shape[0]
            found = {self.channels(self.program.edges[r.outputs[0]]) for r in readers}
            return found.pop() if len(found) == 1 else 1
        for reader in self.program.consumers(edge.name):
            if reader.kind in ALIASES:
                inner = self.program.edges[reader.outputs[0]]
                if len(inner.shape) >= len(edge.shape) and (channels := self.channels(inner)) != edge.size:
                    return channels
        return edge.shape[-1] if len(edge.shape) >= 2 and edge.layout == Layout.row_major(edge.shape) else edge.size

    # Ports --------------------------------------------------------------------------------------------------------

    def _input(self, edge: Edge) -> Port:
        """External lanes divide the channels; as few as keep the target."""
        channels = self.channels(edge)
        stream = Stream(1, channels, edge.size // channels, edge.bits, edge.signed)
        stream = replace(stream, lanes=self.lanes(divisors(channels), lambda n: edge.size // n))
        self.streams[edge.name], self.roots[edge.name] = stream, edge.name
        return Port(edge.name, stream)

    def _output(self, edge: Edge) -> Port:
        inner = self.streams[edge.name]
        channels = inner.channels
        if len(edge.shape) >= 3 and edge.layout == Layout.channels_last(edge.shape):
            channels = edge.shape[0]
        lanes = next(
            n for n in divisors(channels) if edge.size // n <= inner.beats or self.fits(edge.size // n) or n == channels
        )
        source = self._source(edge, channels, lanes)
        return Port(edge.name, source.arrives, source)

    def _buffer(self, stage: Stage, interval: int) -> int:
        """Words that arrive while padding is inserted between two frames: without room for them the source would wait."""
        if stage.pads is None:
            return 0
        top, left, bottom, right = stage.pads
        _, rows, cols = self.program.edges[self.program.kernels[stage.kernel].inputs[0]].shape
        arrives = stage.sources[0].arrives
        words = arrives.beats // (rows * cols)
        run = ((top + bottom) * (cols + left + right) + left + right) * words
        return 2 + -(-run * arrives.beats // interval)
