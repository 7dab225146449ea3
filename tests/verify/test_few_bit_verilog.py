"""Whole networks of few bits in Verilog: every tensor equal with random stalls, at the planned pace; all schemes on two CNNs."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.options import CompileOptions
from hwcomp.verify import compare, engines
from tests.models import shared
from tests.verify.test_few_bit_networks import NETWORKS, images

SCHEMES = ("binary", "binary-weights", "ternary", "int2", "int3", "int4", "log2", "auto")


def verified(path, folder, source, data, count, **options):
    """Statistics of the Verilated design, all tensors of `count` samples being equal."""
    built = compile_model(path, folder, CompileOptions(("fpga",), calibration={source: data}, name="net", **options))
    stored = samples.to_stored(built.program, {source: data[:count]})
    (outcome,) = compare.verify(built, stored, [engines.engine("verilator")])
    assert (outcome.status, outcome.detail) == ("equal", "")
    assert outcome.tensors == len(built.program.edges)
    return outcome.stats


def network(name, folder, budget, count):
    import onnx

    kind, dataset = NETWORKS[name]
    path = shared("models", kind, f"{name}.onnx")
    if dataset:
        data = images(dataset, "x_train")
    else:
        with np.load(shared("vectors", f"{name}.npz")) as found:
            data = found["x"]
    return verified(path, folder / "product", onnx.load(path).graph.input[0].name, data, count, pe_simd_budget=budget)


@pytest.mark.parametrize(("name", "budget", "interval"), [("TFC_1W1A", 976, 64), ("TFC_2W2A", 64, 771)])
def test_mnist_networks(name, budget, interval, tmp_path):
    """Of the 960 beats of TFC_2W2A's largest engine 189 have ternary weights that are all zero: they are left out."""
    assert network(name, tmp_path, budget, 20)["cycles_per_frame"] == interval


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("TFC_1W1A", "TFC_2W2A")])
def test_other_networks(name, tmp_path):
    stats = network(name, tmp_path, None, 20)
    assert stats["cycles_per_frame"] <= 1.02 * stats["largest_engine_beats"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("name", "dataset"), [("lenet5_caffe_mnist", "mnist"), ("resnet8_bn_fashion", "fashion_mnist")]
)
def test_schemes(name, dataset, scheme, tmp_path):
    import onnx

    path = shared("models", "float", f"{name}.onnx")
    source = onnx.load(path).graph.input[0].name
    verified(path, tmp_path / "product", source, images(dataset, "x_train"), 20, quant=scheme, pe_simd_budget=600)
