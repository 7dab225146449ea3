"""Unrolled layers of integers as Verilog: every tensor, the cycles of the timing model, what the tools and the report say."""

import re

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.plan import timing, unrolled_sums
from hwcomp.plan.adders import bits_of
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.plan.unrolled import chosen
from hwcomp.registry import BACKENDS
from hwcomp.verify import verilated
from tests.backends.test_verilog_tools import lint, simulate, yosys
from tests.few_bits import Bits
from tests.products import check, from_program
from tests.program_factory import Builder

BIT, TWO, BYTE = (1, True, True), (2, True, False), (8, True, False)


def start(shape, kind=BYTE):
    return Bits(np.random.default_rng(1)).source(shape, kind)


def pruned():
    """Three of four weights are zero, an output has none, another only its bias; the inputs are never negative."""
    rng = np.random.default_rng(2)
    weight = np.where(rng.random((8, 14)) < 0.25, rng.integers(-127, 128, (8, 14)), 0)
    weight[3], weight[:, 5] = 0, 0
    return Builder(rng).input((14,), lo=0).dense(8, weight=weight).program()


# What each has to go wrong: idle lanes, order of elements, stages, padding, bits as inputs, one bit as a result.
NETS = {
    "int8": lambda: start((19,)).layer(12, "int8", BYTE, "affine").layer(5, "int4", BYTE, "rne").program(),
    "pruned": pruned,
    "bits": lambda: start((20,), BIT).layer(9, "ternary", BIT).layer(5, "int8", BIT).program(),
    "signs": lambda: start((11,)).layer(6, "sign", TWO).layer(4, "int2", BYTE, "affine").program(),
    "single": lambda: start((1,)).layer(1, "int8", BYTE, "affine").program(),
    "rows": lambda: start((3, 7)).layer(5, "int8", BYTE, "affine").program(),
    "convolutions": lambda: (
        start((3, 6, 5))
        .convolution(5, "int8", BYTE, "affine", strides=(2, 1), pads=(1, 1, 0, 1), pad=-9)
        .convolution(4, "ternary", BYTE, "rne", kernel=(1, 1))
        .program()
    ),
    "flattened": lambda: Builder(np.random.default_rng(3)).input((3, 3, 2)).conv2d(4, (2, 2)).flatten().dense(6).program(),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_every_tensor_and_cycle(name, tmp_path):
    program = NETS[name]()
    plan = plan_dataflow(program, unroll=chosen(program, ["all"]))
    built = from_program(program, tmp_path, "fpga", plan=plan)
    assert "hwc_shift_add" in "".join(p.read_text() for p in (built.dir / "rtl").glob("net_k*_unrolled.v"))
    check(built, ["verilator"])
    _, first, done = verilated._simulate(built, verilated._load(built), samples.random_stored(program, 8), False, 0)
    assert (done - first).tolist() == timing.completions(timing.build(program, plan), 8).tolist()
    assert timing.frame_latency(program, plan) == done[0] - first + 1
    assert (np.diff(done)[3:] == plan.interval).all()


def test_layers_of_vectors_take_a_frame_per_beat():
    program = NETS["int8"]()
    plan = plan_dataflow(program, unroll=chosen(program, ["all"]))
    assert (plan.interval, plan.lanes) == (1, 0)
    assert plan_dataflow(program).interval > 1


@pytest.mark.parametrize("name", ["int8", "pruned", "bits", "convolutions"])
def test_the_tools_take_it(name, tmp_path):
    rtl = from_program(NETS[name](), tmp_path, "fpga", unroll=("all",)).dir / "rtl"
    assert lint(rtl) == []
    if name != "convolutions":
        assert yosys(rtl) == (True, "")
        assert re.match(r"PASS: \d+ frames", simulate(rtl, tmp_path))


def test_the_text_is_the_netlist(tmp_path):
    """An instance per sum, and nothing where weights are zero."""
    program = pruned()
    text = (from_program(program, tmp_path, "fpga", unroll=("all",)).dir / "rtl" / "net_k0_unrolled.v").read_text()
    graph = unrolled_sums.of(program, program.kernels[0])
    assert text.count("hwc_shift_add #") == len(graph.adds)
    assert len(graph.adds) < unrolled_sums.count_digits(program.kernels[0].constants["weight"])
    assert "x_q[47:39]" in text and "x_q[40 +: " not in text  # the input that nobody reads, and a bit of that before
    assert "x_q[7]" in text and "x_q[0 +: 7]" in text  # inputs of 0..127 have no eighth bit


@pytest.mark.parametrize(
    ("lo", "hi", "bits"), [(-1, -1, 1), (-8, -8, 4), (-8, 7, 4), (-9, -8, 5), (0, 7, 3), (0, 0, 1)]
)
def test_bits_of_a_range(lo, hi, bits):
    """A bit too many for powers of two below zero would leave the accumulator's width."""
    assert bits_of(lo, hi) == bits


def test_many_inputs_that_nobody_reads_take_short_lines(tmp_path):
    """Verilator refuses lines of more than 40,000 tokens."""
    weight = np.zeros((2, 1200), np.int64)
    weight[:, ::2] = [[1], [-1]]
    program = Builder(np.random.default_rng(1)).input((1200,)).dense(2, weight=weight).program()
    text = (from_program(program, tmp_path, "fpga", unroll=("all",)).dir / "rtl" / "net_k0_unrolled.v").read_text()
    assert "x_q[15:8]" in text and "x_q[9599:9592]" in text
    assert max(len(line) for line in text.splitlines()) < 400


def test_the_report_weighs_adders_against_an_engine():
    program = NETS["int8"]()
    backend = BACKENDS["fpga"]
    for unroll in ((), ("all",)):
        stages = backend.report(program, backend.plan(program, {"unroll": unroll}))["stages"]
        graph, wired = unrolled_sums.of(program, program.kernels[0]), stages[0]["wired"]
        assert wired["unrolled"] == bool(unroll)
        if unroll:
            assert (wired["adders"], wired["luts"]) == (len(graph.adds), graph.luts())
            assert "228 multipliers and about 4,104 LUTs" in wired["why"]  # 19 x 12
            assert stages[0]["multipliers"] == stages[0]["out_lanes"]
        else:
            assert wired["adders"] >= len(unrolled_sums.of(program, program.kernels[0], share=False).adds)
            assert "--unroll" in wired["why"] and "multipliers" in wired["why"]
