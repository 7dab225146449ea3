"""Scales per channel on quantized activations: exact where they go into integer weights, refused by name elsewhere."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.ops._cases import case
from hwcomp.verify.reference import run_program
from tests.models import loaded, quantized

F = np.float32
DOMAIN = "qonnx.custom_op.general"


def signs(*shape):
    return np.where(np.random.default_rng(0).uniform(size=shape) < 0.5, -1, 1).astype(F)


def net(layers, scale, weight, **more):
    """x [1, 3, 4, 4] -> 3 bits, a scale per channel -> `layers` from q to h -> 4 bits."""
    nodes = [
        ("Quant", ["x", "s", "z", "b"], ["q"], {"signed": 0}, DOMAIN), *layers,
        ("Quant", ["h", "t", "z", "f"], ["y"], {"signed": 1}, DOMAIN),
    ]  # fmt: skip
    constants = {
        "s": F(scale).reshape(1, 3, 1, 1), "z": F(0), "b": F(3), "f": F(4), "t": F(0.7), "w": weight, **more,
    }  # fmt: skip
    return case("scales", nodes, {"x": (1, 3, 4, 4)}, constants, opset=11).model


def check(proto):
    graph = loaded(proto).graph
    x = np.random.default_rng(1).uniform(-1, 4, (50, 3, 4, 4)).astype(F)
    made, ctx = quantized(proto, calibration={"x": x})
    program = lower(made).program
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": x}))["y"])
    want = run_float(graph, {"x": program.edges["x"].to_real(samples.to_stored(program, {"x": x})["x"])})["y"]
    assert np.array_equal(have, want)
    return [k for k in program.kernels if k.kind in ("conv2d", "dense")], ctx


def test_a_depthwise_convolution_takes_any_scales():
    conv = ("Conv", ["q", "w"], ["h"], {"group": 3, "pads": [1, 1, 1, 1]})
    (k,), ctx = check(net([conv], [0.31, 0.2, 0.171], signs(6, 1, 3, 3)))
    assert (np.abs(k.constants["weight"]) == 1).all()
    assert any("go into the weights" in line for line in ctx.notes["channel_scales"])


def test_scales_of_small_ratios_make_wider_weights():
    (k,), _ = check(net([("Conv", ["q", "w"], ["h"], {})], [0.3, 0.6, 1.5], signs(4, 3, 2, 2)))
    assert [np.unique(np.abs(k.constants["weight"][:, c])).tolist() for c in range(3)] == [[1], [2], [5]]


def test_through_a_pool_and_a_flattening():
    layers = [
        ("MaxPool", ["q"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", ["p"], ["e"], {}),
        ("Gemm", ["e", "w"], ["h"], {"transB": 1}),
    ]  # fmt: skip
    (k,), _ = check(net(layers, [0.2, 0.4, 0.8], signs(5, 12)))
    assert np.abs(k.constants["weight"]).reshape(5, 3, 4)[0].tolist() == [[1] * 4, [2] * 4, [4] * 4]


@pytest.mark.parametrize(("layers", "text"), [
    ([("Conv", ["q", "w"], ["h"], {})], "no integers of 8 bits"),
    ([("Conv", ["q", "w"], ["c"], {"pads": [1, 1, 0, 0]}), ("Relu", ["q"], ["h"], {})], "reads it"),
    ([("Add", ["q", "q"], ["h"], {})], "Add 'scales 1' reads it"),
])  # fmt: skip
def test_what_would_not_be_exact_is_refused(layers, text):
    with pytest.raises(UnsupportedError, match=text):
        check(net(layers, [0.31, 0.2, 0.171], signs(3, 3, 2, 2)))


def test_an_output_of_the_network_is_refused():
    nodes = [("BipolarQuant", ["x", "s"], ["y"], {}, "onnx.brevitas")]
    with pytest.raises(UnsupportedError, match="an output of the network"):
        quantized(
            case("scales", nodes, {"x": (1, 2)}, {"s": F([0.5, 1])}, opset=11).model, input_ranges={"x": (-1.0, 1.0)}
        )
