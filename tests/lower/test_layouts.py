"""Layouts through transposes: the elements stay where they are, only their names change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.lower.layouts import transposed, usual
from sw_ref.program import Layout


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
