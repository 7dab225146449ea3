"""Pad in front of convolutions and pools: where it goes in, where it would change a value."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.registry import PASSES
from tests.models import model, values

X = {"x": (1, 2, 7, 6)}
W = {"w": values("w", 3, 2, 3, 3)}
LOW = np.float32(-np.inf)


def around(*pads):
    top, left, bottom, right = pads
    return {"p": np.array([0, 0, top, left, 0, 0, bottom, right])}


def fused(run, pads, node, constants=None, value=None, before=(), outputs=("y",)):
    names = ["p"] if value is None else ["p", "v"]
    source = before[-1][2][0] if before else "x"
    nodes = [*before, ("Pad", [source, *names], ["h"], {}), node]
    given = {**around(*pads), **(constants or {}), **({} if value is None else {"v": np.float32(value)})}
    out = run(model(nodes, X, given, outputs), "fuse_pad", "infer_shapes")
    assert out.change((-2.0, 2.0)) == 0
    assert out.change((-3.0, -1.0)) == 0
    return out


@pytest.mark.parametrize("own", [[0, 0, 0, 0], [1, 0, 2, 1]])
def test_zeros_in_front_of_a_convolution(run, own):
    out = fused(run, (0, 1, 2, 0), ("Conv", ["h", "w"], ["y"], {"pads": own, "strides": [2, 1]}), W)
    assert out.ops == ["Conv"]
    assert out.node("Conv").attrs.pads == tuple(a + b for a, b in zip((0, 1, 2, 0), own, strict=True))
    assert out.node("Conv").origin == ("Conv_1", "Pad_0")


@pytest.mark.parametrize("value", [LOW, -3.4028234e38])
@pytest.mark.parametrize("own", [[0, 0, 0, 0], [1, 1, 0, 1]])
def test_low_values_in_front_of_a_maxpool(run, value, own):
    out = fused(run, (1, 1, 0, 1), ("MaxPool", ["h"], ["y"], {"kernel_shape": [3, 3], "pads": own}), None, value)
    assert out.ops == ["MaxPool"]


@pytest.mark.parametrize(
    "before",
    [
        [("Relu", ["x"], ["r"], {})],
        [("Relu", ["x"], ["q"], {}), ("MaxPool", ["q"], ["r"], {"kernel_shape": [1, 1]})],
        [("Clip", ["x", "a", "b"], ["q"], {}), ("Relu", ["x"], ["s"], {}), ("Concat", ["q", "s"], ["r"], {"axis": 1})],
    ],
)
def test_zeros_under_values_that_are_never_negative(run, before):
    pool = ("MaxPool", ["h"], ["y"], {"kernel_shape": [3, 2], "strides": [2, 2]})
    out = fused(run, (1, 0, 1, 1), pool, {"a": np.float32(0), "b": np.float32(6)}, before=before)
    assert "Pad" not in out.ops


@pytest.mark.parametrize("before", [[], [("Conv", ["x", "w"], ["r"], {"pads": [1, 1, 1, 1]})]])
def test_zeros_over_negative_values_stay(run, before):
    out = fused(run, (1, 0, 1, 1), ("MaxPool", ["h"], ["y"], {"kernel_shape": [3, 2]}), W, before=before)
    assert out.ops[-2:] == ["Pad", "MaxPool"]


def test_a_window_that_sees_nothing_else_stays(run):
    out = fused(
        run, (3, 0, 0, 0), ("MaxPool", ["h"], ["y"], {"kernel_shape": [2, 2]}), before=[("Relu", ["x"], ["r"], {})]
    )
    assert out.ops == ["Clip", "Pad", "MaxPool"]


AVERAGES = {
    "plain": ({}, True),
    "counts its own": ({"pads": [1, 1, 1, 1], "count_include_pad": 1}, True),
    "leaves its own out": ({"pads": [1, 0, 0, 0]}, False),
    "leaves out what comes last": ({"pads": [0, 0, 1, 1]}, True),
    "hangs over": ({"ceil_mode": 1, "strides": [2, 2]}, True),
    "hangs over and counts": ({"ceil_mode": 1, "strides": [3, 2], "count_include_pad": 1, "pads": [0, 1, 1, 0]}, True),
}


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 1, 0)])
def test_zeros_in_front_of_an_averagepool(run, kind, pads):
    attrs, goes = AVERAGES[kind]
    out = fused(run, pads, ("AveragePool", ["h"], ["y"], {"kernel_shape": [3, 3], **attrs}))
    assert out.ops == (["AveragePool"] if goes else ["Pad", "AveragePool"])


def test_several_readers(run):
    nodes = [("Pad", ["x", "p"], ["h"], {}), ("Conv", ["h", "w"], ["y"], {}), ("Relu", ["h"], ["z"], {})]
    out = run(model(nodes, X, {**around(1, 1, 1, 1), **W}, ("y", "z")), "fuse_pad")
    assert sorted(out.ops) == ["Clip", "Conv", "Pad"]
    both = [*nodes[:2], ("Conv", ["h", "w"], ["z"], {"strides": [2, 2]})]
    assert run(model(both, X, {**around(1, 1, 1, 1), **W}, ("y", "z")), "fuse_pad").ops == ["Conv", "Conv"]
    out = run(model(nodes[:2], X, {**around(1, 1, 1, 1), **W}, ("y", "h")), "fuse_pad")
    assert sorted(out.ops) == ["Conv", "Pad"]
    assert out.change() == 0


def test_low_values_that_nothing_takes_in_are_refused(run):
    nodes = [("Pad", ["x", "p", "v"], ["h"], {}), ("MaxPool", ["h"], ["y"], {"kernel_shape": [2, 2]})]
    with pytest.raises(UnsupportedError, match="Pad with values below all others at node 'Pad_0'"):
        run(model(nodes, X, {**around(4, 0, 0, 0), "v": LOW}), "fuse_pad")
    assert PASSES["fuse_pad"].required
