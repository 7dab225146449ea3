"""Few-bit weights fitted for the output of their layer."""

import numpy as np
import pytest

from hwcomp.quantize.few_fit import distance, fitted
from hwcomp.quantize.few_weights import few, nearest_level
from hwcomp.quantize.rounding import damped

KINDS = ("binary-weights", "ternary", "int2", "int3", "int4", "log2")


def problem(seed, groups=2, m=3, k=6, samples=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(groups, samples, 2)) @ rng.normal(size=(groups, 2, k)) + 0.2 * rng.normal(
        size=(groups, samples, k)
    )
    return rng.normal(size=(groups, m, k)), damped(x.transpose(0, 2, 1) @ x / samples)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_nearer_than_plain_rounding_and_of_the_scheme(kind, seed):
    target, gram = problem(seed)
    q, s = fitted(target, gram, kind, 8)
    plain, scales = few(target.reshape(6, 6), kind)
    before = distance(plain.reshape(target.shape), scales.reshape(2, 3).astype(float), target, gram)
    after = distance(q, s.astype(float), target, gram)
    assert (after <= before * (1 + 1e-6)).all()
    assert after.sum() < 0.9 * before.sum()
    assert (s > 0).all()
    assert np.array_equal(nearest_level(kind)(q.astype(float)), q)


def test_near_the_best_of_all_sign_vectors():
    lost = []
    for seed in range(16):
        target, gram = problem(seed, groups=1, m=1, k=8)
        q, s = fitted(target, gram, "binary-weights", 8)
        every = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 8), axis=-1).reshape(1, -1, 8)
        weighted = every @ gram
        scale = np.maximum((weighted * target).sum(axis=2) / (weighted * every).sum(axis=2), 0)
        best = distance(every, scale, target, gram).min()
        lost.append(distance(q, s.astype(float), target, gram)[0, 0] / best)
    assert np.median(lost) < 1.1
    assert min(lost) > 1 - 1e-5


def test_what_is_of_few_bits_already_stays():
    _, gram = problem(0, k=30)
    q = np.random.default_rng(1).integers(-7, 8, (2, 3, 30))
    q[:, :, 0] = 7
    found, s = fitted(q * 0.37, gram, "int4", 8)
    assert np.array_equal(found, q)
    assert np.allclose(s, 0.37)


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_of_zeros(kind):
    _, gram = problem(0)
    q, s = fitted(np.zeros((2, 3, 6)), gram, kind, 3)
    assert (s > 0).all()
    assert np.isfinite(s).all()
    assert kind == "binary-weights" or not q.any()


@pytest.mark.parametrize(("kind", "u", "levels"), [
    ("int2", [-3.0, -1.4, 0.4, 9.0], [-2, -1, 0, 1]), ("ternary", [-3.0, -0.4, 0.6, 2.0], [-1, 0, 1, 1]),
    ("log2", [-100.0, -2.9, 0.4, 0.6, 3.1, 49.0], [-64, -2, 0, 1, 4, 64]), ("binary", [-0.1, 0.0, 5.0], [-1, 1, 1]),
])  # fmt: skip
def test_levels(kind, u, levels):
    assert nearest_level(kind)(np.array(u)).tolist() == levels
