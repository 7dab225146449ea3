"""The search for multipliers and offsets whose staircase is the float formula's."""

import numpy as np
import pytest

from hwcomp.lower import requant, search, staircase


def layer(seed, channels=40, zero=13, bits=31):
    """A record as `choose` makes it, the formula of the same scales, and ranges of accumulators."""
    rng = np.random.default_rng(seed)
    scale = (2.0 ** rng.uniform(-11, -8, channels)).astype(np.float32)
    reach = rng.integers(40_000, 130_000, channels)
    lo, hi = -reach, reach + 5
    rq = requant.choose(scale, int(lo.min()), int(hi.max()), 20, zero, -128, 127, bits)
    return rq, scale, lo.astype(np.int64), hi.astype(np.int64)


def differing(rq, formula, lo, hi):
    """By trying every accumulator."""
    every = np.arange(lo.min(), hi.max() + 1)
    rows = np.broadcast_to(every, (len(lo), every.size))
    inside = (rows >= lo[:, None]) & (rows <= hi[:, None])
    return int(((rq.apply(rows) != formula(rows)) & inside).sum())


@pytest.mark.parametrize("seed", range(4))
def test_fewer_accumulators_differ(seed):
    rq, scale, lo, hi = layer(seed)
    formula = staircase.float_formula(scale, rq.zero, rq.lo, rq.hi)
    before = differing(rq, formula, lo, hi)
    found = search.refine(rq, formula, lo, hi, np.zeros(len(lo)), 62)
    after = differing(found, formula, lo, hi)
    assert before > 0
    assert after < before
    assert staircase.compare(found, formula, lo, hi)[0] == after
    runs = staircase.where(found, formula, lo, hi)
    assert sum(last - first + 1 for _, first, last in runs) == after
    for channel, first, last in runs:
        for a in (first, last):
            column = np.full((len(lo), 1), a)
            assert found.apply(column)[channel] != formula(column)[channel]


def test_what_is_equal_already_stays():
    rq, _, lo, hi = layer(0)
    formula = rq.apply
    assert search.refine(rq, formula, lo, hi, np.zeros(len(lo)), 62) is rq


@pytest.mark.parametrize("seed", range(3))
def test_fractions_of_biases_go_into_the_offsets(seed):
    rq, scale, lo, hi = layer(seed)
    fraction = np.random.default_rng(seed).uniform(-0.5, 0.5, len(lo))
    formula = staircase.float_formula(scale, rq.zero, rq.lo, rq.hi, fraction)
    assert differing(rq, formula, lo, hi) > 100
    found = search.refine(rq, formula, lo, hi, fraction, 62)
    assert found.form == "affine"
    assert found.offset.size == len(lo)
    assert differing(found, formula, lo, hi) == 0


def test_products_fit_64_bits():
    """Scales so large or so small that shifted levels would not: the record stays."""
    for scale in (np.float32([1e-12, 3e-12]), np.float32([1e9, 2e9])):
        rq = requant.choose(scale, -(1 << 40), 1 << 40, 42, 0, -128, 127)
        ends = np.array([-(1 << 40)] * 2), np.array([1 << 40] * 2)
        formula = staircase.float_formula(scale, 0, -128, 127)
        found = search.refine(rq, formula, *ends, np.zeros(2), 62)
        most = (1 << 40) * int(found.multiplier.max()) + int(
            np.abs(found.offset).max() if found.offset is not None else 0
        )
        assert most < 1 << 63
