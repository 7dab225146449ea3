"""Thresholds and affine records of steps: equal to the float function on every accumulator, tried one by one."""

import numpy as np
import pytest

from hwcomp.lower import bounds, thresholds
from hwcomp.ops import _steps
from hwcomp.types import Node, QType
from sw_ref import numerics as nm

F = np.float32
BIPOLAR = _steps.Quantizer(QType(1, True, "bipolar", (1.0,)))
NODE = Node("Dense", "layer", (), (), None, ("layer",))


def batchnorm(rng, channels):
    """Scales of both signs and a zero, as trained networks have them."""
    scale = rng.normal(size=channels) * rng.choice([0, 1, 1, 1, 20], channels)
    return [F(scale), F(rng.normal(size=channels)), F(rng.normal(size=channels) * 9), F(rng.uniform(0.1, 90, channels))]


def every(lo, hi):
    """int64 [channels, n]: all accumulators of each channel, the last one repeated."""
    width = int((hi - lo).max()) + 1
    return np.minimum(lo[:, None] + np.arange(width), hi[:, None])


def function(rng, channels, last, relu=False):
    steps = (_steps.BatchNorm(1e-5), *([_steps.Limit(0.0, None)] if relu else []), last)
    return thresholds.Function(rng.uniform(0.01, 2, channels), steps, batchnorm(rng, channels), last.qtype)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    ("bits", "signed", "narrow"), [(1, True, False), (2, True, True), (2, True, False), (3, False, False)]
)
def test_thresholds_equal_the_float_function(seed, bits, signed, narrow):
    rng = np.random.default_rng(seed)
    scheme = "bipolar" if bits == 1 else "affine"
    zero = 0 if signed else int(rng.integers(0, 4))
    last = _steps.Quantizer(QType(bits, signed, scheme, (float(F(rng.uniform(0.2, 2))),), zero, narrow=narrow))
    f = function(rng, 12, last, relu=not signed)
    lo = rng.integers(-300, 0, 12)
    hi = lo + rng.integers(0, 600, 12)
    have = thresholds.bisected(f, lo, hi)
    a = every(lo, hi)
    assert np.array_equal(have.apply(a), f(a))
    assert (np.diff(have.threshold, axis=1) >= 0).all()
    assert (have.threshold >= lo[:, None]).all()  # "always" is the least accumulator
    assert (have.threshold <= hi[:, None] + 1).all()  # "never" is one above the largest


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_falling_channel_of_binary_weights_is_turned(seed, binary):
    rng = np.random.default_rng(seed)
    f = function(rng, 12, BIPOLAR)
    lo, hi = np.full(12, -50), np.full(12, 50)
    rq = thresholds.bisected(f, lo, hi)
    turned, down = thresholds._turned(rq, binary)
    assert down.any() == (binary and rq.descending.any())
    assert turned.descending.any() == (not binary and bool(rq.descending.any()))
    a = every(lo, hi)
    assert np.array_equal(turned.apply(np.where(down[:, None], -a, a)), f(a))


@pytest.mark.parametrize("seed", range(20))
def test_the_affine_form_differs_where_its_proof_says(seed):
    rng = np.random.default_rng(seed)
    last = _steps.Quantizer(QType(6, True, "affine", (float(F(rng.uniform(0.2, 2))),)))
    f = function(rng, 8, last)
    reach = bounds.Bounds(np.full(8, -400), rng.integers(-300, 400, 8), -400, 400)
    rq, proof = thresholds._record(f, reach, NODE, "y", 31)
    a = every(reach.final_lo, reach.final_hi)
    inside = np.arange(a.shape[1]) <= (reach.final_hi - reach.final_lo)[:, None]
    away = np.abs(rq.apply(a) - f(a)) * inside
    assert (int((away > 0).sum()), int(away.max())) == (proof.differing, proof.worst)
    assert proof.worst <= 1
    assert np.abs(rq.multiplier).max() < 1 << 31


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "ROUND_TO_ZERO"])
def test_other_roundings_get_thresholds_at_any_width_up_to_8_bits(rounding):
    rng = np.random.default_rng(3)
    f = function(rng, 3, _steps.Quantizer(QType(6, True, "affine", (0.5,)), rounding))
    reach = bounds.Bounds(np.full(3, -200), np.full(3, 200), -200, 200)
    rq, proof = thresholds._record(f, reach, NODE, "y", 31)
    a = every(reach.final_lo, reach.final_hi)
    assert proof.form == "threshold"
    assert np.array_equal(rq.apply(a), f(a))


def test_a_moved_record_takes_shifted_accumulators():
    rng = np.random.default_rng(5)
    a = np.arange(-40, 41)[None].repeat(4, 0)
    f = function(rng, 4, BIPOLAR)
    rq = thresholds.bisected(f, a[:, 0], a[:, -1])
    assert np.array_equal(thresholds._moved(rq, 9).apply(a + 9), rq.apply(a))


def test_thresholds_are_what_numerics_counts():
    rq = thresholds.Thresholds(-1, 1, 2, np.array([[3]]), np.array([1]))
    assert rq.apply(np.array([[2, 3, 4]])).tolist() == [[1, -1, -1]]
    assert nm.requantize_threshold(np.array([2, 3]), [np.array([3])], np.array([1]), -1, 2).tolist() == [1, -1]
