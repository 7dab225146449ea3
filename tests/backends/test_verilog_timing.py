"""The timing model against the Verilated design, cycle by cycle; and that no FIFO can be one word less."""

from dataclasses import replace

import numpy as np
import pytest

import hwcomp
from hwcomp import samples
from hwcomp.backends import verilog
from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.plan import fifos, timing
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.verify import verilated
from tests.branches import NETWORKS, resnet8
from tests.conformance.streaming import streaming_program
from tests.products import from_program
from tests.program_factory import Builder, lenet5
from tests.random_programs import random_network
from tests.zoo import member

FRAMES = 10


def simulated(program, plan, folder, frames=FRAMES):
    """int64 [frames]: when each frame is complete, from the first input beat on; None where the design gets stuck."""
    built = from_program(program, folder, "fpga", plan=plan)
    design = verilated._load(built)
    try:
        _, first, done = verilated._simulate(built, design, samples.random_stored(program, frames), False, 0)
    except WorkFailed as error:
        assert "stopped moving" in str(error)
        return None
    return done - first


def steady(done):
    """Cycles per frame in the second half."""
    return (done[-1] - done[len(done) // 2]) / (len(done) - 1 - len(done) // 2)


def depths(plan):
    found = {key: source.depth for key, source in plan.sources().items()}
    return found | {(s.kernel, timing.PAD): s.buffer for s in plan.stages if s.pads}


def one_less(plan, key):
    if key[1] == timing.PAD:
        return replace(
            plan, stages=tuple(replace(s, buffer=s.buffer - (s.kernel == key[0])) for s in plan.stages)
        )  # fmt: skip
    return plan.with_depths({key: plan.sources()[key].depth - 1})


def check_least(program, folder, monkeypatch):
    monkeypatch.setattr(verilog, "frame_latency", lambda *_: 0)  # of a design that gets stuck there is none
    monkeypatch.setattr(fifos, "EXACT_TOTAL", 10_000_000)
    plan = plan_dataflow(program)
    assert plan.least_fifos
    done = simulated(program, plan, folder / "least")
    assert done.tolist() == timing.completions(timing.build(program, plan), FRAMES).tolist()
    assert steady(done) == plan.interval
    deep = [key for key, depth in depths(plan).items() if depth > 2]
    for i, key in enumerate(deep):
        fewer = simulated(program, one_less(plan, key), folder / str(i))
        assert fewer is None or steady(fewer) > plan.interval, (key, depths(plan)[key])
    return deep


@pytest.mark.parametrize("name", NETWORKS)
def test_no_fifo_can_be_one_word_less(name, tmp_path, monkeypatch):
    deep = check_least(NETWORKS[name](), tmp_path, monkeypatch)
    assert bool(deep) == (name != "straight")


@pytest.mark.slow
def test_no_fifo_of_a_residual_network_can_be_one_word_less(tmp_path, monkeypatch):
    assert len(check_least(resnet8((2, 3, 4), 8), tmp_path, monkeypatch)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet8_bn_fashion", "shufflenets_fashion"])
def test_no_fifo_of_a_large_network_can_be_one_word_less(name, tmp_path, monkeypatch):
    """With --least-fifos."""
    monkeypatch.setattr(verilog, "frame_latency", lambda *_: 0)
    network = member(name)
    data = {network.input: network.calibration}
    program = hwcomp.compile(network.path, tmp_path / "net", target="fpga", calibration=data).program
    plan = plan_dataflow(program, least_fifos=True)
    assert plan.least_fifos
    assert steady(simulated(program, plan, tmp_path / "least", 6)) == plan.interval
    for i, key in enumerate(key for key, depth in depths(plan).items() if depth > 2):
        fewer = simulated(program, one_less(plan, key), tmp_path / str(i), 6)
        assert fewer is None or steady(fewer) > plan.interval, (key, depths(plan)[key])


def check_times(program, budget, folder):
    plan = plan_dataflow(program, budget)
    done = simulated(program, plan, folder)
    assert done.tolist() == timing.completions(timing.build(program, plan), FRAMES).tolist()
    assert steady(done) == plan.interval if plan.least_fifos else steady(done) <= plan.interval
    assert timing.frame_latency(program, plan) == done[0] + 1


@pytest.mark.parametrize("seed", [5, 7, 39, 43, 56])
def test_chains_take_the_cycles_of_the_model(seed, tmp_path):
    check_times(*streaming_program(seed), tmp_path)


@pytest.mark.parametrize("seed", [0, 2, 5, 9, 38])
def test_networks_take_the_cycles_of_the_model(seed, tmp_path):
    check_times(random_network(seed), None, tmp_path)


@pytest.mark.parametrize(
    ("shape", "axes", "scale"), [((10,), (0,), 0.05), ((3, 2, 4), (0,), 0.3), ((5, 3, 2), (0, 1, 2), 0.01)]
)
def test_a_softmax_takes_the_cycles_of_the_model(shape, axes, scale, tmp_path):
    b = Builder(np.random.default_rng(1)).input(shape)
    program = b.requantize(form="affine").softmax(axes, scale=scale).program()
    check_times(program, None, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_networks_take_the_cycles_of_the_model(seed, tmp_path):
    program = random_network(seed)
    try:
        verilog.Verilog().supports(program)
    except UnsupportedError:
        return
    check_times(program, None, tmp_path)


def test_a_converter_may_take_longer_than_the_engines(tmp_path):
    """15 lanes become 12 of which the last word of 255 channels fills a quarter: two cycles more than the engine's 22 beats."""
    program = Builder(np.random.default_rng(1)).input((255,)).dense(5).program()
    plan = plan_dataflow(program, 60)
    assert max(s.beats for s in plan.stages) < plan.interval
    check_times(program, 60, tmp_path)


def test_lenet5_takes_the_cycles_of_the_model(tmp_path):
    program = lenet5()
    plan = plan_dataflow(program)
    done = simulated(program, plan, tmp_path, 4)
    assert (np.diff(done) == plan.interval).all()
    assert abs(timing.frame_latency(program, plan) - (done[0] + 1)) <= 1
