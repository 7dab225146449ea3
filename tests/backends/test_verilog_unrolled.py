"""Unrolled binary layers as Verilog: every tensor, the cycles of the timing model, and what the tools say."""

import re

import numpy as np
import onnx
import pytest

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.options import CompileOptions
from hwcomp.plan import timing
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.plan.unrolled import chosen
from hwcomp.verify import compare, engines, verilated
from tests.backends.test_verilog_tools import lint, simulate, yosys
from tests.few_bits import Bits
from tests.models import shared
from tests.products import check, from_program

BIT, BYTE = (1, True, True), (8, True, False)


def start(shape):
    return Bits(np.random.default_rng(1)).source(shape, BIT)


NETS = {
    "chain": lambda: start((45,)).layer(20, "sign", BIT).layer(7, "sign", BIT).program(),
    "sums": lambda: start((30,)).layer(9, "sign", BYTE, "affine").program(),
    "thresholds": lambda: start((50,)).layer(9, "sign", (2, True, False)).program(),
    "single": lambda: start((1,)).layer(1, "sign", BIT).program(),
    "rows": lambda: start((3, 14)).layer(5, "sign", BIT).program(),
    "convolution": lambda: start((3, 6, 5)).convolution(6, "sign", BIT).program(),
    "padded": lambda: start((2, 5, 5)).convolution(4, "sign", BIT, pads=(1, 1, 1, 1), pad=-1).program(),
    "among others": lambda: (
        start((3, 6, 6)).convolution(5, "sign", BIT).pool().convolution(6, "sign", BIT, kernel=(2, 2)).program()
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_every_tensor_is_equal_with_stalls(name, tmp_path):
    program = NETS[name]()
    built = from_program(program, tmp_path, "fpga", unroll=("all",))
    assert list((built.dir / "rtl").glob("net_k*_unrolled.v"))
    check(built, ["verilator"])


@pytest.mark.parametrize("name", NETS)
def test_it_takes_the_cycles_of_the_model(name, tmp_path):
    program = NETS[name]()
    plan = plan_dataflow(program, unroll=chosen(program, ["all"]))
    built = from_program(program, tmp_path, "fpga", plan=plan)
    _, first, done = verilated._simulate(built, verilated._load(built), samples.random_stored(program, 8), False, 0)
    assert (done - first).tolist() == timing.completions(timing.build(program, plan), 8).tolist()
    assert timing.frame_latency(program, plan) == done[0] - first + 1
    assert (np.diff(done)[3:] == plan.interval).all()


def test_a_layer_of_vectors_takes_a_frame_per_beat():
    program = NETS["chain"]()
    plan = plan_dataflow(program, unroll=chosen(program, ["all"]))
    assert (plan.interval, plan.lanes) == (1, 0)
    assert plan_dataflow(program, unroll=()).interval > 1


def test_the_tools_take_it(tmp_path):
    rtl = from_program(NETS["chain"](), tmp_path, "fpga", unroll=("all",)).dir / "rtl"
    assert lint(rtl) == []
    assert yosys(rtl) == (True, "")
    assert re.match(r"PASS: \d+ frames", simulate(rtl, tmp_path))


def test_idle_lanes_are_read_by_nobody(tmp_path):
    """Nine outputs of a folded layer, some at a time, leave lanes of the next one idle."""
    program = start((7,)).layer(9, "ternary", BIT).layer(4, "sign", BIT).program()
    built = from_program(program, tmp_path, "fpga", budget=9, unroll=("all",))
    assert lint(built.dir / "rtl") == []
    check(built, ["verilator"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("TFC_1W1A", "qonnx"), ("bnn_mlp_mnist", "bnn")])
def test_networks_with_all_binary_layers_unrolled(name, kind, tmp_path):
    with np.load(shared("data", "mnist.npz")) as found:
        images = found["x_test"][:20, None].astype(np.float32) / np.float32(255)
    path = shared("models", kind, f"{name}.onnx")
    source = onnx.load(path).graph.input[0].name
    options = CompileOptions(("fpga",), calibration={source: images}, name="net", unroll=("all",))
    built = compile_model(path, tmp_path / name, options)
    stored = samples.to_stored(built.program, {source: images})
    outcome = compare.verify(built, stored, [engines.engine("verilator")])[0]
    assert (outcome.status, outcome.detail) == ("equal", "")
    assert outcome.samples == 20
    assert outcome.stats["cycles_per_frame"] == outcome.stats["largest_engine_beats"]
