"""Constants computed at import: what can't be computed, and nodes that become several or none."""

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.ops._cases import case
from hwcomp.ops.averagepool import AveragePoolAttrs
from tests.ops.test_rules import X2, X4, F, ints, one, with_list

BROKEN, UNSUPPORTED = ModelError, UnsupportedError


def folds(*nodes, constants, opset=17):
    """Nodes on constants whose result "d" is read by an Add."""
    return case("fold", [*nodes, ("Add", ["x", "d"], ["y"], {})], X2, constants, opset=opset)


BAD_CONSTANTS = {
    "divide by zero": (
        folds(("Div", ["a", "b"], ["d"], {}), constants=ints(a=[1], b=[0])),
        "Div of an integer by zero",
    ),
    "mixed types": (
        folds(("Mul", ["a", "b"], ["d"], {}), constants={**ints(a=[1]), "b": F([1])}),
        "must have one type",
    ),
    "do not broadcast": (
        folds(("Sub", ["a", "b"], ["d"], {}), constants=ints(a=[1, 2], b=[1, 2, 3])),
        "do not fit together",
    ),
    "cast too large": (folds(("Cast", ["a"], ["d"], {"to": 6}), constants=ints(a=[2**31])), "does not fit"),
    "cast nan": (folds(("Cast", ["a"], ["d"], {"to": 7}), constants={"a": F([np.nan])}), "does not fit"),
    "cast 2^63": (folds(("Cast", ["a"], ["d"], {"to": 7}), constants={"a": F([2.0**63])}), "does not fit"),
    "gather": (folds(("Gather", ["a", "b"], ["d"], {}), constants=ints(a=[1, 2], b=[-3])), "outside of its axis"),
    "size 0": (folds(("ConstantOfShape", ["a"], ["d"], {}), constants=ints(a=[2, 0])), "a size of 0"),
    "negative size": (folds(("ConstantOfShape", ["a"], ["d"], {}), constants=ints(a=[-1])), "a size of -1"),
    "shape of shape": (folds(("ConstantOfShape", ["a"], ["d"], {}), constants=ints(a=[[1]])), "must be a vector"),
    "range by 0": (folds(("Range", ["a", "a", "b"], ["d"], {}), constants=ints(a=1, b=0)), "has no length"),
    "range to infinity": (
        folds(("Range", ["a", "b", "a"], ["d"], {}), constants={"a": F(1), "b": F(np.inf)}),
        "has no length",
    ),
    "empty range": (folds(("Range", ["a", "b", "a"], ["d"], {}), constants=ints(a=1, b=0)), "size 0"),
    "condition": (folds(("Where", ["a", "a", "a"], ["d"], {}), constants=ints(a=[1])), "must be bool"),
    "pad": (folds(("Pad", ["a", "b"], ["d"], {}), constants={"a": F([1]), **ints(b=[0, 2**40])}), "too large"),
    "slice step": (
        folds(("Slice", ["a", "b", "b", "b", "b"], ["d"], {}), constants=ints(a=[1, 2], b=[0])),
        "step of 0",
    ),
}


@pytest.mark.parametrize("name", BAD_CONSTANTS)
def test_constants_that_can_not_be_computed(name, load):
    tested, text = BAD_CONSTANTS[name]
    with pytest.raises(ModelError) as caught:
        load(tested.model)
    assert text in str(caught.value)
    assert "fold 0" in str(caught.value)


def test_one_node_may_become_several(load):
    tested = with_list("Slice", X4, [1, -3], [2**62, 2**63 - 1], [1, 2])
    graph = load(tested.model)
    assert [(n.op, n.outputs[0], n.origin) for n in graph.nodes] == [
        ("Slice", "y__slice", ("Slice 0",)),
        ("Slice", "y", ("Slice 0",)),
    ]
    assert len({n.name for n in graph.nodes}) == 2


def test_inserted_names_are_free(load):
    nodes = [("Relu", ["x"], ["y__slice"], {}), ("Slice", ["y__slice", "s", "e"], ["y"], {})]
    graph = load(case("names", nodes, {"x": (1, 2, 6)}, ints(s=[0, 1, 2], e=[1, 2, 5])).model)
    assert [n.outputs[0] for n in graph.nodes] == ["y__slice", "y__slice_2", "y"]


def test_split_leaves_out_what_nobody_names(load):
    for outputs, count in ((("", "y"), 1), (("y", ""), 1), (("y", "z"), 2)):
        tested = one("Split", ["x"], {"axis": 1}, X2, outputs=outputs)
        graph = load(tested.model)
        assert [n.op for n in graph.nodes] == ["Slice"] * count
        part = run_float(graph, {"x": F([[1, 2, 3, 4]])})["y"]
        assert part.tolist() == ([[3, 4]] if outputs[0] == "" else [[1, 2]])


def test_divisors_of_an_average():

    attrs = AveragePoolAttrs((2, 3), (2, 2), (1, 1), (1, 0, 1, 1))
    assert attrs.divisors((3, 4)).tolist() == [[3, 2], [6, 4]]
    counted = AveragePoolAttrs((2, 3), (2, 2), (1, 1), (1, 0, 1, 1), count_include_pad=True)
    assert counted.divisors((3, 4)).tolist() == [[6, 6], [6, 6]]
    beyond = AveragePoolAttrs((2, 3), (2, 2), (1, 1), (1, 0, 1, 1), count_include_pad=True, beyond=(0, 1))
    assert beyond.divisors((3, 4)).tolist() == [[6, 4], [6, 4]]
