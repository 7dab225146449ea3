"""Second moments of a layer's inputs, against the definition in float64."""

import numpy as np
import pytest

from hwcomp.passes._moments import float_layer, windows
from tests.models import loaded, model, quantized, values


@pytest.mark.parametrize("away", [0.0, 30.0])
def test_moments_of_inputs_far_from_zero(away):
    """Inputs of 30 +- 0.01: squares in float32 would lose the variance, and a Cholesky decomposition would fail."""
    rng = np.random.default_rng(0)
    spread = np.array([0.01, 1.0, 0.02]).reshape(3, 1, 1)
    mean = np.array([away, 0.5, -away]).reshape(3, 1, 1)
    x = (mean + spread * rng.normal(size=(40, 3, 6, 5))).astype(np.float32)
    net = model([("Conv", ["x", "w"], ["y"], {"kernel_shape": [3, 2]})], {"x": ("N", 3, 6, 5)}, {"w": values("w", 4, 3, 3, 2)})
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
