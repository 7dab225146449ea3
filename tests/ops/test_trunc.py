"""Trunc of QONNX against the formulas of its two versions, in float and as thresholds of the Program."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.ops._cases import case
from hwcomp.verify.reference import run_program
from tests.models import loaded, quantized

F = np.float32
ROUNDED = {"FLOOR": np.floor, "CEIL": np.ceil, "ROUND": np.round}


def net(widths, *, scale=0.25, zero=0.0, out=None, dense=False, **attrs):
    """x -> integers of widths[0] bits -> Trunc to widths[1] bits, behind a dense layer of ternary weights or not."""
    constants = {"s": F(scale), "z": F(zero), "i": F(widths[0]), "o": F(widths[1]), "t": F(out or 0)}
    signed = attrs.get("signed", 1)
    inputs = ["h", "s", "z", "i", *(["t"] if out else []), "o"]
    nodes = [("Quant", ["x", "s", "z", "i"], ["q"], {"signed": signed}, "qonnx.custom_op.general")]
    if dense:
        constants["w"] = F([[1, 0], [-1, 1], [1, 1]])
        nodes.append(("Gemm", ["q", "w"], ["h"], {"transB": 1}))
    else:
        nodes.append(("Identity", ["q"], ["h"], {}))
    nodes.append(("Trunc", inputs, ["y"], attrs, "qonnx.custom_op.general"))
    constants = {n: a for n, a in constants.items() if n in "w" or any(n in node[1] for node in nodes)}
    return case("trunc", nodes, {"x": (1, 2)}, constants, opset=11, interval=(-8.0, 8.0)).model


def data():
    x = np.arange(-40, 41, dtype=F) / 4
    return np.stack([x, np.roll(x, 11)], axis=1)


def both(proto):
    """(what the float graph gives, what the Program gives) on data()."""
    graph = loaded(proto).graph
    made, _ = quantized(proto, calibration={"x": data()})
    program = lower(made).program
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": data()}))["y"])
    return run_float(graph, {"x": data()})["y"], have


@pytest.mark.parametrize("mode", [*ROUNDED, "floor"])
@pytest.mark.parametrize("zero", [0.0, 3.0])
@pytest.mark.parametrize("dense", [False, True])
def test_version_1(mode, zero, dense):
    real, program = both(net((6, 4), zero=zero, dense=dense, rounding_mode=mode))
    q = np.clip(np.rint(data() / F(0.25) + F(zero)), -32, 31) - zero
    h = np.stack([q[:, 0], q[:, 1] - q[:, 0], q.sum(axis=1)], axis=1) if dense else q
    want = (np.clip(ROUNDED[mode.upper()]((h + zero) / 4), -16, 15) - zero) * 0.25  # a sum may be wider than it says
    assert np.array_equal(real, want)
    assert np.array_equal(program, want)


@pytest.mark.parametrize("mode", ROUNDED)
@pytest.mark.parametrize(
    ("signed", "narrow", "bits", "limits"), [(1, 0, 4, (-8, 7)), (1, 1, 3, (-3, 3)), (0, 0, 3, (0, 7))]
)
@pytest.mark.parametrize("zero", [0.0, 4.0])
@pytest.mark.parametrize("dense", [False, True])
def test_version_2(mode, signed, narrow, bits, limits, zero, dense):
    real, program = both(
        net((6, bits), zero=zero, out=0.5, dense=dense, rounding_mode=mode, signed=signed, narrow=narrow)
    )
    low, high = (-32, 31) if signed else (0, 63)
    q = np.clip(np.rint(data() / F(0.25) + F(zero)), low, high) - zero
    h = np.stack([q[:, 0], q[:, 1] - q[:, 0], q.sum(axis=1)], axis=1) if dense else q
    want = (ROUNDED[mode](np.clip((h + zero) / 2, *limits)) - zero / 2) * 0.5
    assert np.array_equal(real, want)
    assert np.array_equal(program, want)


def test_8_bits_are_available():
    real, program = both(net((12, 8), scale=1 / 128, rounding_mode="ROUND"))
    assert np.array_equal(real, program)
    assert len(np.unique(real)) > 60


def test_one_level_is_enough():
    real, program = both(net((8, 2), scale=0.25))
    assert np.array_equal(real, program)
    assert set(np.unique(real)) <= {-0.25, 0.0}


def test_of_a_constant_it_is_computed():
    nodes = [("Trunc", ["c", "s", "z", "i", "o"], ["t"], {}, "qonnx.custom_op.general"), ("Add", ["x", "t"], ["y"], {})]
    constants = {"c": F([1.0, -1.25, 3.5]), "s": F(0.25), "z": F(0), "i": F(5), "o": F(4)}
    graph = loaded(case("constant", nodes, {"x": (1, 3)}, constants, opset=11).model).graph
    assert run_float(graph, {"x": np.zeros((1, 3), F)})["y"].tolist() == [[0.5, -0.75, 1.75]]


@pytest.mark.parametrize(("changes", "kind", "text"), [
    ({"scale": 0.0}, ModelError, "scale is not positive"), ({"zero": 0.5}, UnsupportedError, "zero point"),
    ({"zero": 1.0, "out": 0.5}, UnsupportedError, "does not divide"), ({"zero": 99.0}, UnsupportedError, "outside"),
    ({"rounding_mode": "NEAREST"}, ModelError, "NEAREST"),
])  # fmt: skip
def test_refused(changes, kind, text):
    with pytest.raises(kind, match=text):
        loaded(net((6, 4), **changes))


def test_more_levels_than_thresholds_hold_are_refused():
    with pytest.raises(UnsupportedError, match="8 bits at most"):
        both(net((16, 14), scale=1 / 4096))
