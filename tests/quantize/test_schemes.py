"""Scales and zero points: the range is covered, zero is exact, and dead channels stay harmless."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwcomp.errors import HwcompError
from hwcomp.quantize.schemes import affine_type, weight_scales
from hwcomp.types import QType

finite = st.floats(-1e30, 1e30)


@settings(max_examples=400)
@given(finite, finite, st.sampled_from([4, 8, 12, 16]))
def test_affine_type_covers_the_range_and_holds_zero(a, b, bits):
    lo, hi = min(a, b), max(a, b)
    q = affine_type(lo, hi, bits)
    assert (q.bits, q.signed, q.scheme, len(q.scale)) == (bits, True, "affine", 1)
    scale = q.scale[0]
    assert float(np.float32(scale)) == scale
    assert q.lo <= q.zero <= q.hi
    if hi > lo and max(hi, 0) - min(lo, 0) > 1e-30:
        assert (q.lo - q.zero) * scale <= min(lo, 0) + 0.5001 * scale
        assert (q.hi - q.zero) * scale >= max(hi, 0) - 0.5001 * scale


@pytest.mark.parametrize(("lo", "hi", "zero", "scale"), [
    (0.0, 255.0, -128, 1.0), (-128.0, 127.0, 0, 1.0), (-255.0, 0.0, 127, 1.0), (0.0, 0.0, 0, 1.0), (3.0, 3.0, -128, 3 / 255),
    (0.0, 1e-45, 0, 1.0), (-1.0, 1.0, 0, 2 / 255), (10.0, 20.0, -128, 20 / 255),
])  # fmt: skip
def test_affine_type_of_known_ranges(lo, hi, zero, scale):
    q = affine_type(lo, hi, 8)
    assert q.scale[0] == float(np.float32(scale))
    assert q.zero in ((zero, zero - 1) if (lo, hi) == (-1.0, 1.0) else (zero,))


def test_half_goes_to_even_for_the_zero_point():
    """A scale of exactly 1: qmin + 127.5 = -0.5, to even 0."""
    assert affine_type(-127.5, 127.5, 8).zero == 0


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=6), st.floats(1e-6, 1e3))
def test_weight_scales_keep_weights_and_biases_in_their_types(channels, sx):
    weights, biases = (np.array(v) for v in zip(*channels, strict=True))
    scales = weight_scales(weights, biases, sx, limit=127)
    assert scales.dtype == np.float32
    assert (scales > 0).all()
    exact = scales.astype(np.float64)
    assert (np.rint(weights / exact) <= 127).all()
    assert (np.rint(biases / (sx * exact)) < 2**31).all()
    assert exact.min() >= (weights.max() / 127) * 2.0**-16 * (1 - 1e-6)


def test_a_tiny_channel_with_a_large_bias_gets_the_scale_of_its_bias():
    """max|w| = 1e-30 and bias 0.5 beside an ordinary channel, as real networks have."""
    scales = weight_scales(np.array([1e-30, 1.0]), np.array([0.5, 0.0]), 1 / 255, 127)
    assert scales[0] == np.float32(1 / 127 * 2.0**-16)
    assert scales[1] == np.float32(1 / 127)


def test_a_layer_of_zeros_has_scales():
    assert weight_scales(np.zeros(3), np.zeros(3), 0.1, 127).tolist() == [1.0, 1.0, 1.0]


# --- QType ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [
    {"bits": 0}, {"bits": 65}, {"scale": ()}, {"scale": (1.0, 2.0)}, {"scale": (0.0,)}, {"scale": (-1.0,)},
    {"scale": (float("nan"),)}, {"scale": (float("inf"),)},
])  # fmt: skip
def test_impossible_types_are_refused(changes):
    plain = {"bits": 8, "signed": True, "scheme": "affine", "scale": (1.0,)}
    QType(**plain)
    with pytest.raises(HwcompError):
        QType(**{**plain, **changes})


@pytest.mark.parametrize(
    ("bits", "signed", "lo", "hi"),
    [(1, False, 0, 1), (8, True, -128, 127), (8, False, 0, 255), (24, True, -(1 << 23), (1 << 23) - 1)],
)
def test_ends_of_the_type(bits, signed, lo, hi):
    q = QType(bits, signed, "affine", (0.5,))
    assert (q.lo, q.hi) == (lo, hi)


def test_quantize_is_rint_then_zero_then_clip():
    q = QType(8, True, "affine", (0.5,), 3)
    assert [q.quantize(x) for x in (0.0, 0.25, 0.75, -0.25, 1e9, -1e9, 61.9, 62.1)] == [3, 3, 5, 3, 127, -128, 127, 127]
