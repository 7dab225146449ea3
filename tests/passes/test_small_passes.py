"""Dead code, Identity and Dropout, constants, a final Softmax, shapes, and provable ranges."""

from itertools import pairwise

import numpy as np
import pytest

from tests.models import model, values

X = {"x": (1, 6)}
W = {"w": values("w", 6, 6)}


# --- eliminate_dead ---------------------------------------------------------------------------------------------------


def test_nodes_that_reach_no_output_go(run):
    nodes = [("Gemm", ["x", "w"], ["y"], {}), ("Relu", ["x"], ["a"], {}), ("Gemm", ["a", "u"], ["b"], {})]
    out = run(model(nodes, X, {**W, "u": values("u", 6, 2)}), "eliminate_dead")
    assert out.ops == ["Dense"]
    assert not any(name.startswith("u") for name in out.after.tensors)
    assert sum("reaches no output" in line for line in out.notes) == 2
    assert out.change() == 0


def test_an_unused_input_stays_an_input(run):
    out = run(model([("Relu", ["x"], ["y"], {})], {"x": (1, 6), "unused": (1, 3)}), "eliminate_dead")
    assert out.after.inputs == ("x", "unused")


@pytest.mark.parametrize("op", ["Identity", "Dropout"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_chains_that_do_nothing_go(run, op, count):
    names = ["h", *(f"i{n}" for n in range(count))]
    nodes = [("Relu", ["x"], ["h"], {}), *((op, [a], [b], {}) for a, b in pairwise(names))]
    out = run(model([*nodes, ("Gemm", [names[-1], "w"], ["y"], {})], X, W, opset=12), "eliminate_dead")
    assert out.ops == ["Clip", "Dense"]
    assert out.change() == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_output_behind_identities_keeps_its_name(run, count):
    names = ["h", *(f"i{n}" for n in range(count - 1)), "y"]
    nodes = [("Relu", ["x"], ["h"], {}), *(("Identity", [a], [b], {}) for a, b in pairwise(names))]
    out = run(model(nodes, X), "eliminate_dead")
    assert out.ops == ["Clip"]
    assert out.after.nodes[0].outputs == ("y",)
    assert out.change() == 0


def test_two_outputs_of_one_value_keep_both_names(run):
    nodes = [("Relu", ["x"], ["h"], {}), ("Identity", ["h"], ["y"], {}), ("Identity", ["h"], ["z"], {})]
    out = run(model(nodes, X, outputs=("y", "z")), "eliminate_dead")
    assert out.after.outputs == ("y", "z")
    assert out.ops.count("Identity") == 1
    assert out.change() == 0


def test_a_value_that_is_an_output_itself_keeps_its_name(run):
    nodes = [("Relu", ["x"], ["h"], {}), ("Identity", ["h"], ["y"], {})]
    out = run(model(nodes, X, outputs=("h", "y")), "eliminate_dead")
    assert out.after.outputs == ("h", "y")
    assert out.change() == 0


def test_other_readers_of_a_renamed_value_follow(run):
    nodes = [("Relu", ["x"], ["h"], {}), ("Identity", ["h"], ["y"], {}), ("Gemm", ["h", "w"], ["z"], {})]
    out = run(model(nodes, X, W, ("y", "z")), "eliminate_dead")
    assert out.ops == ["Clip", "Dense"]
    assert out.change() == 0


def test_an_identity_of_the_input_stays(run):
    out = run(model([("Identity", ["x"], ["y"], {})], X), "eliminate_dead")
    assert out.ops == ["Identity"]


# --- fold_constants ---------------------------------------------------------------------------------------------------


def test_constants_are_folded_through_several_nodes(run):
    nodes = [("Relu", ["c"], ["a"], {}), ("Add", ["a", "c"], ["b"], {}), ("Add", ["x", "b"], ["y"], {})]
    out = run(model(nodes, X, {"c": values("c", 6)}), "fold_constants")
    assert out.ops == ["Add"]
    assert out.change() == 0


def test_a_constant_weight_behind_nodes_is_a_weight(run):
    nodes = [("Identity", ["w"], ["v"], {}), ("Reshape", ["v", "s"], ["u"], {}), ("MatMul", ["x", "u"], ["y"], {})]
    out = run(model(nodes, X, {"w": values("w", 36), "s": np.array([6, 6])}), "fold_constants")
    assert out.ops == ["Dense"]
    assert out.change() == 0


# --- drop_softmax -----------------------------------------------------------------------------------------------------

NET = ("Gemm", ["x", "w"], ["h"], {})


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_without_logits_it_stays(run, op):
    out = run(model([NET, (op, ["h"], ["y"], {})], X, W), "drop_softmax")
    assert out.ops == ["Dense", op]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_with_logits_the_output_keeps_its_name(run, op):
    out = run(model([NET, (op, ["h"], ["y"], {})], X, W), "drop_softmax", logits=True)
    assert out.ops == ["Dense"]
    assert out.after.nodes[0].outputs == ("y",)
    assert any("logits" in line for line in out.notes)
    rng = np.random.default_rng(0)
    from hwcomp.frontend.float_run import run_float

    x = {"x": rng.normal(size=(50, 6)).astype(np.float32)}
    a, b = run_float(out.before, x)["y"], run_float(out.after, x)["y"]
    assert a.argmax(1).tolist() == b.argmax(1).tolist()
    assert not np.array_equal(a, b)


def test_logits_that_are_read_elsewhere_too(run):
    nodes = [NET, ("Softmax", ["h"], ["y"], {}), ("Relu", ["h"], ["z"], {})]
    out = run(model(nodes, X, W, ("y", "z")), "drop_softmax", logits=True)
    assert sorted(out.ops) == ["Clip", "Dense", "Identity"]
    assert out.after.outputs == ("y", "z")


def test_a_softmax_inside_the_network_stays(run):
    nodes = [NET, ("Softmax", ["h"], ["i"], {}), ("Gemm", ["i", "w"], ["y"], {})]
    out = run(model(nodes, X, W), "drop_softmax", logits=True)
    assert out.ops == ["Dense", "Softmax", "Dense"]


# --- infer_shapes, analyze_ranges -------------------------------------------------------------------------------------


def test_shapes_are_inferred_anew(run):
    out = run(model([NET, ("Relu", ["h"], ["y"], {})], X, W))
    stale = out.after.with_(tensors={**out.after.tensors, "h": out.after.tensors["h"].with_(shape=(9, 9))})
    from hwcomp.passes.base import PassContext
    from hwcomp.registry import PASSES

    assert PASSES["infer_shapes"]().run(stale, PassContext()).tensors["h"].shape == (1, 6)


def test_ranges_are_provable(run):
    out = run(model([NET, ("Relu", ["h"], ["y"], {})], X, W), "analyze_ranges", input_ranges={"x": (-1.0, 1.0)})
    rows = W["w"].T.astype(np.float64)
    reach = float(np.abs(rows).sum(1).max())
    lo, hi = out.after.tensors["h"].range
    assert -reach * 1.0001 <= lo <= -reach
    assert reach <= hi <= reach * 1.0001
    assert out.after.tensors["y"].range == (0.0, hi)
    assert out.after.tensors["x"].range == (-1.0, 1.0)


def test_a_constant_tensor_is_reported(run):
    nodes = [("Clip", ["x", "", "a"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    out = run(model(nodes, X, {"a": np.float32(-0.5)}), "analyze_ranges")
    assert out.after.tensors["y"].range == (0.0, 0.0)
    assert any("'y' is always 0" in line for line in out.notes)
