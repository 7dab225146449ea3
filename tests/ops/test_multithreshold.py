"""MultiThreshold against its rule written out element by element, and through the compiler."""

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.ops._cases import case
from tests.models import loaded

F = np.float32
DOMAIN = "qonnx.custom_op.general"
ROWS = F([[-1, 0.5, 2], [0, 0, 0.25], [3, -4, 1]])  # not in order, equal ones


def ladder(thresholds, attrs, shape=(1, 3, 2, 2)):
    nodes = [("MultiThreshold", ["x", "t"], ["y"], {"out_dtype": "UINT4", **attrs}, DOMAIN)]
    return case("ladder", nodes, {"x": shape}, {"t": F(thresholds)}, opset=11).model


@pytest.mark.parametrize(("attrs", "axis", "shape"), [
    ({}, 1, (1, 3, 2, 2)), ({"data_layout": "NHWC"}, 3, (1, 2, 2, 3)), ({}, 1, (1, 3)), ({}, 2, (1, 5, 3)),
    ({"out_scale": 0.5}, 1, (1, 3)), ({"out_scale": 0.25, "out_bias": -0.5, "out_dtype": "INT3"}, 1, (1, 3)),
])  # fmt: skip
@pytest.mark.parametrize("rows", [3, 1])
def test_counts_thresholds_that_are_reached(attrs, axis, shape, rows):
    graph = loaded(ladder(ROWS[:rows], attrs, shape)).graph
    x = np.random.default_rng(0).choice(F([-5, -1, 0, 0.25, 0.3, 0.5, 1, 2, 3, 9]), (6, *shape[1:]))
    have = run_float(graph, {"x": x})["y"]
    for place in np.ndindex(*x.shape):
        own = ROWS[place[axis] if rows > 1 else 0]
        met = sum(1 for t in own.tolist() if x[place] >= t)
        assert have[place] == met * attrs.get("out_scale", 1) + attrs.get("out_bias", 0)


@pytest.mark.parametrize(("least", "bits", "signed"), [(0, 2, False), (-2, 2, True), (-3, 3, True), (5, 4, False)])
def test_the_least_type_that_holds_the_results(least, bits, signed):
    graph = loaded(ladder(ROWS, {"out_bias": float(least)})).graph
    (node,) = graph.nodes
    qtype = node.attrs.steps[0].qtype
    assert (qtype.bits, qtype.signed, qtype.scheme) == (bits, signed, "affine")


def test_two_results_around_zero_are_a_bit():
    graph = loaded(ladder([[0.5]], {"out_scale": 3.0, "out_bias": -1.5, "out_dtype": "BIPOLAR"})).graph
    qtype = graph.nodes[0].attrs.steps[0].qtype
    assert (qtype.scheme, qtype.scale) == ("bipolar", (1.5,))
    have = run_float(graph, {"x": F([[[[0.5, 0.4]] * 2] * 3])})["y"]
    assert have[0, 0].tolist() == [[1.5, -1.5]] * 2


@pytest.mark.parametrize(("thresholds", "attrs", "kind", "text"), [
    (np.zeros((2, 3)), {}, UnsupportedError, "thresholds"), (np.zeros((3, 300)), {}, UnsupportedError, "thresholds"),
    (np.zeros(3), {}, UnsupportedError, "thresholds"), (ROWS, {"out_bias": 0.5}, UnsupportedError, "out_bias"),
    (ROWS, {"out_scale": -1.0}, UnsupportedError, "out_scale"), (ROWS, {"data_layout": "CHW8"}, ModelError, "data_layout"),
    (ROWS, {"out_dtype": "COMPLEX"}, ModelError, "out_dtype"), (ROWS, {"out_bias": 300.0}, UnsupportedError, "results"),
])  # fmt: skip
def test_refused(thresholds, attrs, kind, text):
    with pytest.raises(kind, match=text):
        loaded(ladder(thresholds, attrs))
