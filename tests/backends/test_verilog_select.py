"""Lanes that choose among channels, in Verilog: half the beats for 2:4 at any number of lanes, every bit and cycle as planned."""

import numpy as np
import pytest

from hwcomp.backends.hls import Hls
from hwcomp.backends.verilog import Verilog
from hwcomp.plan import timing
from hwcomp.plan.dataflow import fold_dataflow, plan_dataflow
from tests.backends.test_verilog_timing import simulated, steady
from tests.few_bits import Bits
from tests.products import check, from_program
from tests.program_factory import Builder
from tests.sparse_nets import n_of_m

BITS = (1, True, True)


def weights(rng, outputs, channels, kernel=(1, 1), pattern=(2, 4), shared=1, low=-127):
    """int64 [outputs, channels, *kernel]; the last group of channels may be shorter."""
    n, m = pattern
    columns = -(-channels // m) * m
    kept = n_of_m(rng, (-(-outputs // shared) * shared, kernel[0] * kernel[1] * columns), n, m, shared)
    kept = kept[:outputs].reshape(outputs, *kernel, columns)[..., :channels].transpose(0, 3, 1, 2)
    return np.where(kept, rng.integers(low, 128, kept.shape) | 1, 0)


def one(shared, channels=64, size=4):
    rng = np.random.default_rng(2)
    b = Builder(rng).input((channels, size, size))
    return b.conv2d(64, (3, 3), pads=(1, 1, 1, 1), weight=weights(rng, 64, channels, (3, 3), shared=shared)).program()


def dense(shared):
    rng = np.random.default_rng(2)
    return Builder(rng).input((64,)).dense(64, weight=weights(rng, 64, 64, shared=shared)[..., 0, 0]).program()


def chain(pattern, shared, signed=True):
    """Channels that the pattern does not divide, groups, strides, rows of a dense layer, one row with idle lanes."""
    rng, c = np.random.default_rng(3), pattern[1] * 3 // 2
    b = Builder(rng).input((c, 5, 4), signed=signed)
    b.conv2d(2 * c, (3, 3), pads=(1, 1, 1, 1), weight=weights(rng, 2 * c, c, (3, 3), pattern, shared))
    b.conv2d(8, (2, 3), strides=(1, 2), groups=2, weight=weights(rng, 8, c, (2, 3), pattern, shared), signed=False)
    b.conv2d(10, (1, 1), weight=weights(rng, 10, 8, (1, 1), pattern, shared))
    b.flatten()
    features = b.x.size
    return b.dense(9, weight=weights(rng, 9, features, (1, 1), pattern, shared)[..., 0, 0]).program()


@pytest.mark.parametrize("lanes", [4, 16, 64, 256])
@pytest.mark.parametrize("shared", [4, 1])
@pytest.mark.parametrize("layer", [one, dense])
def test_two_of_four_take_half_the_cycles(layer, shared, lanes):
    program = layer(shared)
    full, half = (fold_dataflow(program, lanes, skip=skip) for skip in (False, True))
    assert half.lanes <= lanes
    assert half.interval <= 0.55 * full.interval


@pytest.mark.parametrize(
    ("pattern", "shared", "budget"),
    [
        ((2, 4), 4, 20),
        ((2, 4), 1, 37),
        ((1, 4), 2, 16),
        ((1, 2), 1, 90),
        ((3, 8), 1, 9),
        ((2, 4), 4, 200),
        ((5, 16), 2, 50),
    ],
)
def test_every_bit_and_cycle(pattern, shared, budget, tmp_path):
    """All taps with random stalls; frames back to back at the cycles of the timing model."""
    program = chain(pattern, shared, signed=budget % 2 == 0)
    plan = plan_dataflow(program, budget)
    assert any(s.fold and s.fold.select for s in plan.stages)
    check(from_program(program, tmp_path / "checked", "fpga", plan=plan), ("verilator",))
    done = simulated(program, plan, tmp_path / "timed", 6)
    assert done.tolist() == timing.completions(timing.build(program, plan), 6).tolist()
    assert steady(done) <= plan.interval
    assert timing.frame_latency(program, plan) == done[0] + 1


def test_beats_are_left_out_too(tmp_path):
    """Lanes that choose, in an engine that leaves out what is zero for all of its outputs."""
    rng = np.random.default_rng(5)
    weight = weights(rng, 16, 32, (3, 3))
    weight[:, :, 0] = 0  # a row of every kernel
    weight[:8, :16] = 0
    program = Builder(rng).input((32, 4, 4)).conv2d(16, (3, 3), weight=weight).program()
    plan = plan_dataflow(program, 32)
    fold = plan.stages[0].fold
    assert fold.select
    assert sum(fold.kept) <= 0.6 * fold.groups * fold.chunks
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


@pytest.mark.parametrize(
    ("values", "kind"), [((-3, 2, 5), BITS), ((-1, 1), (4, True, False)), ((-4, 1, 8, -2), (3, False, False))]
)
def test_weights_of_few_bits(values, kind, tmp_path):
    """Inputs of -1 and +1 with padding that adds nothing; ternary weights; powers of two."""
    rng = np.random.default_rng(6)
    weight = np.where(weights(rng, 16, 32, (3, 3)) != 0, rng.choice(values, (16, 32, 3, 3)), 0)
    b = Bits(rng).source((32, 4, 3), kind)
    params = {"kernel": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [1] * 4, "groups": 1, "pad_value": 0}
    program = b.dot("conv2d", weight, b.typed((16, 4, 3), BITS), params, "threshold", pad=0).program()
    plan = plan_dataflow(program, 32)
    assert plan.stages[0].fold.select
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


def test_hls_multiplies_all():
    program = chain((2, 4), 4)
    plan = Hls().plan(program, {"pe_simd_budget": 20})
    assert plan.flow == plan_dataflow(program, 20, skip=False) != plan_dataflow(program, 20)
    assert not any(s.fold.select for s in plan.flow.stages if s.fold)


def test_the_report_says_what_it_takes():
    program = one(4)
    plan = plan_dataflow(program, 64)
    report = Verilog().report(program, plan)
    found = report["stages"][0]
    full = Verilog().report(program, plan_dataflow(program, 64, skip=False))["stages"][0]
    assert "select" not in full
    fold = plan.stages[0].fold
    assert found["select"].startswith(f"2 of every 4 channels, the same for {fold.select.share} outputs")
    assert "64 lanes do what takes 128" in found["select"]
    assert f"{fold.muxes} multiplexers of 3 inputs, about {8 * fold.muxes} LUTs" in found["select"]
    indices = 64 * 64 * 9 // 2 // fold.select.share * 2
    assert f"{indices:,} bits of indices" in found["select"]
    assert found["rom_bits"] - indices == full["rom_bits"] - 64 * 64 * 9 // 2 * 8
