"""The walk of the passes that make layers anew: what they see in front of a layer, and what is held how long."""

import numpy as np

from hwcomp.passes._layerwise import in_order
from hwcomp.passes.base import constant
from hwcomp.types import Tensor
from tests.models import loaded, model, values

W, V = values("w", 4, 4), values("v", 4, 4)
X = np.float32([[1, -2, 3, -4], [0, 5, -6, 7]])


def graph():
    """Two layers on x, the second with a ReLU, and their sum."""
    nodes = [("Gemm", ["x", "w"], ["a"], {}), ("Gemm", ["x", "v"], ["b"], {}), ("Relu", ["b"], ["c"], {})]
    return loaded(model([*nodes, ("Add", ["a", "c"], ["y"], {})], {"x": ("N", 4)}, {"w": W, "v": V})).graph


def test_what_a_change_sees():
    found, seen = graph(), []

    def change(node, values, mine):
        seen.append((node.op, sorted(values), sorted(mine), all(values[n] is mine[n] for n in values)))
        return [node]

    assert in_order(found, {"x": X}, change) == list(found.nodes)
    assert seen == [
        ("Dense", ["x"], ["x"], True), ("Dense", ["a", "x"], ["a", "x"], True), ("Clip", ["a", "b"], ["a", "b"], True),
        ("Add", ["a", "c"], ["a", "c"], True),
    ]  # fmt: skip


def test_layers_behind_a_changed_one_see_what_it_gives():
    found = graph()
    tensors, seen = dict(found.tensors), {}

    def change(node, values, mine):
        seen[node.outputs[0]] = sorted(mine), {n: (values[n].copy(), mine[n].copy()) for n in node.inputs if n in mine}
        if node.outputs[0] != "a":
            return [node]
        half = constant(tensors, "half", W.T / 2)  # a Dense node has a row per result
        tensors["between"] = Tensor("between", found.tensors["a"].shape)
        first = node.with_(inputs=("x", half.name, ""), outputs=("between",))
        twice = constant(tensors, "twice", 2 * np.eye(4, dtype=np.float32))
        return [first, node.with_(inputs=("between", twice.name, ""))]

    nodes = in_order(found, {"x": X}, change, tensors)
    assert [n.outputs[0] for n in nodes] == ["between", "a", "b", "c", "y"]
    assert seen["b"][0] == ["a", "between", "x"]  # held as long as x, which others may ask for the same of
    assert seen["c"][0] == ["a", "b"]
    old, new = seen["y"][1]["a"]
    np.testing.assert_allclose(old, X @ W, rtol=1e-5)
    np.testing.assert_allclose(new, X @ W, rtol=1e-5)
    assert np.array_equal(*seen["y"][1]["c"])
    np.testing.assert_allclose(seen["y"][1]["c"][1], np.maximum(X @ V, 0), rtol=1e-5)


def test_equal_results_are_the_same_array_up_to_a_change():
    found, same = graph(), {}
    tensors = dict(found.tensors)

    def change(node, values, mine):
        same[node.outputs[0]] = {n: values[n] is mine[n] for n in node.inputs if n in mine}
        if node.outputs[0] == "b":
            return [node.with_(inputs=("x", constant(tensors, "other", V + 1).name, ""))]
        return [node]

    in_order(found, {"x": X}, change, tensors)
    assert same == {"a": {"x": True}, "b": {"x": True}, "c": {"b": False}, "y": {"a": True, "c": False}}
