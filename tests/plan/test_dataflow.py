"""The dataflow plan: bars of the folding, every budget, and that stages, streams and ports fit each other."""

from math import ceil

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.plan import folding
from hwcomp.plan.dataflow import DEFAULT_LANES, plan_dataflow
from tests.models import quantized, spine
from tests.program_factory import Builder, lenet5, random_chain

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
    plan = plan_dataflow(program, budget)
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
                plan_dataflow(program, budget)
            continue
        plan = plan_dataflow(program, budget)
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
    assert plan_dataflow(program, budget).interval == best


def planned(seeds):
    """Plans of the random Programs that the Verilog back end takes, each with a budget of its own."""
    for seed in seeds:
        program = random_chain(seed)
        budget = None if seed % 3 == 0 else 6 + seed * 5 % 150
        try:
            yield program, plan_dataflow(program, budget)
        except UnsupportedError as error:
            assert error.node in {k.origin[0] for k in program.kernels}


def test_stages_fit_together():
    count = 0
    for program, plan in planned(range(240)):
        count += 1
        assert plan.lanes == sum(s.fold.lanes for s in plan.stages if s.fold) <= plan.budget
        assert plan.interval == max(beats(plan))
        for s in plan.stages:
            kernel = program.kernels[s.kernel]
            assert s.source == plan.streams[kernel.inputs[0]]
            assert s.out == plan.streams[kernel.outputs[0]]
            edge = program.edges[kernel.outputs[0]]
            assert (s.out.bits, s.out.signed) == (edge.bits, edge.signed)
            assert s.out.channels * s.out.pixels == edge.size
            assert s.beats >= s.out.beats
            if s.convert:
                assert (s.convert.lanes_in, s.convert.lanes_out) == (s.source.lanes, s.fold.simd)
            elif s.fold:
                assert s.source.lanes == s.fold.simd
            if s.fold:
                outputs = len(kernel.constants["bias"])
                assert (s.fold.groups - 1) * s.fold.pe < outputs <= s.fold.groups * s.fold.pe
                assert s.fold.pe % s.out.lanes == 0
                assert (s.serialize is None) == (s.fold.pe == s.out.lanes)
    assert count > 60


def test_external_lanes_divide_the_channels():
    for _, plan in planned(range(240)):
        for port in plan.inputs:
            assert port.outer.channels % port.outer.lanes == 0
            assert port.outer == plan.streams[port.edge]
        for port in plan.outputs:
            inner = plan.streams[port.edge]
            assert port.outer.channels % port.outer.lanes == 0 or port.outer.lanes == inner.lanes
            assert (port.convert is None) == (port.outer.lanes == inner.lanes)


def test_window_buffers_are_deep_enough():
    """SPAN + the largest step + the pipeline, as the cell asks for."""
    count = 0
    for program, plan in planned(range(300)):
        for s in plan.stages:
            if (w := s.window) is None or program.kernels[s.kernel].kind != "conv2d":
                continue
            count += 1
            (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
            across = (w.cols - (kw - 1) * dw - 1) // sw + 1
            down = (w.rows - (kh - 1) * dh - 1) // sh + 1
            span = ((kh - 1) * dh * w.cols + (kw - 1) * dw + 1) * w.words
            in_row = sw * w.words if across > 1 else 0
            row = (sh * w.cols - (across - 1) * sw) * w.words if down > 1 else 0
            frame = (w.rows * w.cols - (down - 1) * sh * w.cols - (across - 1) * sw) * w.words
            assert w.depth >= span + max(in_row, row, frame) + 4
            assert (w.taps, w.words, w.repeat) == (s.fold.taps, ceil(s.source.channels / s.fold.simd), s.fold.groups)
    assert count > 40


def test_plan_is_a_function_of_its_arguments():
    assert plan_dataflow(small_net(), 40) == plan_dataflow(small_net(), 40)
