"""Moments of inputs against NumPy's covariance in double precision, steady inputs among them."""

import numpy as np
import pytest

from hwcomp.passes._moments import moments
from hwcomp.registry import OPS
from tests.models import loaded, model, values


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
