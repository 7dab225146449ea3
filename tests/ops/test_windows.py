"""Random windows of Conv, MaxPool and AveragePool against onnxruntime; unfolding in pieces."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwcomp.errors import ModelError
from hwcomp.frontend.float_run import run_float
from hwcomp.ops import conv
from hwcomp.ops._cases import case, random
from hwcomp.registry import OPS

SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pair(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def windows(draw):
    """Attributes of a window, and the [H, W] of its input."""
    size, kernel = draw(pair(1, 12)), draw(pair(1, 4))
    attrs = {"kernel_shape": kernel, "strides": draw(pair(1, 3)), "dilations": draw(pair(1, 2))}
    auto = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto == "NOTSET":
        attrs["pads"] = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    else:
        attrs["auto_pad"] = auto
    return size, attrs


def onnxruntime_takes(attrs):
    """With auto_pad SAME it has no dilations, and its pads get negative where the stride is above the kernel."""
    if "SAME" not in attrs.get("auto_pad", ""):
        return True
    return attrs["dilations"] == (1, 1) and all(
        s <= k for s, k in zip(attrs["strides"], attrs["kernel_shape"], strict=True)
    )


def compare(tested, load, ort, sample_data, same):
    """Assert equality with onnxruntime; skip the example where both refuse it."""
    inputs = sample_data(tested.model, tested.ranges, 3)
    try:
        graph = load(tested.model)
    except ModelError as error:
        assert "window" in str(error)
        assume(False)
    same(run_float(graph, inputs)["y"], ort(tested.model, inputs)["y"])


@SETTINGS
@given(windows(), st.sampled_from([(1, 1, 2), (2, 1, 3), (2, 2, 2), (3, 3, 6)]))
def test_convolution(load, ort, sample_data, same, window, channels):
    size, attrs = window
    c, groups, m = channels
    assume(onnxruntime_takes(attrs))
    weight = random(f"{window}{channels}", m, c // groups, *attrs["kernel_shape"])
    nodes = [("Conv", ["x", "w"], ["y"], {**attrs, "group": groups})]
    compare(case("conv", nodes, {"x": (1, c, *size)}, {"w": weight}), load, ort, sample_data, same)


@SETTINGS
@given(windows(), st.booleans())
def test_pooling(load, ort, sample_data, same, window, ceil):
    size, attrs = window
    assume(onnxruntime_takes(attrs))
    if "pads" in attrs:
        attrs["ceil_mode"] = int(ceil)
    compare(case("pool", [("MaxPool", ["x"], ["y"], attrs)], {"x": (1, 2, *size)}), load, ort, sample_data, same)


@SETTINGS
@given(windows(), st.booleans(), st.booleans())
def test_averaging(load, ort, sample_data, same, window, ceil, include):
    size, attrs = window
    assume(onnxruntime_takes(attrs))
    attrs["count_include_pad"] = int(include)
    if "pads" in attrs:
        attrs["ceil_mode"] = int(ceil)
    nodes = [("AveragePool", ["x"], ["y"], attrs)]
    compare(case("average", nodes, {"x": (1, 2, *size)}, opset=22), load, ort, sample_data, same)


@SETTINGS
@given(windows(), st.sampled_from(["Conv", "MaxPool", "AveragePool"]), st.booleans())
def test_one_dimension(load, ort, sample_data, same, window, op, ceil):
    (_, size), attrs = window
    assume(onnxruntime_takes(attrs))
    line = {k: v[-1:] for k, v in attrs.items() if k not in ("pads", "auto_pad")}
    line |= (
        {"pads": attrs["pads"][1::2], "ceil_mode": int(ceil)} if "pads" in attrs else {"auto_pad": attrs["auto_pad"]}
    )
    if op == "Conv":
        line.pop("ceil_mode", None)
    constants = {"w": random(f"{window}", 3, 2, *line["kernel_shape"])} if op == "Conv" else {}
    nodes = [(op, ["x", *constants], ["y"], line)]
    compare(case("line", nodes, {"x": (1, 2, size)}, constants, opset=22), load, ort, sample_data, same)


def test_unfolding_in_pieces(monkeypatch, load, sample_data):
    for tested, limit in itertools.product(OPS["Conv"].cases(), (1, 200, 1000)):
        graph, inputs = load(tested.model), sample_data(tested.model, tested.ranges, 7)
        whole = run_float(graph, inputs)["y"]
        with monkeypatch.context() as patch:
            patch.setattr(conv, "_UNFOLDED", limit)
            np.testing.assert_allclose(run_float(graph, inputs)["y"], whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "attrs", "reason"),
    [
        ((2, 2), {"kernel_shape": [3, 3]}, "covers 3 elements, its padded input has 2"),
        ((1, 9), {"kernel_shape": [2, 2], "dilations": [3, 1], "pads": [2, 0, 1, 0]}, "wholly in the padding"),
        ((4, 4), {"kernel_shape": [2, 2], "pads": [5, 0, 0, 0]}, "wholly in the padding"),
        ((4, 4), {"kernel_shape": [1, 1], "pads": [10**9, 10**9, 0, 0], "strides": [10**9, 10**9]}, "too large"),
    ],
)
def test_impossible_pools(load, size, attrs, reason):
    tested = case("pool", [("MaxPool", ["x"], ["y"], attrs)], {"x": (1, 1, *size)})
    with pytest.raises(ModelError, match=reason) as caught:
        load(tested.model)
    assert "pool 0" in str(caught.value)
