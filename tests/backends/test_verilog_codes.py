"""Weights as indices in ROM, in Verilog: every bit, and fewer bits of memory, as the report says."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.backends.verilog import Verilog
from hwcomp.plan import codebooks
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.verify import compare, engines
from tests.backends.test_verilog_select import weights
from tests.models import model, values
from tests.products import check, compiled, from_program
from tests.program_factory import Builder
from tests.vector_codes import Coded, network

CHEAP = replace(FAMILIES["ice40"], bits=1)  # a table wherever there is one


def chain(distinct, seed=3):
    """A convolution, one in groups, a dense layer over rows, one over all; some of the lanes are idle."""
    rng = np.random.default_rng(seed)
    few = np.append(rng.choice(np.arange(-128, 128), distinct - 1, replace=False), 127)

    def drawn(*shape):
        return rng.choice(few, shape)

    b = Builder(rng).input((7, 5, 4))
    b.conv2d(10, (3, 3), pads=(1, 1, 1, 1), weight=drawn(10, 7, 3, 3))
    b.conv2d(8, (2, 3), strides=(1, 2), groups=2, weight=drawn(8, 5, 2, 3), signed=False)
    b.flatten()
    return b.dense(9, weight=drawn(9, b.x.size)).program()


@pytest.mark.parametrize(("distinct", "budget"), [(2, 20), (3, 37), (8, 9), (8, 64), (9, 200), (40, 30), (50, 5)])
def test_every_bit(distinct, budget, tmp_path):
    program = chain(distinct)
    plan = plan_dataflow(program, budget, logic=CHEAP)
    assert all(s.codebook for s in plan.stages if s.fold)
    bare = replace(plan, stages=tuple(replace(s, codebook=None) for s in plan.stages))
    assert bare == plan_dataflow(program, budget)
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


def test_with_lanes_that_choose(tmp_path):
    rng = np.random.default_rng(4)
    weight = np.where(weights(rng, 24, 16, (3, 3)) != 0, rng.choice([-90, -31, 4, 77], (24, 16, 3, 3)), 0)
    program = Builder(rng).input((16, 4, 4)).conv2d(24, (3, 3), weight=weight).program()
    plan = plan_dataflow(program, 16, logic=FAMILIES["xc7"])
    assert plan.stages[0].fold.select
    assert plan.stages[0].codebook.bits == 3
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


def apart():
    """Depthwise layers, of one and of two outputs for each channel."""
    rng = np.random.default_rng(5)
    few = [-120, -31, 0, 4, 77]
    b = (
        Builder(rng)
        .input((10, 6, 5))
        .conv2d(10, (3, 3), groups=10, pads=(1, 1, 1, 1), weight=rng.choice(few, (10, 1, 3, 3)))
    )
    return b.conv2d(20, (2, 3), groups=10, strides=(2, 1), weight=rng.choice(few[:2], (20, 1, 2, 3))).program()


@pytest.mark.parametrize("lanes", [2, 9, 60])
def test_depthwise_layers(lanes, tmp_path):
    """Lanes of several taps and channels, some of them idle; two outputs of each channel."""
    program = apart()
    plan = plan_dataflow(program, lanes, logic=CHEAP)
    assert [s.fold.kind for s in plan.stages] == ["depthwise", "depthwise"]
    assert all(s.codebook and s.codebook.vector == 1 for s in plan.stages)
    bare = plan_dataflow(program, lanes)
    assert [s.beats for s in bare.stages] == [s.beats for s in plan.stages]
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


@pytest.mark.parametrize(("seed", "budget"), [(0, 24), (1, 64), (2, 200)])
def test_vectors(seed, budget, tmp_path):
    """Vectors of 2, 4 and 8 lanes, of several codebooks and sums; lanes that hold no whole vectors have values of their own."""
    program = network(seed)
    plan = plan_dataflow(program, budget, logic=CHEAP)
    assert {s.codebook.vector for s in plan.stages if s.codebook} & {2, 4, 8}
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


def test_vectors_where_beats_are_left_out(tmp_path):
    rng = np.random.default_rng(8)
    words = rng.integers(-128, 128, (8, 4))[rng.integers(0, 8, (96, 24))]
    kept = (rng.random((6, 12)) < 0.5).repeat(16, 0).repeat(2, 1)  # outputs x vectors
    weight = (words * kept[:, :, None]).reshape(96, 96)
    program = Builder(rng).input((96,)).dense(96, weight=weight).program()
    plan = plan_dataflow(program, 32, logic=CHEAP)
    assert plan.stages[0].fold.kept
    assert plan.stages[0].codebook.vector in (2, 4, 8)
    check(from_program(program, tmp_path, "fpga", plan=plan), ("verilator",))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_report_counts_vectors(family):
    program = Coded(np.random.default_rng(5)).input((64,)).fully(400, codewords=16).program()
    plan = Verilog().plan(program, {"pe_simd_budget": 8, "fpga_family": family})
    (stage,) = plan.stages
    found, plain = (Verilog().report(program, p)["stages"][0] for p in (plan, plan_dataflow(program, 8)))
    indices = stage.fold.per_pixel * stage.fold.lanes // 4
    assert (stage.codebook.vector, stage.codebook.bits) == (4, 4)
    assert found["rom_bits"] == plain["rom_bits"] - indices * (32 - 4)
    assert found["codebook"].startswith(
        f"16 vectors of 4 weights: indices take {indices * 4:,} bits of ROM, weights {indices * 32:,}"
    )
    assert found["codebook"].endswith(f"tables of about {stage.fold.lanes // 4 * stage.codebook.luts:,} LUTs")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_report_counts_indices(family):
    program = chain(8)
    plan = Verilog().plan(program, {"pe_simd_budget": 4, "fpga_family": family})
    stage = plan.stages[0]
    found = Verilog().report(program, plan)["stages"][0]
    plain = Verilog().report(program, plan_dataflow(program, 4))["stages"][0]
    words, b = stage.fold.per_pixel * stage.fold.lanes, stage.codebook.bits
    assert found["rom_bits"] == plain["rom_bits"] - words * (8 - b)
    assert found["codebook"].startswith(f"{len(stage.codebook.codes)} values: indices take {words * b:,} bits of ROM")
    assert f"weights {words * 8:,}" in found["codebook"]
    assert found["codebook"].endswith(f"tables of about {stage.fold.lanes * stage.codebook.luts:,} LUTs")
    assert "codebook" not in plain


def test_shared_weights_of_a_compile(tmp_path):
    """--share 3: the ROMs hold indices, and every tensor is equal."""
    constants = {"a": values("a", 16, 3, 3, 3), "b": values("b", 24, 16, 3, 3), "c": values("c", 10, 24 * 16)}
    nodes = [
        ("Conv", ["x", "a"], ["t"], {"pads": [1] * 4}), ("Relu", ["t"], ["u"], {}),
        ("Conv", ["u", "b"], ["v"], {}), ("Relu", ["v"], ["w"], {}), ("Flatten", ["w"], ["f"], {}),
        ("Gemm", ["f", "c"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    data = {"x": np.random.default_rng(1).uniform(-1, 1, (64, 3, 6, 6)).astype(np.float32)}
    product = compiled(
        model(nodes, {"x": (1, 3, 6, 6)}, constants), tmp_path, target="fpga", calibration=data, pe_simd_budget=8, share=3,
    )  # fmt: skip
    assert "hwc_table" in " ".join(p.name for p in (product.dir / "rtl").iterdir())
    (top,) = (product.dir / "rtl").glob("*_top.v")
    assert top.read_text().count(".CODE_W(3)") + top.read_text().count(".CODE_W(4)") >= 2
    stored = samples.random_stored(product.program, 3)
    for outcome in compare.verify(product, stored, [engines.engine("verilator")]):
        assert (outcome.engine, outcome.status, outcome.detail) == (outcome.engine, "equal", "")


def test_the_default_weighs_by_the_family():
    program = chain(8)
    for family, logic in FAMILIES.items():
        plan = Verilog().plan(program, {"pe_simd_budget": 64, "fpga_family": family})
        for s in plan.stages:
            if s.fold:
                assert s.codebook == codebooks.chosen(program, s, logic)
