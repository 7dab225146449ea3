"""Layouts through transposes: the elements stay where they are, only their names change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.lower.build import lower
from hwcomp.lower.layouts import transposed, usual
from sw_ref.program import Layout
from tests.models import model, quantized, values


def carried(layout, shape):
    """The elements of arange(n).reshape(shape) in the order in which the layout carries them."""
    return np.arange(layout.size).reshape(shape).ravel()[layout.order()]


@st.composite
def cases(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    perm = tuple(draw(st.permutations(range(len(shape)))))
    dims = draw(st.sampled_from([shape, (int(np.prod(shape)),)]))
    layout = Layout(dims, tuple(draw(st.permutations(range(len(dims))))))
    return layout, shape, perm


@given(cases())
def test_a_transpose_moves_nothing(case):
    layout, shape, perm = case
    y = transposed(layout, shape, perm)
    x = np.arange(layout.size).reshape(shape)
    assert x.transpose(perm).ravel()[y.order()].tolist() == carried(layout, shape).tolist()


@given(cases())
def test_the_inverse_transpose_undoes_it(case):
    layout, shape, perm = case
    back = tuple(perm.index(axis) for axis in range(len(perm)))
    y_shape = tuple(shape[axis] for axis in perm)
    assert transposed(transposed(layout, shape, perm), y_shape, back) == layout


def test_a_map_that_was_flattened_and_cut_in_other_places_has_no_layout():
    assert transposed(Layout.channels_last((2, 3, 5)), (5, 6), (1, 0)) is None
    assert transposed(Layout.channels_last((2, 3, 5)), (2, 15), (1, 0)) == Layout.row_major((30,))


@pytest.mark.parametrize(("shape", "layout"), [((3, 4, 5), Layout((3, 20), (1, 0))), ((7,), Layout((7,), (0,)))])
def test_usual(shape, layout):
    assert usual(shape) == layout


def compiled_layouts(nodes, shape, constants):
    graph, _ = quantized(model(nodes, {"x": shape}, constants), passes={"calibrate": {"samples": 2}})
    program = lower(graph).program
    return program, [k.kind for k in program.kernels]


def test_a_flattened_map_comes_in_channels_last():
    nodes = [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {})]
    program, kinds = compiled_layouts(nodes, (1, 3, 4, 5), {"w": values("w", 60, 4)})
    assert program.edges["x"].layout == Layout.channels_last((3, 4, 5))
    assert kinds == ["reshape", "dense"]


def test_a_channels_last_input_is_not_copied():
    nodes = [("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "w"], ["y"], {})]
    program, kinds = compiled_layouts(nodes, (1, 4, 5, 3), {"w": values("w", 2, 3, 3, 3)})
    assert program.edges["x"].layout == Layout.row_major((4, 5, 3))
    assert kinds == ["transpose", "conv2d"]


def test_dense_layers_read_rows():
    program, kinds = compiled_layouts([("MatMul", ["x", "w"], ["y"], {})], (1, 2, 3, 4), {"w": values("w", 4, 5)})
    assert kinds == ["dense"]
    assert program.edges["x"].layout == Layout.row_major((24,))


def test_a_map_in_another_order_is_copied_once():
    """A Reshape between maps of other shapes: two convolutions read one copy."""
    nodes = [
        ("Reshape", ["x", "s"], ["r"], {}), ("Conv", ["r", "w"], ["a"], {}), ("Conv", ["r", "w"], ["b"], {}),
        ("Add", ["a", "b"], ["c"], {}), ("Conv", ["x", "v"], ["d"], {}), ("Flatten", ["d"], ["e"], {}),
        ("Flatten", ["c"], ["f"], {}), ("Concat", ["e", "f"], ["y"], {"axis": 1}),
    ]  # fmt: skip
    constants = {"s": np.array([1, 6, 2, 4]), "w": values("w", 2, 6, 1, 1), "v": values("v", 2, 3, 1, 1)}
    _, kinds = compiled_layouts(nodes, (1, 3, 4, 4), constants)
    assert kinds.count("reorder") == 3  # the reshaped map, and both flattened ones
