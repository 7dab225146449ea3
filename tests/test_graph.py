"""The Graph and the registries: order, readers, checks, and discovery."""

import pytest

from hwcomp.errors import ModelError
from hwcomp.graph import Graph, origin_of, topological
from hwcomp.registry import BACKENDS, OPS, PASSES, Registry
from hwcomp.types import Node, Tensor, per_channel


def node(name, inputs, outputs, op="Add"):
    return Node(op, name, tuple(inputs), tuple(outputs), None, (f"onnx {name}",))


def graph(nodes, inputs=("x",), outputs=("y",), constants=()):
    import numpy as np

    names = {*inputs, *outputs, *(t for n in nodes for t in (*n.inputs, *n.outputs) if t)}
    tensors = {
        n: Tensor(n, (1, 2), data=np.zeros((1, 2), np.float32) if n in constants else None) for n in sorted(names)
    }
    return Graph(tensors, tuple(nodes), tuple(inputs), tuple(outputs))


def diamond():
    return graph([node("a", "x", "p"), node("b", "p", "q"), node("c", "p", "r"), node("d", ("q", "r", "r"), "y")])


def test_readers_and_producers():
    g = diamond()
    assert g.producer("x") is None
    assert g.producer("p").name == "a"
    assert [n.name for n in g.consumers("p")] == ["b", "c"]
    assert [n.name for n in g.consumers("r")] == ["d", "d"]  # once per use
    assert g.consumers("y") == []
    assert g.sole_consumer("q").name == "d"
    assert g.sole_consumer("p") is None
    assert g.sole_consumer("r") is None
    assert g.with_(outputs=("y", "q")).sole_consumer("q") is None


def test_as_a_networkx_multigraph():
    g = diamond().nx()
    assert sorted(g.edges()) == [(0, 1), (0, 2), (1, 3), (2, 3), (2, 3)]


def test_topological_order_is_stable():
    g = diamond()
    assert [n.name for n in topological(g.nodes[::-1])] == ["a", "c", "b", "d"]
    assert [n.name for n in topological(g.nodes)] == ["a", "b", "c", "d"]


def test_a_cycle_is_an_error():
    nodes = (node("a", ("x", "q"), "p"), node("b", "p", "q"))
    with pytest.raises(ModelError, match="cycle"):
        topological(nodes)


def test_rebuilt_keeps_what_is_used():
    g = diamond()
    small = g.rebuilt([node("a", "x", "y")])
    assert sorted(small.tensors) == ["x", "y"]
    assert g.rebuilt(g.nodes[::-1]).nodes[0].name == "a"


def test_data_inputs_are_neither_absent_nor_constant():
    g = graph([node("a", ("x", "", "w"), "y")], constants=("w",))
    assert g.data_inputs(g.nodes[0]) == ["x"]


@pytest.mark.parametrize(("nodes", "text"), [
    ([node("b", "p", "y"), node("a", "x", "p")], "used before it is made"),
    ([node("a", "x", "y"), node("b", "x", "y")], "made twice"),
    ([node("a", "x", "x")], "made twice"),
    ([node("a", "x", "p")], "output 'y' is never made"),
    ([node("a", ("x", "nothing"), "y")], "used before it is made"),
])  # fmt: skip
def test_check_refuses_what_is_not_well_formed(nodes, text):
    with pytest.raises(ModelError, match=text):
        graph(nodes).check()


def test_check_takes_a_sound_graph():
    diamond().check()
    graph([node("a", ("x", "", "w"), "y")], constants=("w",)).check()


def test_messages_cite_the_onnx_node():
    assert origin_of(node("a", "x", "y")) == "onnx a"
    assert origin_of(Node("Add", "", ("x",), ("y",))) == "Add"


@pytest.mark.parametrize(("shape", "axis", "want"), [
    ((3,), -1, [0, 1, 2]), ((1, 3), -1, [0, 1, 2]), ((), -1, [0, 0, 0]), ((1,), -1, [0, 0, 0]), ((2, 1), -1, None),
    ((1, 1, 1, 3), -1, None), ((2,), -1, None), ((3, 1), 0, None),
])  # fmt: skip
def test_per_channel(shape, axis, want):
    import numpy as np

    value = Tensor("v", shape, data=np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape))
    found = per_channel(value, Tensor("t", (1, 3)), axis)
    assert want is None if found is None else found.tolist() == want


# --- registries -------------------------------------------------------------------------------------------------------


def test_registries_are_sorted_and_complete():
    for registry in (OPS, PASSES, BACKENDS):
        names = list(registry)
        assert names == sorted(names)
        assert names
        assert all(registry.get(n) is registry[n] for n in names)
    assert {"mcu", "fpga"} <= set(BACKENDS)


def test_an_unknown_name():
    assert OPS.get("NoSuchOp") is None
    with pytest.raises(KeyError):
        OPS["NoSuchOp"]


def test_a_duplicate_name_is_an_error():
    registry = Registry("hwcomp.ops", "operator")
    registry.register("Same", object())
    with pytest.raises(RuntimeError, match="two operators are called 'Same'"):
        registry.register("Same", object())
