"""L0: the rounded division, the table look-up and Softmax against exact rationals, one element at a time."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sw_ref import numerics as nm
from tests.sw_ref import exact


def test_divide_rne_on_every_small_pair():
    n, d = np.arange(300)[:, None], np.arange(1, 80)[None, :]
    want = [[exact.nearest_even(Fraction(a, b)) for b in range(1, 80)] for a in range(300)]
    assert nm.divide_rne(n, d).tolist() == want


@given(st.integers(0, (1 << 62) - 1), st.integers(1, (1 << 61) - 1))
def test_divide_rne_equals_the_rational(n, d):
    assert int(nm.divide_rne(n, d)) == exact.nearest_even(Fraction(n, d))


@given(st.integers(0, 1 << 20), st.integers(1, 1 << 20))
def test_divide_rne_sends_ties_to_even(q, half):
    assert int(nm.divide_rne((2 * q + 1) * half, 2 * half)) == q + q % 2


def test_exp_lookup_is_zero_beyond_the_table():
    assert nm.exp_lookup([0, 1, 2, 3, 900], [8, 5, 1], None, 0, 3).tolist() == [8, 5, 1, 0, 0]
    assert nm.exp_lookup([0, 3, 4, 7, 8, 99], [8, 4], [8, 7, 6, 5], 2, 3).tolist() == [8, 5, 4, 2, 0, 0]


@pytest.mark.parametrize("split", [0, 3])
@given(data=st.data())
def test_softmax_equals_the_rational(split, data):
    draw = data.draw
    bits, fraction = draw(st.integers(1, 24)), draw(st.integers(0, 16))
    entry = st.integers(0, 1 << bits)
    coarse = [1 << bits, *draw(st.lists(entry, max_size=6))]
    fine = [1 << bits, *draw(st.lists(entry, min_size=7, max_size=7))]
    rows = draw(st.lists(st.lists(st.integers(-40, 40), min_size=5, max_size=5), min_size=1, max_size=3))
    zero = draw(st.integers(-128, 5))
    lo, hi = sorted(draw(st.lists(st.integers(-128, 1 << fraction), min_size=2, max_size=2)))
    want = [exact.softmax(row, coarse, fine, split, bits, fraction, zero, lo, hi) for row in rows]
    got = nm.softmax(np.array(rows), (1,), coarse, fine, split, bits, fraction, zero, lo, hi)
    assert got.tolist() == want


def test_softmax_takes_several_axes_together():
    x = np.arange(12).reshape(1, 2, 3, 2)
    table = [round(2**20 * math.exp(-0.2 * d)) for d in range(12)]
    args = (table, None, 0, 20, 8, 0, 0, 256)
    whole = nm.softmax(x, (1, 2, 3), *args)
    assert whole.ravel().tolist() == nm.softmax(x.reshape(1, 12), (1,), *args).ravel().tolist()
    assert 250 <= whole.sum() <= 262
    assert nm.softmax(x, (2,), *args).sum(axis=2).min() >= 255
