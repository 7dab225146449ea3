"""L0: every primitive of the numeric contract against exact rationals and plain Python integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sw_ref import numerics as nm
from tests.sw_ref import exact


def ints(bits):
    return st.integers(-(1 << bits), 1 << bits)


def test_rshift_rne_on_every_small_value():
    p = np.arange(-4096, 4097)
    for s in range(12):
        want = [exact.nearest_even(exact.Fraction(int(v), 2**s)) for v in p]
        assert nm.rshift_rne(p, s).tolist() == want


@pytest.mark.parametrize("s", [2, 7, 31, 60])
def test_rshift_rne_sends_ties_to_even(s):
    tie = 1 << (s - 1)
    for p, want in {tie: 0, 3 * tie: 2, -tie: 0, -3 * tie: -2, tie + 1: 1, -tie - 1: -1, tie - 1: 0}.items():
        assert int(nm.rshift_rne(p, s)) == want


@given(st.integers(-(1 << 62), (1 << 62) - 1), st.integers(0, 61))
def test_rshift_rne_equals_the_rational(p, s):
    assert int(nm.rshift_rne(p, s)) == exact.nearest_even(exact.Fraction(p, 2**s))


def test_rshift_rne_by_nothing_is_the_value():
    extremes = [-(1 << 62), -1, 0, 1, (1 << 62) - 1]
    assert nm.rshift_rne(extremes, 0).tolist() == extremes


def test_rshift_rne_keeps_its_argument():
    p = np.arange(-9, 9)
    nm.rshift_rne(p, 2)
    assert p.tolist() == list(range(-9, 9))


@st.composite
def limits(draw):
    return tuple(sorted(draw(st.lists(ints(31), min_size=2, max_size=2))))


@given(ints(40), st.integers(0, (1 << 21) - 1), st.integers(0, 60), ints(20), limits())
def test_requantize_rne_equals_the_rational(a, m, s, zero, ends):
    assert int(nm.requantize_rne(a, m, s, zero, *ends)) == exact.rne(a, m, s, zero, *ends)


@given(ints(31), ints(30), ints(61), st.integers(0, 62), limits())
def test_requantize_affine_equals_the_rational(a, m, c, s, ends):
    assert int(nm.requantize_affine(a, m, c, s, *ends)) == exact.affine(a, m, c, s, *ends)


def test_requantize_forms_on_every_small_value():
    a = np.arange(-300, 301)
    for m, s, zero, lo, hi in [
        (0, 0, 3, -8, 7),
        (1, 0, 0, -128, 127),
        (3, 2, -5, -128, 127),
        (13, 5, 9, 0, 31),
        (77, 3, 0, -1, 1),
    ]:
        assert nm.requantize_rne(a, m, s, zero, lo, hi).tolist() == [exact.rne(int(v), m, s, zero, lo, hi) for v in a]
        c = zero * 2**s + 2**s // 2 + 1
        assert nm.requantize_affine(a, m, c, s, lo, hi).tolist() == [exact.affine(int(v), m, c, s, lo, hi) for v in a]


def test_requantize_takes_constants_per_channel():
    a = np.arange(-12, 12).reshape(2, 3, 4)
    m, c = np.array([1, 5, 0]).reshape(3, 1), np.array([0, 7, -40]).reshape(3, 1)
    rne, affine = nm.requantize_rne(a, m, 2, 1, -3, 5), nm.requantize_affine(a, m, c, 2, -3, 5)
    for (n, ch, i), v in np.ndenumerate(a):
        assert rne[n, ch, i] == exact.rne(int(v), int(m[ch, 0]), 2, 1, -3, 5)
        assert affine[n, ch, i] == exact.affine(int(v), int(m[ch, 0]), int(c[ch, 0]), 2, -3, 5)


def test_requantize_rounds_before_the_zero_point():
    # 5/2 is a tie: to 2, then the odd zero point; rounding the sum 5/2 + 1 would give 4.
    assert int(nm.requantize_rne(5, 1, 1, 1, -128, 127)) == 3


@pytest.mark.parametrize(
    ("bits", "dtype"),
    [(2, np.float32), (25, np.float32), (26, np.float64), (54, np.float64), (55, np.int64), (64, np.int64)],
)
def test_exact_dtype_changes_at_the_limits(bits, dtype):
    assert nm.exact_dtype(bits) is dtype


@pytest.mark.parametrize("bits", [25, 54])
def test_exact_dtype_holds_every_integer_of_its_width(bits):
    dtype = nm.exact_dtype(bits)
    for v in (
        -(1 << (bits - 1)),
        -(1 << (bits - 1)) + 1,
        (1 << (bits - 1)) - 1,
        (1 << (bits - 1)) - 2,
        (1 << (bits - 2)) + 1,
    ):
        assert int(dtype(v)) == v
    assert int(dtype((1 << (bits - 1)) + 1)) != (1 << (bits - 1)) + 1  # one bit more would be too much


@pytest.mark.parametrize("bits", [24, 25, 26, 40, 53, 54, 55, 62])
def test_exact_matmul_at_the_limit_of_the_width(bits):
    """Sums that reach the last value of the width, the terms ordered so that partial sums reach both ends."""
    top = (1 << (bits - 1)) - 1
    x = np.array([[1, 1, 1, 1], [-1, -1, 0, 0], [1, 0, 1, 0]], np.int64)
    w = np.array([[top - 1, -top, 1, 0], [-top, top, 0, -1]], np.int64)
    want = [[sum(int(a) * int(b) for a, b in zip(row, col, strict=True)) for col in w] for row in x]
    assert nm.exact_matmul(x, w, bits).tolist() == want


@st.composite
def windows(draw, least_pad=0):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(least_pad, 2)] * 4))
    size = [
        draw(st.integers(max(1, (k - 1) * d + 1 - a - b), 7))
        for k, d, a, b in zip(kernel, dilations, pads[:2], pads[2:], strict=True)
    ]
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}, size


def draw_array(draw, shape, lo, hi):
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(lo, hi, shape, endpoint=True)


@settings(max_examples=150)
@given(st.data())
def test_conv2d_equals_the_naive_loop(data):
    where, size = data.draw(windows())
    groups, per_in, per_out = (data.draw(st.integers(1, 3)) for _ in range(3))
    pad_value, bits = data.draw(st.integers(-128, 255)), data.draw(st.sampled_from([25, 32, 54, 55]))
    x = draw_array(data.draw, (2, groups * per_in, *size), -128, 255)
    weight = draw_array(data.draw, (groups * per_out, per_in, *where["kernel"]), -127, 127)
    bias = draw_array(data.draw, (len(weight),), -(1 << 20), 1 << 20)
    kernel = where.pop("kernel")
    have = nm.conv2d_accumulate(x, weight, bias, **where, groups=groups, pad_value=pad_value, acc_bits=bits)
    assert have.dtype == np.int64
    for n in range(len(x)):
        want = exact.conv2d(x[n].tolist(), weight.tolist(), bias.tolist(), **where, groups=groups, pad_value=pad_value)
        assert len(want) == have[n].size
        assert {at: int(v) for at, v in np.ndenumerate(have[n])} == want
    assert kernel == weight.shape[2:]


@settings(max_examples=100)
@given(st.data())
def test_maxpool2d_equals_the_naive_loop(data):
    where, size = data.draw(windows())
    pad_value = data.draw(st.sampled_from([-128, 0]))
    x = draw_array(data.draw, (2, data.draw(st.integers(1, 3)), *size), pad_value, pad_value + 255)
    have = nm.maxpool2d(x, **where, pad_value=pad_value)
    for n in range(len(x)):
        want = exact.maxpool2d(x[n].tolist(), **where, pad_value=pad_value)
        assert {at: int(v) for at, v in np.ndenumerate(have[n])} == want


@given(st.data())
def test_dense_equals_the_naive_loop(data):
    lead = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2)))
    k, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    x, weight = draw_array(data.draw, (2, *lead, k), -255, 255), draw_array(data.draw, (m, k), -127, 127)
    bias = draw_array(data.draw, (m,), -(1 << 30), 1 << 30)
    have = nm.dense_accumulate(x, weight, bias, acc_bits=32)
    assert have.shape == (2, *lead, m)
    for at in np.ndindex(*have.shape[:-1]):
        for j in range(m):
            row = x[at].tolist()
            assert int(have[at][j]) == int(bias[j]) + sum(a * int(b) for a, b in zip(row, weight[j], strict=True))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_argmax_takes_the_first_of_equals(values):
    assert int(nm.argmax_first(np.array(values), 0)) == exact.argmax(values)


def test_argmax_along_every_axis():
    x = np.random.default_rng(3).integers(-2, 3, (2, 3, 4, 2))
    for axis in range(1, 4):
        have = nm.argmax_first(x, axis)
        assert have.dtype == np.int64
        for at, v in np.ndenumerate(have):
            line = np.moveaxis(x, axis, -1)[at].tolist()
            assert int(v) == exact.argmax(line)


def test_padding_is_the_given_value_on_the_right_sides():
    padded = nm.pad2d(np.ones((1, 1, 2, 2), np.int64), (1, 2, 3, 4), -7)
    assert padded.shape == (1, 1, 6, 8)
    assert padded[0, 0, 1:3, 2:4].tolist() == [[1, 1], [1, 1]]
    assert (padded == -7).sum() == padded.size - 4


@given(ints(23), ints(23), ints(23), ints(23))
def test_product_is_exact(a, za, b, zb):
    assert int(nm.product(a, za, b, zb)) == (a - za) * (b - zb)


def test_product_broadcasts():
    assert nm.product([[1, 2], [3, 4]], 1, [[5], [7]], 2).tolist() == [[0, 3], [10, 15]]


def test_look_up_takes_stored_values():
    x = np.array([[-2, 1], [0, -1]], np.int8)
    assert nm.look_up(x, np.array([7, 5, -9, 100], np.int8), -2).tolist() == [[7, 100], [-9, 5]]
    assert nm.look_up(np.array([3], np.uint8), np.arange(4) * 2**40, 0).tolist() == [3 * 2**40]
