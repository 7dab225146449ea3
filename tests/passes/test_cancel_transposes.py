"""Transposes that cancel, those that stay, and the channel shuffle."""

import time

import numpy as np
import pytest

from hwcomp.passes.base import PassContext
from hwcomp.registry import PASSES
from tests.models import loaded, model, values

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
X = {"x": (1, 3, 5, 6)}


def to_last(x, y):
    return ("Transpose", [x], [y], {"perm": LAST})


def to_first(x, y):
    return ("Transpose", [x], [y], {"perm": FIRST})


def cancelled(run, nodes, inputs, constants=None, outputs=("y",), opset=17):
    """The outcome, with the shapes that the pass wrote checked against shape inference."""
    out = run(model(nodes, inputs, constants, outputs, opset=opset), "cancel_transposes")
    again = PASSES["infer_shapes"]().run(out.after, out.ctx)
    assert {n: t.shape for n, t in again.tensors.items()} == {n: t.shape for n, t in out.after.tensors.items()}
    assert len({n.name for n in out.after.nodes}) == len(out.after.nodes)
    assert out.change() <= 1e-6
    return out


def test_a_keras_layer_loses_its_wrapping(run):
    nodes = [
        to_first("x", "a"), ("Conv", ["a", "w"], ["b"], {"pads": [1, 1, 1, 1]}), to_last("b", "c"),
        ("Add", ["c", "k"], ["d"], {}), ("Relu", ["d"], ["e"], {}), to_first("e", "f"),
        ("MaxPool", ["f"], ["g"], {"kernel_shape": [2, 2]}), to_last("g", "h"), to_first("h", "i"),
        ("Conv", ["i", "v"], ["y"], {}),
    ]  # fmt: skip
    constants = {"w": values("w", 4, 3, 3, 3), "k": values("k", 4), "v": values("v", 2, 4, 3, 3)}
    out = cancelled(run, nodes, {"x": (1, 6, 7, 3)}, constants)
    assert out.ops == ["Transpose", "Conv", "Add", "Clip", "MaxPool", "Conv"]
    # The value behind the last Transpose is the Clip's, which has no name of its own in this order.
    assert [n.outputs[0] for n in out.after.nodes] == ["a", "b", "d__transposed", "f", "g", "y"]
    assert out.node("Add").inputs[1].startswith("k__transposed")


def test_a_bias_in_the_wrapping_is_fused(run):
    nodes = [("Conv", ["x", "w"], ["b"], {}), to_last("b", "c"), ("Add", ["c", "k"], ["d"], {}), to_first("d", "e"),
             ("Relu", ["e"], ["y"], {})]  # fmt: skip
    constants = {"w": values("w", 4, 3, 1, 1), "k": values("k", 4)}
    out = run(model(nodes, X, constants), "cancel_transposes", "fuse_bias", "fuse_activation")
    assert out.ops == ["Conv"]
    assert out.change() <= 1e-6


@pytest.mark.parametrize("shape", [(), (1,), (3,), (6, 1), (1, 1, 3), (5, 1, 1), (1, 5, 6, 3), (1, 1, 1, 3)])
def test_any_constant_moves_along(run, shape):
    nodes = [to_last("x", "a"), ("Add", ["a", "k"], ["b"], {}), to_first("b", "y")]
    out = cancelled(run, nodes, X, {"k": values("k", *shape)})
    assert out.ops == ["Add"]
    assert out.after.nodes[0].outputs == ("y",)


def test_residual_branches_and_joins(run):
    nodes = [
        to_last("x", "a"), ("Relu", ["a"], ["r"], {}), to_first("r", "s"),
        ("Conv", ["s", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
        to_last("c", "d"), ("Add", ["r", "d"], ["e"], {}), ("Concat", ["e", "r"], ["f"], {"axis": 3}),
        ("Slice", ["f", "start", "end", "axis"], ["g"], {}), to_first("g", "y"),
    ]  # fmt: skip
    constants = {"w": values("w", 3, 3, 3, 3), "start": np.array([1]), "end": np.array([5]), "axis": np.array([-1])}
    out = cancelled(run, nodes, X, constants)
    assert out.ops == ["Clip", "Conv", "Add", "Concat", "Slice"]
    assert (out.node("Concat").attrs.axis, out.node("Slice").attrs.axis) == (1, 1)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_over_the_last_axis(run, op):
    out = cancelled(run, [to_last("x", "a"), (op, ["a"], ["b"], {}), to_first("b", "y")], X)
    assert out.ops == [op]
    assert out.after.nodes[0].attrs.axes == (1,)


def test_batch_normalization_where_the_channels_stay(run):
    bn = {k: values(k, 3) for k in ("scale", "bias", "mean")} | {"v": np.abs(values("v", 3)) + np.float32(0.5)}
    swap = {"perm": [0, 1, 3, 2]}
    inner = ("BatchNormalization", ["a", *bn], ["b"], {})
    assert cancelled(run, [("Transpose", ["x"], ["a"], swap), inner, ("Transpose", ["b"], ["y"], swap)], X, bn).ops == [
        "BatchNormalization"
    ]
    five = {k: np.resize(a, 5) for k, a in bn.items()}
    out = cancelled(run, [to_last("x", "a"), inner, to_first("b", "y")], X, five)
    assert out.ops == ["Transpose", "BatchNormalization", "Transpose"]


def test_pools_and_pads_with_channels_last(run):
    nodes = [
        to_first("x", "a"), ("Conv", ["a", "w"], ["b"], {}), to_last("b", "c"), ("Pad", ["c", "p"], ["d"], {}),
        to_first("d", "e"), ("Conv", ["e", "v"], ["f"], {}), to_last("f", "g"),
        ("ReduceMean", ["g"], ["y"], {"axes": [1, 2], "keepdims": 0}),
    ]  # fmt: skip
    constants = {"w": values("w", 4, 3, 1, 1), "v": values("v", 2, 4, 3, 3), "p": np.array([0, 1, 1, 0, 0, 1, 1, 0])}
    out = cancelled(run, nodes, {"x": (1, 5, 6, 3)}, constants)
    assert out.ops == ["Transpose", "Conv", "Pad", "Conv", "AveragePool", "Reshape"]


def test_a_one_dimensional_keras_layer(run):
    nodes = [
        ("Unsqueeze", ["x", "one"], ["a"], {}), to_first("a", "b"), ("Conv", ["b", "w"], ["c"], {}), to_last("c", "d"),
        ("Squeeze", ["d", "one"], ["e"], {}), ("Relu", ["e"], ["f"], {}), ("Unsqueeze", ["f", "one"], ["g"], {}),
        to_first("g", "h"), ("Conv", ["h", "v"], ["i"], {}), to_last("i", "j"), ("Squeeze", ["j", "one"], ["y"], {}),
    ]  # fmt: skip
    constants = {"one": np.array([1]), "w": values("w", 4, 3, 1, 3), "v": values("v", 2, 4, 1, 2)}
    proto = model(nodes, {"x": (1, 9, 3)}, constants)
    out = run(proto, "cancel_transposes", "merge_reshapes", "fuse_activation")
    assert out.ops == ["Reshape", "Transpose", "Conv", "Conv", "Reshape", "Transpose"]
    assert out.change() <= 1e-6


def test_a_transpose_that_moves_nothing_is_a_reshape(run):
    pool = [("GlobalAveragePool", ["x"], ["a"], {}), to_last("a", "y")]
    assert cancelled(run, pool, X).ops == ["AveragePool", "Reshape"]
    flat = [*pool[:1], to_last("a", "b"), ("Flatten", ["b"], ["y"], {})]
    assert cancelled(run, flat, X).ops == ["AveragePool", "Reshape"]


def flattened(*more):
    return [("Relu", ["x"], ["a"], {}), to_last("a", "b"), ("Flatten", ["b"], ["c"], {}), *more]


DENSE = {"w": values("w", 90, 4), "v": values("v", 90, 2)}


def test_flattening_goes_into_the_weights(run):
    out = cancelled(run, flattened(("MatMul", ["c", "w"], ["y"], {})), X, DENSE)
    assert out.ops == ["Clip", "Reshape", "Dense"]


def test_two_dense_layers_share_the_vector(run):
    nodes = flattened(("MatMul", ["c", "w"], ["y"], {}), ("MatMul", ["c", "v"], ["z"], {}))
    assert cancelled(run, nodes, X, DENSE, ("y", "z")).ops == ["Clip", "Reshape", "Dense", "Dense"]


@pytest.mark.parametrize("outputs", [("y", "c"), ("y", "z"), ("c", "z", "y")])
def test_a_vector_that_others_read_is_made(run, outputs):
    nodes = flattened(("MatMul", ["c", "w"], ["y"], {}), ("Relu", ["c"], ["z"], {}))
    nodes += [to_last("x", "p"), ("Relu", ["p"], ["q"], {}), to_first("q", "r")]  # one pair that does cancel
    out = cancelled(run, nodes, X, DENSE, (*outputs, "r"))
    assert out.ops.count("Transpose") == 1


@pytest.mark.parametrize("outputs", [("b",), ("b", "y"), ("y", "b"), ("b", "d", "y")])
def test_values_that_are_outputs_keep_their_order_and_name(run, outputs):
    nodes = [to_last("x", "a"), ("Relu", ["a"], ["b"], {}), to_first("b", "c"), ("Relu", ["c"], ["d"], {}),
             ("Relu", ["d"], ["y"], {})]  # fmt: skip
    out = cancelled(run, nodes, X, outputs=outputs)
    assert out.after.outputs == outputs


def test_outputs_of_one_value_and_of_an_input(run):
    nodes = [to_last("x", "a"), to_first("a", "y"), to_first("a", "z"), ("Relu", ["z"], ["v"], {})]
    out = cancelled(run, nodes, X, outputs=("y", "z", "v"))
    assert sorted(out.ops) == ["Clip", "Identity", "Identity"]
    relu = [("Relu", ["x"], ["r"], {}), to_last("r", "a"), to_first("a", "y"), to_first("a", "z")]
    assert sorted(cancelled(run, relu, X, outputs=("y", "z")).ops) == ["Clip", "Identity"]


def test_what_does_not_cancel_stays_untouched(run):
    nodes = [to_last("x", "a"), ("Relu", ["a"], ["b"], {}), ("Relu", ["b"], ["y"], {})]
    out = cancelled(run, nodes, X)
    assert out.after is out.before


def shuffle(split, perm, back, *more):
    nodes = [("Reshape", ["x", "s"], ["a"], {}), ("Transpose", ["a"], ["b"], {"perm": perm}),
             ("Reshape", ["b", "t"], ["y"], {}), *more]  # fmt: skip
    return nodes, {"s": np.array(split), "t": np.array(back)}


@pytest.mark.parametrize(
    ("split", "perm", "order"),
    [
        ((1, 2, 3, 4, 5), (0, 2, 1, 3, 4), (0, 3, 1, 4, 2, 5)),
        ((1, 3, 2, 20), (0, 2, 1, 3), (0, 2, 4, 1, 3, 5)),
        ((1, 2, 3, 2, 2, 5), (0, 2, 1, 3, 4, 5), (0, 3, 1, 4, 2, 5)),
        ((1, 2, 1, 3, 4, 5), (0, 3, 2, 1, 4, 5), (0, 3, 1, 4, 2, 5)),
    ],
)
def test_channel_shuffles(run, split, perm, order):
    nodes, constants = shuffle(split, perm, (1, 6, 4, 5))
    out = cancelled(run, nodes, {"x": (1, 6, 4, 5)}, constants)
    assert out.ops == ["ChannelShuffle"]
    assert out.node("ChannelShuffle").attrs.order == order
    assert out.node("ChannelShuffle").origin == ("Reshape_0", "Transpose_1", "Reshape_2")


@pytest.mark.parametrize(
    ("split", "perm", "back", "outputs"),
    [
        ((1, 2, 3, 4, 5), (0, 1, 2, 4, 3), (1, 6, 4, 5), ("y",)),  # moves pixels
        ((1, 2, 3, 4, 5), (0, 3, 1, 2, 4), (1, 6, 4, 5), ("y",)),  # mixes channels with pixels
        ((1, 4, 6, 5), (0, 2, 1, 3), (1, 6, 4, 5), ("y",)),  # groups run over channels and pixels
        ((1, 2, 3, 4, 5), (0, 2, 1, 3, 4), (1, 6, 20), ("y",)),  # another shape at the end
        ((1, 2, 3, 4, 5), (0, 2, 1, 3, 4), (1, 6, 4, 5), ("y", "b")),  # the middle is an output
    ],
)
def test_no_channel_shuffle(run, split, perm, back, outputs):
    nodes, constants = shuffle(split, perm, back)
    out = cancelled(run, nodes, {"x": (1, 6, 4, 5)}, constants, outputs)
    assert "ChannelShuffle" not in out.ops


def test_a_shuffle_whose_first_reshape_is_read_elsewhere(run):
    nodes, constants = shuffle((1, 2, 3, 4, 5), (0, 2, 1, 3, 4), (1, 6, 4, 5), ("Relu", ["a"], ["z"], {}))
    out = cancelled(run, nodes, {"x": (1, 6, 4, 5)}, constants, ("y", "z"))
    assert sorted(out.ops) == ["ChannelShuffle", "Clip", "Reshape"]


def test_long_chains_take_linear_time():
    nodes, last = [], "x"
    for i in range(6000):
        nodes += [to_last(last, f"a{i}"), ("Relu", [f"a{i}"], [f"b{i}"], {}), to_first(f"b{i}", f"c{i}")]
        last = f"c{i}"
    graph = loaded(model(nodes, {"x": (1, 2, 2, 3)}, outputs=(last,))).graph
    start = time.process_time()
    new = PASSES["cancel_transposes"]().run(graph, PassContext())
    assert [n.op for n in new.nodes] == ["Clip"] * 6000
    assert time.process_time() - start < 5
