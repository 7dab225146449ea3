"""Pruning of single weights for the output of their layer."""

import itertools

import numpy as np
import pytest

from hwcomp.quantize.obs import descend, pruned
from tests.quantize.test_few_fit import problem


def loss(w, target, gram):
    d = w - target
    return float(((d @ gram) * d).sum())


def reconstructed(mask, target, gram):
    """Least squares on a given support, row by row."""
    w = np.zeros_like(target)
    for g, m in itertools.product(range(target.shape[0]), range(target.shape[1])):
        s = np.flatnonzero(mask[g, m])
        w[g, m, s] = np.linalg.solve(gram[g][np.ix_(s, s)], gram[g][s] @ target[g, m])
    return w


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_less_is_lost_than_by_magnitude(fraction, seed):
    target, gram = problem(seed, m=4, k=12)
    w = pruned(target, gram, fraction)
    assert np.count_nonzero(w) == w.size - round(fraction * w.size)
    plain = np.where(np.abs(target) >= np.sort(np.abs(target).ravel())[round(fraction * w.size)], target, 0.0)
    assert loss(w, target, gram) < 0.7 * loss(plain, target, gram)
    assert loss(w, target, gram) <= 1.1 * loss(reconstructed(w != 0, target, gram), target, gram)


def test_one_weight_is_the_one_of_least_saliency():
    """Against all choices: the saliency is the error after all others have answered."""
    for seed in range(8):
        target, gram = problem(seed, groups=1, m=1, k=6)
        w = pruned(target, gram, 1 / 6)
        every = [loss(reconstructed(np.arange(6)[None, None] != k, target, gram), target, gram) for k in range(6)]
        assert np.flatnonzero(w[0, 0] == 0).tolist() == [int(np.argmin(every))]


def test_what_is_zero_stays_zero_and_counts():
    target, gram = problem(1, m=4, k=12)
    keep = np.random.default_rng(0).random(target.shape) < 0.6
    w = pruned(target, gram, 0.0, keep)
    assert (w[~keep] == 0).all()
    assert (w[keep] != 0).all()
    assert np.count_nonzero(pruned(target, gram, 0.5, keep)) == target.size // 2
    assert np.count_nonzero(pruned(target, gram, 0.1, keep)) == np.count_nonzero(keep)


def test_descent_without_limits_finds_the_target():
    target, gram = problem(2)
    w = descend(np.zeros_like(target), target, gram, lambda v, curvature, k: v, 500)
    assert loss(w, target, gram) < 1e-3 * loss(0 * w, target, gram)
