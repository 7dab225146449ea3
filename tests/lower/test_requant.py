"""Requantize constants: the limits of the numeric contract, and the affine form only where it is the same function."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwcomp.lower import requant
from sw_ref import numerics as nm
from tests.sw_ref import exact


def trailing_zeros(values):
    return min((int(v) & -int(v)).bit_length() - 1 for v in values if v)


@st.composite
def scales(draw, least=-40, most=40, channels=4):
    """float32 scales of a layer: any mantissa, exponents within 2^16 of each other, some channels zero."""
    top = draw(st.integers(least, most))
    found = []
    for _ in range(draw(st.integers(1, channels))):
        mantissa = draw(st.one_of(st.just(1 << 23), st.integers(1 << 23, (1 << 24) - 1)))
        found.append(float(mantissa) * 2.0 ** (top - 23 - draw(st.integers(0, 16))))
    if draw(st.integers(0, 3)) == 0:
        found[draw(st.integers(0, len(found) - 1))] = 0.0
    return np.array(found, np.float32)


@st.composite
def jobs(draw, least=-40, most=40, widest=53):
    """Arguments of `choose`: scales, an accumulator range inside a signed width, a type and limits inside it."""
    bits = draw(st.integers(1, widest))
    top = 1 << (bits - 1)
    lo, hi = (
        -draw(st.one_of(st.just(top), st.integers(0, top))),
        draw(st.one_of(st.just(top - 1), st.integers(0, top - 1))),
    )
    signed = draw(st.booleans())
    n = draw(st.sampled_from([1, 4, 8, 8, 8, 16]))
    least_q, most_q = (-(1 << (n - 1)), (1 << (n - 1)) - 1) if signed else (0, (1 << n) - 1)
    zero = draw(st.integers(least_q, most_q))
    ends = sorted([draw(st.integers(least_q, most_q)), draw(st.integers(least_q, most_q))])
    profile = draw(st.sampled_from([31, 31, 24, 16, 8]))
    return draw(scales(least, most)), lo, hi, bits, zero, *ends, profile


@settings(max_examples=600)
@given(jobs())
def test_limits_of_the_contract(job):
    scale, lo, hi, _, zero, q_lo, q_hi, profile = job
    rq = requant.choose(*job)
    m = [int(v) for v in rq.multiplier]
    assert len(m) == len(scale)
    assert 0 <= rq.shift <= 62
    assert all(0 <= v < 1 << 31 for v in m)
    assert max(v.bit_length() for v in m) <= profile
    assert all(v == 0 for v, s in zip(m, scale, strict=True) if s == 0)
    assert (rq.zero, rq.lo, rq.hi) == (zero, q_lo, q_hi)
    assert rq.form in ("rne", "affine")
    reach = max(abs(lo), abs(hi)) * max(m)
    if rq.form == "affine":
        assert reach + abs(int(rq.offset[0])) < 1 << 63
        assert rq.offset.tolist() == [((1 << rq.shift) >> 1) + (zero << rq.shift)]
    else:
        assert rq.offset is None
        assert reach + (1 << rq.shift >> 1) < 1 << 63
    if rq.shift and any(m):
        assert trailing_zeros(m) == 0  # no common factor of two is left


@settings(max_examples=600)
@given(jobs(least=-40, most=-1))
def test_multiplier_is_the_nearest_of_its_width(job):
    """M/2^s is within half a step of S_c, the step being 2^e / 2^bits; a whole one where S rounds up to 2^bits."""
    scale, acc_bits, profile = job[0], job[3], job[7]
    rq = requant.choose(*job)
    exponent = int(np.frexp(float(scale.max()))[1]) if scale.max() > 0 else 0
    bits = min(31, 63 - acc_bits, profile, 62 + exponent)
    step = exact.Fraction(2) ** (exponent - bits)
    exact_scales = [exact.Fraction(float(s)) for s in scale]
    room = step if exact.nearest_even(max(exact_scales) / step) >> bits else step / 2
    for m, s in zip(rq.multiplier, exact_scales, strict=True):
        error = abs(exact.Fraction(int(m), 1 << rq.shift) - s)
        assert error <= room
        if (s / step).denominator == 1 and room < step:
            assert error == 0


@settings(max_examples=400)
@given(jobs(least=-12, most=3, widest=12))
def test_affine_only_where_it_is_the_same_function(job):
    """Brute force over every accumulator: what was chosen equals the rounding of a*M/2^s to even."""
    _, lo, hi, _, zero, q_lo, q_hi, _ = job
    rq = requant.choose(*job)
    a = np.arange(lo, hi + 1)
    have = rq.apply(np.broadcast_to(a, (len(rq.multiplier), len(a))))
    want = nm.requantize_rne(a, rq.multiplier[:, None], rq.shift, zero, q_lo, q_hi)
    assert have.tolist() == want.tolist()


@settings(max_examples=400)
@given(jobs(least=-12, most=3, widest=10))
def test_rne_only_where_a_tie_can_be_reached(job):
    """The cheaper form is taken whenever no accumulator is a tie: only then is rne needed."""
    _, lo, hi = job[:3]
    rq = requant.choose(*job)
    if rq.form == "rne":
        reach = max(abs(lo), abs(hi))
        half = 1 << rq.shift >> 1
        assert any((a * int(m)) % (1 << rq.shift) == half for m in rq.multiplier for a in range(-reach, reach + 1))


def choose(scale, lo=-1000, hi=1000, bits=11, zero=0, ends=(-128, 127), profile=31):
    return requant.choose(np.array(scale, np.float32), lo, hi, bits, zero, *ends, profile)


@pytest.mark.parametrize(
    ("scale", "shift", "multiplier"), [(1.0, 0, 1), (0.5, 1, 1), (2.0**-20, 20, 1), (4.0, 0, 4), (0.75, 2, 3)]
)
def test_powers_of_two_end_as_a_shift(scale, shift, multiplier):
    rq = choose([scale])
    assert (rq.shift, rq.multiplier.tolist()) == (shift, [multiplier])


def test_half_has_ties_and_so_stays_rne():
    assert choose([0.5]).form == "rne"
    assert choose([1.0]).form == "affine"
    assert choose([0.3], lo=-100, hi=100, bits=8).form == "affine"  # a tie would need an accumulator of 2^30


def test_a_tie_just_out_of_reach_allows_affine():
    assert choose([2.0**-9], lo=-255, hi=255, bits=9).form == "affine"  # the first tie is at 256
    assert choose([2.0**-9], lo=-256, hi=255, bits=9).form == "rne"


def test_all_channels_zero():
    rq = choose([0.0, 0.0], zero=5)
    assert rq.multiplier.tolist() == [0, 0]
    assert set(rq.apply(np.array([[-1000, 0, 1000]] * 2)).ravel().tolist()) == {5}


@pytest.mark.parametrize("power", [-149, -126, -100, -62, -40])
def test_tiny_scales_give_the_zero_point(power):
    rq = choose([2.0**power, 0.0], lo=-(1 << 20), hi=1 << 20, bits=22, zero=-3)
    assert set(rq.apply(np.array([[-(1 << 20), -1, 0, 1, 1 << 20]] * 2)).ravel().tolist()) == {-3}


@pytest.mark.parametrize("power", [20, 31, 40, 64, 100, 127])
def test_huge_scales_saturate(power):
    """S = 2^40: every accumulator but 0 is beyond the type. The product must not leave int64 on the way."""
    rq = choose([2.0**power, 1.0], lo=-(1 << 29), hi=1 << 29, bits=31)
    have = rq.apply(np.array([[-(1 << 29), -1, 0, 1, 1 << 29], [-200, -1, 0, 1, 1 << 29]]))
    assert have.tolist() == [[-128, -128, 0, 127, 127], [-128, -1, 0, 1, 127]]
    assert all(0 <= m < 1 << 31 for m in rq.multiplier.tolist())


@pytest.mark.parametrize("profile", [8, 12, 16, 24, 31])
@pytest.mark.parametrize("scale", [np.float32(1) - np.float32(2**-24), 0.99999, 1 / 3, 2.0**-7 - 2.0**-31])
def test_profile_is_kept_when_the_mantissa_rounds_up(profile, scale):
    rq = choose([scale, scale / 3], profile=profile)
    assert max(int(m).bit_length() for m in rq.multiplier) <= profile


# --- choose_affine ----------------------------------------------------------------------------------------------------


@st.composite
def affine_jobs(draw):
    channels, bits = draw(st.integers(1, 4)), draw(st.sampled_from([8, 8, 12, 16]))
    power = draw(st.integers(-12, 8))
    numbers = st.floats(-1, 1, width=32)
    gain = np.array([draw(numbers) for _ in range(channels)], np.float64) * 2.0**power
    offset = np.array([draw(numbers) for _ in range(channels)], np.float64) * 2.0 ** draw(st.integers(-2, 12))
    lo = -(1 << (bits - 1))
    return gain, offset, lo, -lo - 1


@settings(max_examples=300)
@given(affine_jobs())
def test_choose_affine_is_the_rounded_function(job):
    """Exact over all inputs: equal to floor(gain*x + offset + 1/2) unless that is within 2^-20 of a step's edge."""
    gain, offset, lo, hi = job
    rq = requant.choose_affine(gain, offset, lo, hi, -(1 << 15), (1 << 15) - 1)
    xs = sorted({lo, lo + 1, -1, 0, 1, hi - 1, hi, *np.linspace(lo, hi, 41, dtype=int).tolist()})
    have = rq.apply(np.array([xs] * len(gain)))
    near = exact.Fraction(1, 1 << 20)
    for c, g in enumerate(gain):
        for i, x in enumerate(xs):
            real = exact.Fraction(g) * x + exact.Fraction(offset[c]) + exact.Fraction(1, 2)
            either = {exact.clamp(exact.floor(real + d), -(1 << 15), (1 << 15) - 1) for d in (-near, 0, near)}
            assert int(have[c, i]) in either
            assert int(have[c, i]) == exact.affine(x, int(rq.multiplier[c]), int(rq.offset[c]), rq.shift, rq.lo, rq.hi)


@settings(max_examples=300)
@given(affine_jobs(), st.integers(0, 120))
def test_choose_affine_stays_inside_64_bits(job, power):
    gain, offset, lo, hi = job
    gain = gain * 2.0**power
    rq = requant.choose_affine(gain, offset, lo, hi, -128, 127)
    for m, c in zip(rq.multiplier.tolist(), rq.offset.tolist(), strict=True):
        assert max(abs(lo), abs(hi)) * abs(m) + abs(c) < 1 << 63
    assert 0 <= rq.shift <= 62


@pytest.mark.parametrize("gain", [2.0**40, 2.0**70, 2.0**110, -(2.0**80)])
def test_a_huge_gain_saturates(gain):
    rq = requant.choose_affine(np.array([gain]), np.array([0.0]), -128, 127, -128, 127)
    ends = [-128, -128, 0, 127, 127] if gain > 0 else [127, 127, 0, -128, -128]
    assert rq.apply(np.array([[-128, -1, 0, 1, 127]])).tolist() == [ends]


def test_a_huge_offset_saturates():
    rq = requant.choose_affine(np.array([0.5, 0.5]), np.array([1e30, -1e30]), -128, 127, -128, 127)
    assert rq.apply(np.array([[-128, 0, 127]] * 2)).tolist() == [[127] * 3, [-128] * 3]


def test_gain_zero_is_a_constant():
    rq = requant.choose_affine(np.zeros(2), np.array([3.25, -7.75]), -128, 127, -128, 127)
    assert rq.apply(np.array([[-128, 0, 127]] * 2)).tolist() == [[3] * 3, [-8] * 3]


@given(scales())
def test_equal_scales_give_equal_constants(scale):
    """Same options, same bits: nothing but the arguments decides."""
    assume(scale.max() > 0)
    a, b = (requant.choose(scale.copy(), -999, 999, 11, 1, -8, 7, 31) for _ in range(2))
    assert (a.form, a.shift, a.multiplier.tolist()) == (b.form, b.shift, b.multiplier.tolist())
