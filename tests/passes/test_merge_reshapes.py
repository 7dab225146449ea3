"""Reshapes that meet, and what may work in front of them."""

import itertools
import time

import numpy as np
import pytest

from hwcomp.passes.base import PassContext
from hwcomp.registry import PASSES
from tests.models import loaded, model, values

LINE = {"x": (1, 3, 12)}
W = {"w": values("w", 4, 3, 3), "v": values("v", 4, 4, 3)}


def merged(run, nodes, inputs, constants=None, outputs=("y",)):
    out = run(model(nodes, inputs, constants, outputs), "merge_reshapes")
    again = PASSES["infer_shapes"]().run(out.after, out.ctx)
    assert {n: t.shape for n, t in again.tensors.items()} == {n: t.shape for n, t in out.after.tensors.items()}
    assert out.change() == 0
    return out


def conv(x, y, w="w", **attrs):
    return ("Conv", [x, w], [y], {"pads": [1, 1], **attrs})


def test_convolutions_of_one_dimension_meet(run):
    nodes = [conv("x", "a"), ("Relu", ["a"], ["b"], {}), conv("b", "c", "v"),
             ("MaxPool", ["c"], ["d"], {"kernel_shape": [2]}), ("Flatten", ["d"], ["y"], {})]  # fmt: skip
    out = merged(run, nodes, LINE, W)
    assert out.ops == ["Reshape", "Conv", "Clip", "Conv", "MaxPool", "Reshape"]


def test_batch_normalization_and_bias_meet_their_convolution(run):
    bn = {k: values(k, 4) for k in "sbm"} | {"r": np.abs(values("r", 4)) + np.float32(0.5), "k": values("k", 4, 1)}
    nodes = [
        conv("x", "a"),
        ("Add", ["a", "k"], ["c"], {}),
        ("BatchNormalization", ["c", "s", "b", "m", "r"], ["y"], {}),
    ]
    out = merged(run, nodes, LINE, {**W, **bn})
    assert out.ops == ["Reshape", "Conv", "Add", "BatchNormalization", "Reshape"]
    fused = run(model(nodes, LINE, {**W, **bn}), "merge_reshapes", "fuse_bias", "fuse_batchnorm")
    assert fused.ops == ["Reshape", "Conv", "Reshape"]
    assert fused.change() <= 1e-5


def test_residual_and_concat_of_one_dimension(run):
    nodes = [conv("x", "a"), ("Relu", ["a"], ["b"], {}), conv("b", "c", "v"), ("Add", ["b", "c"], ["d"], {}),
             ("Concat", ["d", "b"], ["e"], {"axis": 1}), ("Slice", ["e", "i", "j", "k"], ["f"], {}), conv("f", "y", "u")]  # fmt: skip
    constants = {**W, "u": values("u", 2, 5, 3), "i": np.array([2]), "j": np.array([7]), "k": np.array([1])}
    out = merged(run, nodes, LINE, constants)
    assert out.ops == ["Reshape", "Conv", "Clip", "Conv", "Add", "Concat", "Slice", "Conv", "Reshape"]


def test_a_chain_of_reshapes_is_one_or_none(run):
    shapes = {"a": np.array([1, 6, 6]), "b": np.array([1, 36]), "c": np.array([1, 3, 12]), "d": np.array([1, 4, 9])}
    nodes = [("Reshape", ["x", "a"], ["p"], {}), ("Reshape", ["p", "b"], ["q"], {}), ("Reshape", ["q", "c"], ["r"], {}),
             ("Relu", ["r"], ["y"], {}), ("Reshape", ["q", "d"], ["z"], {})]  # fmt: skip
    out = merged(run, nodes, LINE, shapes, ("y", "z"))
    assert out.ops == ["Clip", "Reshape"]
    assert merged(run, nodes[:3], LINE, shapes, ("r",)).ops == ["Identity"]
    assert merged(run, nodes[:3], LINE, shapes, ("p", "q", "r")).ops.count("Reshape") == 2


@pytest.mark.parametrize(
    "node",
    [
        ("Softmax", ["f"], ["y"], {}),
        ("Add", ["f", "every"], ["y"], {}),
        ("Slice", ["f", "i", "j", "k"], ["y"], {}),
        ("Concat", ["f", "x2"], ["y"], {"axis": 1}),
    ],
)
def test_what_sees_the_shape_comes_behind_it(run, node):
    nodes = [
        ("Flatten", ["x"], ["f"], {}),
        node,
        ("Reshape", ["x", "s"], ["a"], {}),
        ("Reshape", ["a", "t"], ["z"], {}),
    ]
    constants = {"every": values("every", 36), "i": np.array([2]), "j": np.array([9]), "k": np.array([1]),
                 "s": np.array([1, 36]), "t": np.array([1, 12, 3])}  # fmt: skip
    out = merged(run, nodes, {**LINE, "x2": (1, 36)}, constants, ("y", "z"))
    assert sorted(out.ops) == sorted(["Reshape", node[0], "Reshape"])


def test_a_flatten_alone_stays_untouched(run):
    out = merged(run, [("Relu", ["x"], ["a"], {}), ("Flatten", ["a"], ["b"], {}), ("Relu", ["b"], ["y"], {})], LINE)
    assert out.after is out.before


def test_long_chains_take_linear_time():
    names = ["x", *(f"t{i}" for i in range(10_000))]
    shapes = {"s0": np.array([1, 6]), "s1": np.array([1, 2, 3])}
    nodes = []
    for i, (a, b) in enumerate(itertools.pairwise(names)):
        nodes += [("Reshape", [a, f"s{i % 2}"], [f"r{b}"], {}), ("Relu", [f"r{b}"], [b], {})]
    graph = loaded(model(nodes, {"x": (1, 6)}, shapes, outputs=(names[-1],))).graph
    start = time.process_time()
    new = PASSES["merge_reshapes"]().run(graph, PassContext())
    assert sum(n.op == "Reshape" for n in new.nodes) <= 1
    assert time.process_time() - start < 5
