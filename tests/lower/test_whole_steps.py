"""Steps that add a whole number of accumulators: the record has the float function's ties, and the proof covers all of it."""

import numpy as np
import pytest

from hwcomp.lower import bounds, thresholds
from hwcomp.ops import _steps
from hwcomp.types import QType

F = np.float32


def function(unit, bias, scale, *, bits=6, signed=False, zero=0, rounding="ROUND", relu=True):
    last = _steps.Quantizer(QType(bits, signed, "affine", (scale,), zero), rounding)
    steps = (_steps.Sum(), *([_steps.Limit(0.0, None)] if relu else []), last)
    return thresholds.Function(np.asarray(unit, np.float64), steps, [F(bias)], last.qtype)


def every(f, reach, found):
    rq, proof, bias = found
    lo, hi = int(reach.final_lo.min()), int(reach.final_hi.max())
    a = np.arange(lo, hi + 1)[None].repeat(len(bias), 0)
    np.testing.assert_array_equal(rq.apply(a + bias[:, None]), f(a))
    assert proof.differing == 0
    assert proof.accumulators == a.size
    return rq


def reach(channels, lo=-3000, hi=3000):
    return bounds.Bounds(np.full(channels, lo), np.full(channels, hi), lo, hi)


@pytest.mark.parametrize("zero", [0, 1, 4, 31])
@pytest.mark.parametrize("relu", [True, False])
def test_ties_go_to_even_as_in_the_model(zero, relu):
    """Steps of 2^-11 and 2^-10, a bias of whole ones, results in 2^-6: every 32nd or 16th accumulator is a tie. With an odd
    zero point, added before the rounding, it is the odd one of two that is even."""
    f = function([2**-11, 2**-10], [5 * 2**-5, -3 * 2**-10], 2**-6, zero=zero, relu=relu)
    found = thresholds._whole(f, reach(2), "y", 31)
    rq = every(f, reach(2), found)
    assert rq.form == "rne"
    ties = np.arange(-3000, 3000, 32) + 16 - found[2][0]
    assert len(np.unique((f(ties[None].repeat(2, 0))[0] - zero) % 2)) == 2 or zero % 2 == 0


def test_an_affine_form_would_be_wrong_at_ties():
    f = function([2**-11], [0.0], 2**-6)
    _, proof = thresholds._affine(f, reach(1), "y", 31)
    assert proof.differing
    every(f, reach(1), thresholds._whole(f, reach(1), "y", 31))


@pytest.mark.parametrize("changes", [
    {"bias": [2**-11 / 3]}, {"rounding": "FLOOR"}, {"bits": 3}, {"unit": [0.0]},
])  # fmt: skip
def test_others_have_no_such_record(changes):
    """Part of an accumulator; another rounding; outputs that get thresholds; no slope."""
    f = function(**{"unit": [2**-11], "bias": [0.0], "scale": 2**-6, **changes})
    found = thresholds._whole(f, reach(1), "y", 31)
    assert found is None


def test_sums_themselves_are_exact():
    """The outputs of the last layer, in steps of the accumulator; channels of twice its step too."""
    steps = (_steps.Sum(),)
    f = thresholds.Function(np.array([0.25, 0.5]), steps, [F([1.25, -7])], QType(16, True, "affine", (0.25,)))
    rq, proof, bias = thresholds._whole(f, reach(2, -900, 900), "y", 31)
    assert (rq.multiplier.tolist(), rq.shift, bias.tolist(), proof.differing) == ([1, 2], 0, [5, -14], 0)
