"""Parameters, multiply-accumulates and other operations of single operators, counted by hand."""

import numpy as np
import pytest

from hwcomp.registry import OPS
from tests.models import loaded, model, values

X = {"x": (1, 4, 3, 3)}
NORM = {"s": values("s", 4), "b": values("b", 4), "m": values("m", 4), "v": np.abs(values("v", 4)) + np.float32(0.1)}


@pytest.mark.parametrize(("node", "shapes", "constants", "macs", "ops", "params"), [
    (("Conv", ["x", "w"], ["y"], {"pads": [1] * 4}), X, {"w": values("w", 5, 4, 3, 3)}, 9 * 5 * 36, 0, 180),
    (("Conv", ["x", "w", "c"], ["y"], {"group": 4}), X, {"w": values("w", 4, 1, 3, 3), "c": values("c", 4)}, 36, 0, 40),
    (("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]}), X, {"w": values("w", 4, 5, 2, 2)}, 9 * 4 * 5 * 4, 0, 80),
    (("Gemm", ["x", "w", "c"], ["y"], {}), {"x": (1, 6)}, {"w": values("w", 6, 7), "c": values("c", 7)}, 42, 0, 49),
    (("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], {}), X, NORM, 0, 2 * 36, 16),  # no MACs, as the literature counts
    (("Sub", ["x", "h"], ["y"], {}), X, {"h": np.array(0.5, np.float32)}, 0, 36, 1),  # one constant for all channels
    (("Mul", ["x", "h"], ["y"], {}), X, {"h": values("h", 1, 4, 1, 1)}, 0, 36, 4),
    (("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2]}), X, {}, 0, 4 * 4 * 4, 0),
    (("GlobalAveragePool", ["x"], ["y"], {}), X, {}, 0, 36, 0),
    (("Relu", ["x"], ["y"], {}), X, {}, 0, 36, 0),
])  # fmt: skip
def test_counts(node, shapes, constants, macs, ops, params):
    graph = loaded(model([node], shapes, constants)).graph
    costs = [OPS[n.op].cost(n, graph) for n in graph.nodes]
    assert tuple(sum(getattr(c, f) for c in costs) for f in ("macs", "ops", "params")) == (macs, ops, params)
