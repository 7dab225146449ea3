"""Relu and Clip into the layer in front, also through max-pools and reshapes, and chains of clips."""

import itertools

import numpy as np
import pytest

from hwcomp.passes.fuse_activation import intersect
from tests.models import model, values

X = {"x": (1, 2, 6, 6)}
W = {"w": values("w", 3, 2, 3, 3)}
CONV = ("Conv", ["x", "w"], ["h"], {})
POOL = {"kernel_shape": [2, 2]}


def clip(x, y, lo, hi):
    return ("Clip", [x, lo, hi], [y], {})


def bounds(**values_):
    return {n: np.float32(v) for n, v in values_.items()}


def test_relu_is_the_lower_limit(run):
    out = run(model([CONV, ("Relu", ["h"], ["y"], {})], X, W), "fuse_activation")
    assert out.ops == ["Conv"]
    assert out.node("Conv").attrs.clamp == (0.0, None)
    assert out.node("Conv").origin == ("Conv_0", "Relu_1")
    assert out.change() == 0


def test_behind_a_dense_layer(run):
    out = run(
        model(
            [("Gemm", ["x", "w"], ["h"], {}), clip("h", "y", "a", "b")],
            {"x": ("N", 4)},
            {"w": values("w", 4, 3), **bounds(a=-0.1, b=0.2)},
        ),
        "fuse_activation",
    )
    assert out.ops == ["Dense"]
    assert out.node("Dense").attrs.clamp == (np.float32(-0.1), np.float32(0.2))
    assert out.change() == 0


@pytest.mark.parametrize(
    "ends", [((0, 6), (1, 3)), ((0, 2), (1, 3)), ((1, 3), (0, 2)), ((0, 1), (2, 3)), ((2, 3), (0, 1)), ((1, 1), (1, 1))]
)
def test_chains_of_clips(run, ends):
    """Overlapping, nested and disjoint: clip after clip is one clip."""
    (a, b), (c, d) = ends
    nodes = [CONV, clip("h", "i", "a", "b"), clip("i", "y", "c", "d")]
    out = run(model(nodes, X, {**W, **bounds(a=a, b=b, c=c, d=d)}), "fuse_activation")
    assert out.ops == ["Conv"]
    assert out.change((-8, 8)) == 0


def test_intersect_is_clip_after_clip():
    ends = [None, -2.0, -1.0, 0.0, 1.0, 2.0]
    pairs = [(lo, hi) for lo, hi in itertools.product(ends, ends) if lo is None or hi is None or lo <= hi]
    x = np.linspace(-4, 4, 65)

    def apply(pair, v):
        return v if pair == (None, None) else np.clip(v, *pair)

    for a, b in itertools.product(pairs, pairs):
        assert apply(intersect(a, b), x).tolist() == apply(b, apply(a, x)).tolist()
    assert intersect(None, (0.0, None)) == (0.0, None)


def test_clips_without_a_dot_product_become_one(run):
    nodes = [clip("x", "h", "a", "b"), ("Relu", ["h"], ["y"], {})]
    out = run(model(nodes, X, bounds(a=-1, b=0.5)), "fuse_activation")
    assert out.ops == ["Clip"]
    assert out.change() == 0


@pytest.mark.parametrize("middle", [
    [("MaxPool", ["h"], ["p"], POOL)], [("Flatten", ["h"], ["p"], {})],
    [("MaxPool", ["h"], ["q"], POOL), ("MaxPool", ["q"], ["p"], POOL)],
    [("MaxPool", ["h"], ["q"], {**POOL, "pads": [1, 1, 0, 0]}), ("Flatten", ["q"], ["p"], {})],
    [("Identity", ["h"], ["p"], {})],
])  # fmt: skip
def test_relu_moves_through_what_only_selects(run, middle):
    out = run(model([CONV, *middle, ("Relu", ["p"], ["y"], {})], X, W), "fuse_activation")
    assert "Clip" not in out.ops
    assert out.node("Conv").attrs.clamp == (0.0, None)
    assert out.change() == 0
    names = [n.outputs[0] for n in out.after.nodes]
    assert names[-1] == "y"
    assert all(n.endswith("__clamp") for n in names[:-1])


@pytest.mark.parametrize("reader", ["h", "p"])
def test_a_second_reader_stops_it(run, reader):
    nodes = [CONV, ("MaxPool", ["h"], ["p"], POOL), ("Relu", ["p"], ["y"], {}), ("Identity", [reader], ["z"], {})]
    out = run(model(nodes, X, W, ("y", "z")), "fuse_activation")
    assert out.ops.count("Clip") == 1
    assert out.node("Conv").attrs.clamp is None
    assert out.change() == 0


@pytest.mark.parametrize("output", ["h", "p"])
def test_a_graph_output_on_the_way_stops_it(run, output):
    nodes = [CONV, ("MaxPool", ["h"], ["p"], POOL), ("Relu", ["p"], ["y"], {})]
    out = run(model(nodes, X, W, ("y", output)), "fuse_activation")
    assert out.ops.count("Clip") == 1
    assert out.change() == 0


def test_an_operator_that_computes_stops_it(run):
    nodes = [CONV, ("AveragePool", ["h"], ["i"], POOL), ("Relu", ["i"], ["y"], {})]
    out = run(model(nodes, X, W), "fuse_activation")
    assert out.ops == ["Conv", "AveragePool", "Clip"]
    assert out.change() == 0


def test_a_clip_on_an_input_stays(run):
    out = run(model([("MaxPool", ["x"], ["h"], POOL), ("Relu", ["h"], ["y"], {})], X), "fuse_activation")
    assert out.ops == ["MaxPool", "Clip"]
