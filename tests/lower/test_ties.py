"""Pairs of inputs that the proof of a sum names: all that float32 arithmetic rounds otherwise, in whatever order, and few more."""

from types import SimpleNamespace

import numpy as np
import pytest

from hwcomp.lower.joins import _next_to_a_tie

F = np.float32


def float_sums(a, b, za, zb, zc, ra, rb):
    """The orders in which float32 sums are computed: as onnxruntime's kernels do, and as the formula is written."""
    a, b, za, zb, zc, ra, rb = (F(v) for v in (a, b, za, zb, zc, ra, rb))
    fixed = zc - (ra * za + rb * zb)
    yield np.rint(a * ra + (b * rb + fixed))
    yield np.rint(b * rb + (a * ra + fixed))
    yield np.rint((a - za) * ra + (b - zb) * rb) + zc
    yield np.rint((a - za) * ra + (b - zb) * rb + zc)


@pytest.mark.parametrize("seed", range(12))
def test_all_that_float32_rounds_otherwise(seed):
    rng = np.random.default_rng(seed)
    ra, rb = (F(v) for v in rng.uniform(0.05, 2.0, 2))
    za, zb, zc = (int(v) for v in rng.integers(0, 256, 3))
    left, right = np.arange(256)[:, None], np.arange(256)[None, :]
    real = (left - za) * np.float64(ra) + (right - zb) * np.float64(rb)
    want = np.clip(np.rint(real) + zc, 0, 255)
    edges = [SimpleNamespace(zero=z) for z in (za, zb)]
    found = _next_to_a_tie(left, right, edges, (np.float64(ra), np.float64(rb)), real, zc, 0, 255)
    named = {(int(p), int(q)) for p, q in found}
    for have in float_sums(left, right, za, zb, zc, ra, rb):
        assert {(int(p), int(q)) for p, q in np.argwhere(np.clip(have, 0, 255) != want)} <= named
    assert len(named) < 200  # of 65,536


def test_pairs_are_values_and_those_beyond_the_limits_do_not_count():
    """Halves: every second pair is a tie, of values from -3 on."""
    left, right = np.arange(-3, 4)[:, None], np.arange(-2, 3)[None, :]
    real = 0.5 * left + 0.5 * right
    edges = [SimpleNamespace(zero=0)] * 2
    odd = {(p, q) for p in range(-3, 4) for q in range(-2, 3) if (p + q) % 2}
    found = _next_to_a_tie(left, right, edges, (0.5, 0.5), real, 0, -8, 7)
    assert {(int(p), int(q)) for p, q in found} == odd
    found = _next_to_a_tie(left, right, edges, (0.5, 0.5), real, 0, 0, 1)
    assert {(int(p), int(q)) for p, q in found} == {(p, q) for p, q in odd if -1 <= p + q <= 3}
