"""Quantizers of QONNX and the steps: against the rules written out element by element."""

import math

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.ops import _steps
from hwcomp.ops._cases import case
from hwcomp.types import QType
from tests.models import loaded

F = np.float32
VALUES = np.array([-9, -3.5, -2.5, -1.5, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1.5, 2.5, 3.5, 9], F)


def half_even(v):
    down = math.floor(v)
    return down + (v - down > 0.5 or (v - down == 0.5 and down % 2 == 1))


PLAIN = {
    "ROUND": half_even, "CEIL": math.ceil, "FLOOR": math.floor, "ROUND_TO_ZERO": math.trunc, "DOWN": math.trunc,
    "UP": lambda v: math.copysign(math.ceil(abs(v)), v), "HALF_UP": lambda v: math.copysign(math.floor(abs(v) + 0.5), v),
    "HALF_DOWN": lambda v: math.copysign(math.ceil(abs(v) - 0.5), v),
}  # fmt: skip


def quant(attrs, scale=0.5, zero=0.0, bits=3.0, op="Quant", domain="onnx.brevitas", shape=(1, 15)):
    constants = {"s": F(scale), "z": F(zero), "b": F(bits)}
    inputs = ["x", "s"] if op == "BipolarQuant" else ["x", "s", "z", "b"]
    constants = {n: c for n, c in constants.items() if n in inputs}
    return case("quant", [(op, inputs, ["y"], attrs, domain)], {"x": shape}, constants, opset=11).model


@pytest.mark.parametrize("rounding", [*PLAIN, "round"])
@pytest.mark.parametrize(("signed", "narrow", "lo", "hi"), [(1, 0, -4, 3), (1, 1, -3, 3), (0, 0, 0, 7), (0, 1, 0, 6)])
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_quant_is_the_formula_of_qonnx(rounding, signed, narrow, lo, hi, zero):
    """Zero point before the clip, clip before the rounding."""
    model = quant({"signed": signed, "narrow": narrow, "rounding_mode": rounding}, zero=float(zero))
    have = run_float(loaded(model).graph, {"x": VALUES[None]})["y"][0]
    for x, y in zip(VALUES.tolist(), have.tolist(), strict=True):
        q = PLAIN[rounding.upper()](min(max(x / 0.5 + zero, lo), hi))
        assert y == (q - zero) * 0.5


@pytest.mark.parametrize(("op", "attrs"), [("BipolarQuant", {}), ("Quant", {"signed": 1, "narrow": 0})])
def test_one_signed_bit_is_minus_or_plus_the_scale(op, attrs):
    model = quant(attrs, bits=1.0, op=op, domain="qonnx.custom_op.general")
    have = run_float(loaded(model).graph, {"x": VALUES[None]})["y"][0]
    assert have.tolist() == [0.5 if x >= 0 else -0.5 for x in VALUES.tolist()]


def test_a_quantized_constant_may_have_a_scale_per_channel():
    weight, scale = np.array([[0.3, -0.8], [5, 0.1]], F), np.array([[0.25], [2]], F)
    nodes = [
        ("Quant", ["w", "s", "z", "b"], ["q"], {"signed": 1, "narrow": 1}, "finn.custom_op.general"),
        ("MatMul", ["x", "q"], ["y"], {}),
    ]
    constants = {"w": weight, "s": scale, "z": F(0), "b": F(2)}
    graph = loaded(case("weights", nodes, {"x": (1, 2)}, constants, opset=11).model).graph
    have = run_float(graph, {"x": np.eye(2, dtype=F)})["y"]
    assert have.tolist() == [[0.25, -0.25], [2, 0]]


@pytest.mark.parametrize(("changes", "kind", "text"), [
    ({"bits": 2.5}, UnsupportedError, "bit width"), ({"bits": 40.0}, UnsupportedError, "bit width"),
    ({"zero": 0.5}, UnsupportedError, "zero point"), ({"scale": 0.0}, ModelError, "scale is not positive"),
    ({"attrs": {"rounding_mode": "STOCHASTIC"}}, ModelError, "STOCHASTIC"),
    ({"domain": "my.ops"}, UnsupportedError, "my.ops.Quant"),
])  # fmt: skip
def test_refused(changes, kind, text):
    with pytest.raises(kind, match=text):
        loaded(quant(**{"attrs": {}, **changes}))


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 1, 4), (1, 1, 1, 2)])
def test_a_scale_that_is_not_one_per_channel_of_a_computed_tensor_is_refused(shape):
    nodes = [("BipolarQuant", ["x", "s"], ["y"], {}, "onnx.brevitas")]
    scale = np.arange(1, 1 + np.prod(shape)).astype(F).reshape(shape)
    with pytest.raises(UnsupportedError, match="not one per channel"):
        loaded(case("scales", nodes, {"x": (1, 3, 2, 4)}, {"s": scale}, opset=11).model)


# --- rows of steps ----------------------------------------------------------------------------------------------------

STEPS = (_steps.BatchNorm(1e-3), _steps.Sum(), _steps.Ratio(), _steps.Limit(-2.0, None))
CONSTANTS = [F([2, -1, 0]), F([0.5, 1, 3]), F([1, -1, 2]), F([4, 0.25, 1]), F([0.1, 0.2, 0.3]), F([3, -2, 0.5])]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_steps_run_along_any_axis(axis):
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(F)
    have = np.moveaxis(_steps.run(STEPS, np.moveaxis(x, 2, axis), CONSTANTS, axis), axis, 2)
    for c in range(3):
        s, b, m, v, a, d = (k[c] for k in CONSTANTS)
        want = np.clip((((x[..., c] - m) * (s / np.sqrt(v + F(1e-3))) + b) + a) / d, -2.0, None)
        assert np.array_equal(have[..., c], want)


def test_affine_part_and_direction():
    gain, shift = _steps.affine(STEPS, CONSTANTS, 3)
    x = np.linspace(-3, 3, 7)
    for c in range(3):
        have = _steps.run(STEPS[:3], np.repeat(x[:, None], 3, 1), [k.astype(float) for k in CONSTANTS], 1)[:, c]
        assert np.allclose(have, gain[c] * x + shift[c], rtol=1e-6)
    assert _steps.falling(STEPS, CONSTANTS, 3).tolist() == [False, False, False]
    assert _steps.falling(STEPS[:2], CONSTANTS, 3).tolist() == [False, True, False]


@pytest.mark.parametrize("steps", [STEPS, STEPS[:2], (*STEPS, _steps.Quantizer(QType(3, True, "affine", (0.5,), 1)))])
def test_values_lie_in_the_interval(steps):
    x = np.random.default_rng(1).uniform(-4, 3, (500, 3)).astype(F)
    lo, hi = _steps.interval(steps, CONSTANTS, (-4.0, 3.0))
    y = _steps.run(steps, x, CONSTANTS, 1)
    assert lo <= y.min() <= y.max() <= hi
