"""Accumulator bounds against brute force: every input, every subset of the terms, the bias in or out."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwcomp.lower import bounds


def test_signed_bits_is_the_width_of_a_range():
    for lo, hi in product(range(-70, 40), range(-40, 70)):
        if lo <= hi:
            want = next(n for n in range(1, 10) if -(1 << (n - 1)) <= lo and hi <= (1 << (n - 1)) - 1)
            assert bounds.signed_bits(lo, hi) == want


@st.composite
def dots(draw):
    channels, terms = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    weight = [[draw(st.integers(-3, 3)) for _ in range(terms)] for _ in range(channels)]
    bias = [draw(st.integers(-6, 6)) for _ in range(channels)]
    lo = draw(st.integers(-3, 2))
    return np.array(weight), np.array(bias), lo, draw(st.integers(lo, lo + 3))


@settings(max_examples=200)
@given(dots())
def test_equals_brute_force(dot):
    """The finished sums reach exactly their bounds; partial sums, in any order (so any subset), theirs."""
    weight, bias, x_lo, x_hi = dot
    have = bounds.of_dot(weight, bias, x_lo, x_hi)
    finished, partial = [], set()
    for row, b in zip(weight.tolist(), bias.tolist(), strict=True):
        sums = set()
        for x in product(range(x_lo, x_hi + 1), repeat=len(row)):
            terms = [w * v for w, v in zip(row, x, strict=True)]
            sums.add(b + sum(terms))
            for chosen in product((0, 1), repeat=len(terms) + 1):
                partial.add(sum(t for t, c in zip([b, *terms], chosen, strict=True) if c))
        finished.append((min(sums), max(sums)))
    assert list(zip(have.final_lo.tolist(), have.final_hi.tolist(), strict=True)) == finished
    assert (have.part_lo, have.part_hi) == (min(partial), max(partial))
    assert have.bits == bounds.signed_bits(min(partial), max(partial))


@pytest.mark.parametrize(("shape", "x_lo", "x_hi", "bits"), [((1, 800), -128, 127, 25), ((4, 3, 5, 5), 0, 255, 23)])
def test_extreme_weights(shape, x_lo, x_hi, bits):
    weight = np.full(shape, 127, np.int8)
    have = bounds.of_dot(weight, np.zeros(shape[0], np.int64), x_lo, x_hi)
    terms = int(np.prod(shape[1:]))
    assert have.final_hi.tolist() == [127 * terms * x_hi] * shape[0]
    assert have.final_lo.tolist() == [127 * terms * x_lo] * shape[0]
    assert have.bits == bits


def test_a_bias_alone_counts():
    have = bounds.of_dot(np.array([[-1]]), np.array([1000]), 0, 255)
    assert (have.part_lo, have.part_hi) == (-255, 1000)
    assert (have.final_lo.tolist(), have.final_hi.tolist()) == ([745], [1000])
