"""Weights of a layer from one codebook."""

import itertools

import numpy as np
import pytest

from hwcomp.quantize.share_fit import lengths, linear_levels, shared
from tests.quantize.test_few_fit import problem
from tests.quantize.test_obs import loss


def nearest(target, levels):
    return levels[np.abs(target[..., None] - levels).argmin(axis=-1)]


@pytest.mark.parametrize("count", [4, 8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_nearer_than_the_nearest_levels(count, seed):
    target, gram = problem(seed, m=8, k=10)
    found = shared(target, gram, count)
    assert len(np.unique(found.integers)) <= count
    assert np.abs(found.integers).max() <= 127
    assert loss(found.weights, target, gram) < 0.8 * loss(nearest(target, linear_levels(target, count)), target, gram)


def test_a_rate_buys_bits_with_error():
    target, gram = problem(3, m=12, k=20)
    energy = loss(0 * target, target, gram)
    runs = [shared(target, gram, 8, rate * energy / target.size) for rate in (0.0, 0.02, 0.1, 0.5)]
    assert all(b.bits < a.bits for a, b in itertools.pairwise(runs))
    errors = [loss(r.weights, target, gram) for r in runs]
    assert errors[0] < errors[1] < errors[2] < errors[3] < energy
    values, counts = np.unique(runs[2].integers, return_counts=True)
    assert values[counts.argmax()] == 0
    assert runs[2].bits == pytest.approx(-(counts * np.log2(counts / counts.sum())).sum())


def test_a_mask_stays():
    target, gram = problem(4, m=6, k=10)
    keep = np.random.default_rng(1).random(target.shape) < 0.5
    found = shared(target, gram, 8, keep=keep, start=target * keep)
    assert (found.integers[~keep] == 0).all()
    assert found.integers[keep].any()


def test_a_codebook_of_256_is_as_good_as_integers():
    target, gram = problem(6, m=8, k=10)
    unit = np.abs(target).max() / 127
    found = shared(target, gram, 256)
    assert loss(found.weights, target, gram) <= loss(np.rint(target / unit) * unit, target, gram)


def test_weights_that_are_all_zero():
    _, gram = problem(7)
    found = shared(np.zeros((2, 3, 6)), gram, 4, 1e-3)
    assert not found.integers.any()
    assert found.scale > 0
    assert found.bits == 0


def test_lengths_of_codes():
    assert lengths(np.array([0, 0, 1, 2]), 4).tolist() == [1, 2, 2, 20]
    assert linear_levels(np.array([-1.0, 2.0]), 4).tolist() == [-1, 0, 1, 2]
