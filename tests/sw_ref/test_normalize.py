"""L0: integer roots, their inverses and normalized rows against exact integers and rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sw_ref import numerics as nm

MOST = (1 << 62) - 1


@given(st.integers(0, MOST))
def test_floor_root_is_that_of_the_integers(d):
    assert int(nm.floor_root(d)) == math.isqrt(d)


def test_floor_root_of_all_small_numbers_and_around_squares():
    small = np.arange(1 << 16)
    assert nm.floor_root(small).tolist() == [math.isqrt(v) for v in small.tolist()]
    around = [n * n + e for n in (1 << 15, 46341, (1 << 31) - 1, 123456789) for e in (-1, 0, 1)]
    assert nm.floor_root(around).tolist() == [math.isqrt(v) for v in around]


def error_of(d: int) -> Fraction:
    """|r / 2^(61-k) / (1/sqrt(d)) - 1|, bounded from above by the squares."""
    r, k = (int(v) for v in nm.inverse_root(d))
    square = Fraction(r * r * d, 1 << (2 * (61 - k)))  # of r sqrt(d) / 2^(61-k)
    return abs(square - 1) / 2  # |q - 1| = |q^2 - 1| / (q + 1), to first order; q is within 2^-29 of 1


@given(st.integers(1, MOST))
def test_inverse_root_is_within_its_bound(d):
    r, k = (int(v) for v in nm.inverse_root(d))
    assert 1 << 60 <= d << (2 * k) < 1 << 62
    assert 1 << 30 <= r <= 1 << 31
    assert error_of(d) <= Fraction(1, 1 << 30) * Fraction(1001, 1000)


@pytest.mark.parametrize("d", [1, 2, 3, 4, MOST, 1 << 60, (1 << 60) - 1, (1 << 60) + 1, 1 << 61])
def test_inverse_root_at_the_ends(d):
    assert error_of(d) <= Fraction(1, 1 << 30) * Fraction(1001, 1000)


@given(st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=40), st.integers(1, 1 << 30))
def test_normalized_rows_are_within_a_step(row, epsilon):
    """Half a step of 2^-22, and 2^-30 of a value of at most 1."""
    fraction, bits, n = 10, 22, len(row)
    got = nm.normalize(np.array([row]), epsilon, fraction, bits)[0]
    distances = [n * v - sum(row) for v in row]
    total = (sum(d * d for d in distances) << fraction) + epsilon
    for d, u in zip(distances, got.tolist(), strict=True):
        real = d / math.sqrt(total / 2**fraction) * 2**bits
        assert abs(u - real) <= 0.5 + 2**-8 + 1e-6


def test_a_row_of_equal_values_is_zero():
    assert nm.normalize(np.full((2, 5), 77), 1, 20, 22).tolist() == [[0] * 5] * 2


@pytest.mark.parametrize(("bits", "dtype"), [(10, np.float32), (40, np.float64), (60, np.int64)])
def test_products_of_matrices_are_exact(bits, dtype):
    rng = np.random.default_rng(bits)
    a, b = rng.integers(-99, 99, (2, 3, 4, 5)), rng.integers(-99, 99, (2, 3, 5, 6))
    assert nm.exact_dtype(bits) is dtype
    want = np.einsum("...mk,...kn->...mn", a - 7, b + 3) if bits > 10 else np.einsum("...mk,...kn->...mn", a % 2, b % 2)
    got = (
        nm.matmul_accumulate(a, 7, b, -3, acc_bits=bits)
        if bits > 10
        else nm.matmul_accumulate(a % 2, 0, b % 2, 0, acc_bits=bits)
    )
    assert (got == want).all()
