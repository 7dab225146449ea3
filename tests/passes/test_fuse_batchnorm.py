"""BatchNormalization and biases into dot products: where, where not, and that nothing changes."""

import numpy as np
import pytest

from hwcomp.frontend.float_run import run_float
from hwcomp.passes.base import PassContext
from hwcomp.passes.fuse_batchnorm import FuseBatchnorm
from tests.models import loaded, model, values

TOLERANCE = 1e-5


def bn(prefix, channels):
    return {
        f"{prefix}s": values(prefix + "s", channels) * 2,
        f"{prefix}b": values(prefix + "b", channels),
        f"{prefix}m": values(prefix + "m", channels),
        f"{prefix}v": np.abs(values(prefix + "v", channels)) + np.float32(0.2),
    }


def bn_node(x, y, prefix):
    return ("BatchNormalization", [x, *(f"{prefix}{c}" for c in "sbmv")], [y], {})


def test_behind_a_convolution(run):
    proto = model(
        [("Conv", ["x", "w", "k"], ["h"], {"pads": [1, 1, 1, 1]}), bn_node("h", "y", "n")], {"x": (1, 2, 5, 5)},
        {"w": values("w", 4, 2, 3, 3), "k": values("k", 4), **bn("n", 4)},
    )  # fmt: skip
    out = run(proto, "fuse_batchnorm")
    assert out.ops == ["Conv"]
    assert out.node("Conv").origin == ("Conv_0", "BatchNormalization_1")
    assert out.change() <= TOLERANCE


def test_behind_a_dense_layer_without_bias(run):
    proto = model(
        [("Gemm", ["x", "w"], ["h"], {}), bn_node("h", "y", "n")],
        {"x": ("N", 6)},
        {"w": values("w", 6, 4), **bn("n", 4)},
    )
    out = run(proto, "fuse_batchnorm")
    assert out.ops == ["Dense"]
    assert out.change() <= TOLERANCE


def test_in_front_of_an_unpadded_convolution(run):
    proto = model(
        [bn_node("x", "h", "n"), ("Conv", ["h", "w"], ["y"], {"strides": [2, 1]})], {"x": (1, 3, 6, 5)},
        {"w": values("w", 4, 3, 3, 2), **bn("n", 3)},
    )  # fmt: skip
    out = run(proto, "fuse_batchnorm")
    assert out.ops == ["Conv"]
    assert out.node("Conv").origin == ("BatchNormalization_0", "Conv_1")
    assert out.change() <= TOLERANCE


@pytest.mark.parametrize("attrs", [{"pads": [1, 1, 1, 1]}, {"pads": [0, 0, 0, 1]}, {"auto_pad": "SAME_UPPER"}])
def test_in_front_of_a_padded_convolution_it_stays(run, attrs):
    """The padding is zero behind the normalization."""
    proto = model(
        [bn_node("x", "h", "n"), ("Conv", ["h", "w"], ["y"], attrs)], {"x": (1, 3, 6, 5)},
        {"w": values("w", 4, 3, 3, 3), **bn("n", 3)},
    )  # fmt: skip
    out = run(proto, "fuse_batchnorm")
    assert out.ops == ["BatchNormalization", "Conv"]
    assert any("BatchNormalization_0" in line and "stays" in line for line in out.notes)
    assert out.change() == 0


@pytest.mark.parametrize(("groups", "m"), [(2, 4), (2, 2), (4, 4), (4, 8)])
def test_grouped_convolutions_on_both_sides(run, groups, m):
    constants = {"w": values("w", m, 4 // groups, 2, 2), "k": values("k", m), **bn("n", 4), **bn("o", m)}
    nodes = [bn_node("x", "h", "n"), ("Conv", ["h", "w", "k"], ["c"], {"group": groups}), bn_node("c", "y", "o")]
    out = run(model(nodes, {"x": (1, 4, 5, 4)}, constants), "fuse_batchnorm")
    assert out.ops == ["Conv"]
    assert out.change() <= TOLERANCE


def test_in_front_of_a_dense_layer(run):
    proto = model([bn_node("x", "h", "n"), ("Gemm", ["h", "w", "k"], ["y"], {})], {"x": ("N", 6)},
                  {"w": values("w", 6, 4), "k": values("k", 4), **bn("n", 6)})  # fmt: skip
    out = run(proto, "fuse_batchnorm")
    assert out.ops == ["Dense"]
    assert out.change() <= TOLERANCE


def test_two_in_a_row(run):
    constants = {"w": values("w", 4, 2, 3, 3), **bn("n", 4), **bn("o", 4)}
    nodes = [("Conv", ["x", "w"], ["h"], {}), bn_node("h", "i", "n"), bn_node("i", "y", "o")]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants), "fuse_batchnorm")
    assert out.ops == ["Conv"]
    assert out.change() <= TOLERANCE


def test_a_second_reader_keeps_it(run):
    constants = {"w": values("w", 4, 2, 3, 3), **bn("n", 4)}
    nodes = [("Conv", ["x", "w"], ["h"], {}), bn_node("h", "y", "n"), ("Relu", ["h"], ["z"], {})]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants, ("y", "z")), "fuse_batchnorm")
    assert out.ops == ["Conv", "BatchNormalization", "Clip"]
    assert out.change() == 0


def test_an_output_between_keeps_it(run):
    constants = {"w": values("w", 4, 2, 3, 3), **bn("n", 4)}
    nodes = [("Conv", ["x", "w"], ["h"], {}), bn_node("h", "y", "n")]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants, ("y", "h")), "fuse_batchnorm")
    assert out.ops == ["Conv", "BatchNormalization"]


def test_a_clamp_between_keeps_it(run):
    """Conv -> Relu -> BatchNormalization: the clamp belongs in front."""
    constants = {"w": values("w", 4, 2, 3, 3), **bn("n", 4)}
    nodes = [("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), bn_node("r", "y", "n")]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants), "fuse_activation", "fuse_batchnorm")
    assert out.ops == ["Conv", "BatchNormalization"]
    assert out.change() == 0


def test_shared_weights_are_copied_before_they_change(run):
    """Two convolutions on one weight, a normalization behind one of them."""
    constants = {"w": values("w", 2, 2, 3, 3), **bn("n", 2)}
    nodes = [("Conv", ["x", "w"], ["h"], {"pads": [1] * 4}), bn_node("h", "i", "n"), ("Conv", ["i", "w"], ["y"], {})]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants), "fuse_batchnorm")
    assert out.ops == ["Conv", "Conv"]
    assert out.change() <= TOLERANCE


def test_a_shared_normalization_is_folded_for_each(run):
    constants = {"w": values("w", 3, 2, 3, 3), "u": values("u", 3, 2, 3, 3), **bn("n", 3)}
    nodes = [
        ("Conv", ["x", "w"], ["h"], {}),
        bn_node("h", "y", "n"),
        ("Conv", ["x", "u"], ["i"], {}),
        bn_node("i", "z", "n"),
    ]
    out = run(model(nodes, {"x": (1, 2, 5, 5)}, constants, ("y", "z")), "fuse_batchnorm")
    assert out.ops == ["Conv", "Conv"]
    assert out.change() <= TOLERANCE


# --- bias -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), ()])
@pytest.mark.parametrize("first", [False, True])
def test_add_behind_matmul_is_its_bias(run, shape, first):
    ins = ["c", "h"] if first else ["h", "c"]
    proto = model(
        [("MatMul", ["x", "w"], ["h"], {}), ("Add", ins, ["y"], {})],
        {"x": (1, 7)},
        {"w": values("w", 7, 5), "c": values("c", *shape)},
    )
    out = run(proto, "fuse_bias")
    assert out.ops == ["Dense"]
    assert out.node("Dense").origin == ("MatMul_0", "Add_1")
    assert out.change() <= TOLERANCE


def test_adds_behind_a_convolution_with_a_bias(run):
    constants = {
        "w": values("w", 3, 2, 2, 2),
        "k": values("k", 3),
        "c": values("c", 3, 1, 1),
        "d": values("d", 1, 3, 1, 1),
    }
    nodes = [("Conv", ["x", "w", "k"], ["h"], {}), ("Add", ["h", "c"], ["i"], {}), ("Add", ["d", "i"], ["y"], {})]
    out = run(model(nodes, {"x": (1, 2, 4, 4)}, constants), "fuse_bias")
    assert out.ops == ["Conv"]
    assert out.change() <= TOLERANCE


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 3), (3, 3, 3), (3,)])
def test_a_constant_that_varies_in_a_plane_is_no_bias(run, shape):
    proto = model([("Conv", ["x", "w"], ["h"], {}), ("Add", ["h", "c"], ["y"], {})], {"x": (1, 2, 4, 4)},
                  {"w": values("w", 3, 2, 2, 2), "c": values("c", *shape)})  # fmt: skip
    out = run(proto, "fuse_bias")
    assert out.ops == ["Conv", "Add"]
    assert out.change() == 0


def test_add_of_a_rank_3_product_counts_the_last_axis(run):
    proto = model([("MatMul", ["x", "w"], ["h"], {}), ("Add", ["h", "c"], ["y"], {})], {"x": (1, 4, 6)},
                  {"w": values("w", 6, 4), "c": values("c", 4)})  # fmt: skip
    out = run(proto, "fuse_bias")
    assert out.ops == ["Dense"]
    assert out.change() <= TOLERANCE


def test_add_of_two_tensors_stays(run):
    proto = model(
        [("MatMul", ["x", "w"], ["h"], {}), ("Add", ["h", "x"], ["y"], {})], {"x": (1, 6)}, {"w": values("w", 6, 6)}
    )
    out = run(proto, "fuse_bias")
    assert out.ops == ["Dense", "Add"]


def test_shared_bias_changes_for_one_only(run):
    constants = {"w": values("w", 6, 6), "k": values("k", 6), "c": values("c", 6)}
    nodes = [("Gemm", ["x", "w", "k"], ["h"], {}), ("Add", ["h", "c"], ["i"], {}), ("Gemm", ["i", "w", "k"], ["y"], {})]
    out = run(model(nodes, {"x": (1, 6)}, constants), "fuse_bias")
    assert out.ops == ["Dense", "Dense"]
    assert out.change() <= TOLERANCE


BLOCKS = {
    "convtranspose": ("ConvTranspose", {"strides": [2, 3], "pads": [1, 0, 0, 1]}, (4, 3, 3, 3), 3),
    "grouped": ("ConvTranspose", {"strides": [2, 2], "group": 2}, (4, 2, 2, 2), 4),
    "conv": ("Conv", {}, (8, 4, 2, 1), 8),
}


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("block", [None, {"blocksize": 2, "mode": "CRD"}])
def test_through_what_moves_elements(kind, block):
    op, attrs, shape, channels = BLOCKS[kind]
    if block and channels % 4:
        pytest.skip("no blocks of four channels")
    channels //= 4 if block else 1
    nodes = [(op, ["x", "w"], ["h"], attrs)]
    nodes += [("DepthToSpace", ["h"], ["d"], block)] if block else []
    nodes += [("BatchNormalization", ["d" if block else "h", "s", "b", "m", "v"], ["y"], {})]
    statistics = {n: values(n, channels) for n in "sbm"} | {"v": np.abs(values("v", channels)) + np.float32(0.1)}
    proto = model(nodes, {"x": (1, 4, 3, 4)}, {"w": values("w", *shape), **statistics})
    graph = loaded(proto).graph
    fused = FuseBatchnorm().run(graph, PassContext())
    fused.check()
    assert "BatchNormalization" not in [n.op for n in fused.nodes]
    x = {"x": values("x", 1, 4, 3, 4)}
    want, have = run_float(graph, x)["y"], run_float(fused, x)["y"]
    assert np.abs(have - want).max() <= 1e-5 * np.abs(want).max()


def test_not_where_a_channel_is_split():
    """One channel of the convolution becomes two channels behind the reshape."""
    nodes = [
        ("Conv", ["x", "w"], ["h"], {}), ("Reshape", ["h", "r"], ["d"], {}), ("BatchNormalization", ["d", "s", "b", "m", "v"], ["y"], {}),
    ]  # fmt: skip
    statistics = {n: values(n, 6) for n in "sbm"} | {"v": np.ones(6, np.float32)}
    held = {"w": values("w", 3, 2, 1, 1), "r": np.array([1, 6, 2, 3]), **statistics}
    graph = loaded(model(nodes, {"x": (1, 2, 4, 3)}, held)).graph
    assert FuseBatchnorm().run(graph, PassContext()).nodes == graph.nodes


def test_not_where_something_else_reads_on_the_way():
    nodes = [
        ("ConvTranspose", ["x", "w"], ["h"], {"strides": [2, 2]}), ("BatchNormalization", ["h", "s", "b", "m", "v"], ["n"], {}),
        ("Add", ["n", "h"], ["y"], {}),
    ]  # fmt: skip
    statistics = {n: values(n, 3) for n in "sbm"} | {"v": np.ones(3, np.float32)}
    graph = loaded(model(nodes, {"x": (1, 2, 4, 3)}, {"w": values("w", 2, 3, 2, 2), **statistics})).graph
    assert FuseBatchnorm().run(graph, PassContext()).nodes == graph.nodes
