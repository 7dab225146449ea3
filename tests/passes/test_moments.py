"""Moments of inputs against NumPy's covariance in double precision; data that are steady, or too large to be fitted to."""

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.passes._moments import float_layer, moments, windows
from hwcomp.registry import OPS
from tests.models import loaded, model, quantized, values
from tests.products import check, compiled


def dense(x: np.ndarray, w: np.ndarray):
    """float32 [samples, K], [M, K] -> (moments of x, whose results are to be those of 2 x)."""
    graph = loaded(model([("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"x": (1, x.shape[1])}, {"w": w})).graph
    node = next(n for n in graph.nodes if n.op == "Dense")
    bias = np.zeros(len(w))
    y = OPS["Dense"].evaluate(node, [2 * x, w, bias.astype(np.float32)])[0]
    return moments(node, y, x, w.astype(np.float64), bias)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e3, 1e5])
def test_covariance_of_what_varies_little(offset):
    """As raw sensors give it: a pressure of 1013 hPa that moves by one. Sums of squares in float32 would be noise alone."""
    x = (offset + np.random.default_rng(0).normal(size=(5000, 12))).astype(np.float32)
    found = dense(x, values("w", 4, 12))
    want = np.cov(x.astype(np.float64).T, bias=True)
    np.testing.assert_allclose(found.gram[0], want, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.mean[0, 0], x.astype(np.float64).mean(axis=0), rtol=1e-6)
    assert np.linalg.eigvalsh(found.gram[0])[0] > 0


def test_steady_inputs_have_no_variance():
    x = np.repeat(np.random.default_rng(1).normal(size=(1, 12)).astype(np.float32), 20000, axis=0)
    found = dense(x, values("w", 4, 12))
    assert not found.gram.any()
    np.testing.assert_allclose(found.mean[0, 0], x[0], rtol=1e-6)


@pytest.mark.parametrize("options", [
    {"prune": {"filter": 0.3}}, {"prune": {"weight": 0.5}}, {"share": 3}, {"share_vectors": "4x16"}, {"low_rank": 0.9},
    {"passes": {"adaround": {"enabled": True}}}, {"quant": "auto"},
], ids=str)  # fmt: skip
def test_data_beyond_what_can_be_fitted_to_are_refused(tmp_path, options, recwarn):
    """Their squares are infinite in float32; no warning of NumPy's reaches the user."""
    x = np.random.default_rng(0).uniform(-1, 1, (32, 16)).astype(np.float32)
    x[3, 0] = 1e30
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]
    proto = model(nodes, {"x": (1, 16)}, {"w": values("w", 16, 16), "v": values("v", 16, 8)})
    with pytest.raises(UsageError, match=r"'x' are too large.*1e\+30.*check their range"):
        compiled(proto, tmp_path, "mcu", calibration={"x": x}, **options)
    assert not [w for w in recwarn if w.category is RuntimeWarning]


@pytest.mark.parametrize("options", [
    {"prune": {"weight": 0.5}}, {"share": 3}, {"low_rank": 0.9}, {"quant": "auto"}, {"passes": {"adaround": {"enabled": True}}},
], ids=str)  # fmt: skip
def test_data_that_say_nothing_do_no_harm(tmp_path, options, recwarn):
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]
    proto = model(nodes, {"x": (1, 16)}, {"w": values("w", 16, 16), "v": values("v", 16, 8)})
    built = compiled(proto, tmp_path, "mcu", calibration={"x": np.full((32, 16), 0.3, np.float32)}, **options)
    check(built)
    assert not [w for w in recwarn if w.category is RuntimeWarning]


@pytest.mark.parametrize("away", [0.0, 30.0])
def test_moments_of_inputs_far_from_zero(away):
    """Inputs of 30 +- 0.01: squares in float32 would lose the variance, and a Cholesky decomposition would fail."""
    rng = np.random.default_rng(0)
    spread = np.array([0.01, 1.0, 0.02]).reshape(3, 1, 1)
    mean = np.array([away, 0.5, -away]).reshape(3, 1, 1)
    x = (mean + spread * rng.normal(size=(40, 3, 6, 5))).astype(np.float32)
    net = model(
        [("Conv", ["x", "w"], ["y"], {"kernel_shape": [3, 2]})], {"x": ("N", 3, 6, 5)}, {"w": values("w", 4, 3, 3, 2)}
    )
    graph = loaded(net).graph
    (node,) = (n for n in graph.nodes if n.op == "Conv")
    found = float_layer(node, graph.tensors, x, x + np.float32(0.001)).moments
    seen = windows(node, x + np.float32(0.001), (4, 3, 3, 2)).astype(np.float64)[:, 0].swapaxes(1, 2).reshape(-1, 18)
    want = np.cov(seen.T, bias=True)
    assert np.abs(found.gram[0] - want).max() <= 1e-5 * np.abs(want).max()
    assert np.abs(np.diagonal(found.gram[0]) - np.diagonal(want)).max() <= 1e-3 * np.diagonal(want).min()
    assert np.allclose(found.mean[0, 0], seen.mean(axis=0), rtol=1e-6, atol=1e-6)


def test_a_layer_behind_one_that_hardly_moves_is_fitted():
    """Sums of a large bias and inputs that are worth a thousandth of it."""
    nodes = [("Gemm", ["x", "w", "b"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]
    constants = {"w": values("w", 20, 20, scale=1e-3), "b": 30 + values("b", 20), "v": values("v", 20, 3)}
    data = {"x": values("x", 64, 20)}
    for options in ({"low_rank": 0.99}, {"share": 3}, {"quant": "int4"}):
        graph, _ = quantized(model(nodes, {"x": ("N", 20)}, constants), calibration=data, **options)
        assert graph.outputs == ("y",)
