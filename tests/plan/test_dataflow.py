"""The dataflow plan: bars of the folding, every budget, and that stages, streams and ports fit each other."""

from math import ceil

import numpy as np
import pytest

from hwcomp.errors import WorkFailed
from hwcomp.plan import fifos, folding
from hwcomp.plan.cell_timing import Buffer
from hwcomp.plan.dataflow import DEFAULT_LANES, fold_dataflow, plan_dataflow
from hwcomp.plan.execution import Execution
from hwcomp.plan.maxplus import NEVER, Arc, Graph
from hwcomp.plan.stages import OUTPUT
from hwcomp.plan.streams import Permute
from sw_ref.program import Layout
from tests.branches import NETWORKS
from tests.models import quantized, spine
from tests.program_factory import Builder, lenet5
from tests.random_programs import random_program

LENET_MACS = 20 * 24 * 24 * 25 + 50 * 8 * 8 * 500 + 500 * 800 + 10 * 500


def beats(plan):
    return [s.beats for s in plan.stages] + [p.outer.beats for p in (*plan.inputs, *plan.outputs)]


@pytest.mark.parametrize("budget", [64, 256, 1024])
def test_lenet5_is_within_15_percent_of_ideal(budget):
    plan = plan_dataflow(lenet5(), budget)
    assert plan.lanes <= budget
    assert plan.interval <= 1.15 * LENET_MACS / budget
    assert plan.interval == max(beats(plan))


@pytest.mark.parametrize("name", ["lenet5_caffe_mnist", "lenet5_caffe_mnist_dynamo", "lenet300_100_mnist"])
@pytest.mark.parametrize("budget", [64, 256, 1024])
def test_spine_models_are_within_15_percent_of_ideal(name, budget):
    import onnx

    from hwcomp.lower.build import lower
    from hwcomp.report.facts import macs

    program = lower(quantized(onnx.load(spine(name)), check=False, passes={"calibrate": {"samples": 1}})[0]).program
    total = sum(macs(program, k) for k in program.kernels)
    plan = fold_dataflow(program, budget)
    assert plan.lanes <= budget
    entry = max(p.outer.beats for p in plan.inputs)  # a grey image has one lane: 784 beats, however many multipliers
    assert plan.interval <= max(1.15 * total / budget, entry)


def small_net():
    b = Builder(np.random.default_rng(1)).input((3, 9, 7)).conv2d(5, (3, 2), pads=(1, 0, 1, 1)).maxpool2d()
    return b.conv2d(4, (2, 2), strides=(2, 1)).flatten().dense(7).program()


def test_every_budget_is_met_or_refused_with_the_least():
    program = small_net()
    total = sum(
        k.constants["weight"][0].size * program.edges[k.outputs[0]].size
        for k in program.kernels
        if "weight" in k.constants
    )
    intervals = []
    for budget in range(1, 200):
        if budget < 3:
            with pytest.raises(WorkFailed, match="--pe-simd-budget 3 or more"):
                fold_dataflow(program, budget)
            continue
        plan = fold_dataflow(program, budget)
        assert plan.lanes <= budget
        assert plan.budget == budget
        assert plan.interval == max(beats(plan)) >= total / budget
        intervals.append(plan.interval)
    assert intervals == sorted(intervals, reverse=True)  # more lanes never make it slower


def test_without_a_budget():
    assert plan_dataflow(small_net()).budget == DEFAULT_LANES
    b = Builder(np.random.default_rng(0)).input((2,))
    for _ in range(DEFAULT_LANES + 3):
        b.dense(2)
    plan = plan_dataflow(b.program())
    assert plan.budget == DEFAULT_LANES + 3  # every dot product has a lane


def test_without_dot_products_any_budget_does():
    program = Builder(np.random.default_rng(0)).input((2, 4, 4)).maxpool2d().program()
    plan = plan_dataflow(program, 1)
    assert (plan.lanes, plan.interval) == (0, max(beats(plan)))


@pytest.mark.parametrize("seed", range(60))
def test_interval_is_the_shortest_that_the_budget_allows(seed):
    """One convolution against brute force over every fold."""
    rng = np.random.default_rng(seed)
    c, h, w, m = (int(n) for n in rng.integers((1, 5, 5, 1), (17, 20, 20, 17)))
    kernel, strides = (tuple(int(n) for n in rng.integers(1, top, 2)) for top in (5, 4))
    program = Builder(rng).input((c, h, w)).conv2d(m, kernel, strides).program()
    pixels, budget = program.edges[program.outputs[0]].size // m, int(rng.integers(1, 200))
    best = min(
        max(pixels * ceil(m / pe) * ceil(kernel[0] * kernel[1] / taps) * ceil(c / simd), h * w * ceil(c / simd))
        for pe in folding.group_sizes(m) for taps in folding.group_sizes(kernel[0] * kernel[1])
        for simd in folding.group_sizes(c) if pe * taps * simd <= budget
    )  # fmt: skip
    assert fold_dataflow(program, budget).interval == best


def planned(seeds):
    """Plans of random Programs, each with a budget of its own."""
    for seed in seeds:
        program = random_program(seed)
        yield program, fold_dataflow(program, None if seed % 3 == 0 else 11 + seed * 5 % 150)


def test_stages_fit_together():
    for program, plan in planned(range(240)):
        dots = [s for s in plan.stages if program.kernels[s.kernel].kind in ("conv2d", "dense")]
        assert plan.lanes == sum(s.fold.lanes for s in dots) <= plan.budget
        assert plan.interval == max(beats(plan))
        built = {program.kernels[s.kernel].name for s in plan.stages}
        assert built == {k.name for k in program.kernels if k.kind not in ("reshape", "transpose")}
        for s in plan.stages:
            kernel = program.kernels[s.kernel]
            edge = program.edges[kernel.outputs[0]]
            assert s.out == plan.streams[kernel.outputs[0]]
            assert (s.out.bits, s.out.signed) == (edge.bits, edge.signed)
            assert s.out.channels * s.out.pixels == edge.size
            assert s.beats >= max(s.out.beats, *(x.beats for x in s.sources))
            assert len(s.sources) == len(kernel.inputs)
        for s in dots:
            fold, outputs = s.fold, len(program.kernels[s.kernel].constants["bias"])
            assert s.sources[0].arrives.lanes == fold.simd
            assert fold.groups * fold.sums >= outputs > (fold.groups - fold.sets) * fold.sums - fold.sums * fold.sets
            assert fold.sums % s.out.lanes == 0
            assert (s.serialize is None) == (fold.sums == s.out.lanes)


def test_sources_lead_from_stream_to_stream():
    """Every step starts with the lanes of the one before; elements are neither lost nor made."""
    steps = 0
    for program, plan in planned(range(240)):
        for (kernel, position), source in plan.sources().items():
            name = program.outputs[position] if kernel == OUTPUT else program.kernels[kernel].inputs[position]
            assert source.edge == plan.roots[name]
            assert source.stream == plan.streams[name] == plan.streams[source.edge]
            lanes = source.stream.lanes
            for step in source.steps:
                steps += 1
                assert lanes == (step.lanes if isinstance(step, Permute) else step.lanes_in)
                lanes = step.lanes if isinstance(step, Permute) else step.lanes_out
                if isinstance(step, Permute):
                    block = step.words * lanes
                    assert step.blocks * block == program.edges[name].size
                    assert sorted(step.order()) == list(range(block))
            assert lanes == source.arrives.lanes
            one_row = kernel != OUTPUT and program.kernels[kernel].kind == "dense" and source.arrives.pixels == 1
            if not one_row:  # its weights follow the slots, idle ones included
                assert source.arrives.channels * source.arrives.pixels == program.edges[name].size
    assert steps > 100


def test_every_stream_has_all_its_readers():
    """Forks, streams that nobody reads, and outputs that are read inside as well."""
    counts = set()
    for program, plan in planned(range(120)):
        reading = [n for k in program.kernels if k.kind not in ("reshape", "transpose") for n in k.inputs]
        for edge, readers in plan.readers().items():
            names = [n for n, root in plan.roots.items() if root == edge]
            assert len(readers) == sum(reading.count(n) + program.outputs.count(n) for n in names)
            counts.add(len(readers))
    assert counts >= {0, 1, 2, 3, 4}


def test_fifos_can_be_given_other_depths():
    plan = next(d for _, d in planned(range(40)) if any(len(s.sources) > 1 for s in d.stages))
    join = next(s for s in plan.stages if len(s.sources) > 1)
    wanted = {(join.kernel, 1): 77, (OUTPUT, 0): 5}
    other = plan.with_depths(wanted)
    found = {reader: source.depth for reader, source in other.sources().items()}
    assert found == {reader: source.depth for reader, source in plan.sources().items()} | wanted


def test_external_lanes_divide_the_channels():
    for program, plan in planned(range(240)):
        for port in plan.inputs:
            assert port.outer.channels % port.outer.lanes == 0
            assert port.outer == plan.streams[port.edge]
        for port in plan.outputs:
            edge = program.edges[port.edge]
            assert port.outer.channels % port.outer.lanes == 0
            assert port.outer == port.source.arrives
            if len(edge.shape) == 3 and edge.layout == Layout.channels_last(edge.shape):
                assert port.outer.channels == edge.shape[0]


def test_window_buffers_are_deep_enough():
    """SPAN + the largest step + the pipeline, as the cell asks for."""
    count = 0
    for program, plan in planned(range(300)):
        for s in plan.stages:
            if (w := s.window) is None or program.kernels[s.kernel].kind == "dense":
                continue
            count += 1
            (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
            across = (w.cols - (kw - 1) * dw - 1) // sw + 1
            down = (w.rows - (kh - 1) * dh - 1) // sh + 1
            span = ((kh - 1) * dh * w.cols + (kw - 1) * dw + 1) * w.words
            in_row = sw * w.words if across > 1 else 0
            row = (sh * w.cols - (across - 1) * sw) * w.words if down > 1 else 0
            frame = (w.rows * w.cols - (down - 1) * sh * w.cols - (across - 1) * sw) * w.words
            gate = program.kernels[s.kernel].kind == "mul"
            one_word = (w.words, w.kernel, w.strides) == (1, (1, 1), (1, 1))
            held = one_word and not gate  # it waits in front of the engine
            assert w.held == held
            assert held or w.depth >= span + max(in_row, row, frame) + 4
            if program.kernels[s.kernel].kind == "mul":  # a gate: every word as often as there are elements for it
                gate, map_ = s.sources[1].arrives, s.sources[0].arrives
                assert (w.words * w.cols * gate.lanes, w.repeat * gate.beats) == (
                    gate.channels * gate.pixels,
                    map_.beats,
                )
                continue
            if program.kernels[s.kernel].kind == "repeat":
                assert (w.taps, w.repeat, w.sets) == (1, program.kernels[s.kernel].params["times"], 1)
                continue
            assert (w.taps, w.repeat, w.sets) == (s.fold.taps, s.fold.groups // s.fold.sets, s.fold.sets)
            x = program.edges[program.kernels[s.kernel].inputs[0]]
            assert w.words * x.shape[1] * x.shape[2] == s.sources[0].arrives.beats
            assert w.words % w.sets == 0
    assert count > 80


def folded(kernel, budget, **how):
    """The stage of one convolution under a budget."""
    b = Builder(np.random.default_rng(3)).input(how.pop("shape", (12, 9, 8))).conv2d(kernel=kernel, **how)
    return plan_dataflow(b.program(), budget).stages[0]


@pytest.mark.parametrize("budget", [1, 5, 9, 40, 108])
def test_depthwise_convolutions_have_channels_side_by_side(budget):
    stage = folded((3, 3), budget, m=12, groups=12, pads=(1, 1, 1, 1))
    assert stage.fold.kind == "depthwise"
    assert stage.fold.lanes == stage.fold.taps * stage.fold.simd <= budget
    ideal = 72 * 12 * 9 / budget
    assert stage.beats >= ideal
    if budget >= 9:
        assert stage.beats <= max(1.2 * ideal, 11 * 10 * ceil(12 / stage.fold.simd))


@pytest.mark.parametrize(("groups", "m"), [(2, 8), (3, 6), (4, 12), (6, 6)])
def test_grouped_convolutions_have_no_idle_lanes_but_for_rounding(groups, m):
    """One lane and up: beats as a dense convolution of a group's size takes them, once for each group."""
    for budget in (1, 7, 12, 30):
        stage = folded((3, 3), budget, m=m, groups=groups)
        fold, macs = stage.fold, 42 * m * 12 // groups * 9
        assert fold.kind == "dense"
        assert fold.lanes <= budget
        assert fold.beats >= macs / budget
        assert fold.beats <= max(1.35 * macs / fold.lanes, 72 * groups * ceil(12 / groups / fold.simd))


@pytest.mark.parametrize("name", ["identity", "fire"])
def test_least_fifos_of_a_large_design(name, monkeypatch):
    """A design beyond the limit of the default gets depths that are enough; with the option the least, as a small one."""
    program = NETWORKS[name]()
    small = plan_dataflow(program)
    monkeypatch.setattr(fifos, "EXACT_TOTAL", 0)
    large = plan_dataflow(program)
    assert (small.least_fifos, large.least_fifos) == (True, False)
    assert plan_dataflow(program, least_fifos=True) == small


@pytest.mark.parametrize("depth", [2, 3, 7])
@pytest.mark.parametrize("indexed", [False, True])
def test_words_that_a_fifo_holds(depth, indexed):
    """Words come every cycle from 0 on and one leaves every three cycles: it fills up and stays full."""
    graph = Graph()
    push, pop = graph.link("push", 20), graph.link("pop", 40 if indexed else 20)
    pop.arcs.append(Arc(pop, 1 if indexed else 3, -1))
    index = np.where(np.arange(40) % 2, NEVER, np.arange(40) // 2) if indexed else None
    buffer = Buffer(push, pop, index).resize(depth)
    if indexed:
        pop.arcs.append(Arc(pop, 3, -2))
    assert fifos.words(Execution(graph, [], 2), buffer) == depth


def test_plan_is_a_function_of_its_arguments():
    assert plan_dataflow(small_net(), 40) == plan_dataflow(small_net(), 40)
