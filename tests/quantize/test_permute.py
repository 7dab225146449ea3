"""The order of channels in which vectors of weights vary least."""

import itertools

import numpy as np
import pytest

from hwcomp.quantize.permute import Layer, searched


def test_cost_is_the_determinant_of_the_covariance():
    channels = np.random.default_rng(0).normal(1, 2, (8, 500))
    layer, order = Layer.of(channels, 4), np.random.default_rng(1).permutation(8)
    vectors = channels[order].reshape(2, 4, 500).transpose(0, 2, 1).reshape(-1, 4)
    want = len(vectors) * np.linalg.slogdet(np.cov(vectors.T, bias=True))[1]
    assert layer.cost(order) == pytest.approx(want, rel=1e-4)


def test_the_best_order_of_six_channels():
    rng = np.random.default_rng(2)
    mixed = rng.normal(size=(6, 3)) @ rng.normal(size=(3, 80)) + 0.3 * rng.normal(size=(6, 80))
    layer = Layer.of(mixed, 2)
    found = searched(2, layer.second, layer.cost, np.random.default_rng(0))
    assert sorted(found.tolist()) == list(range(6))
    best = min(layer.cost(np.array(p)) for p in itertools.permutations(range(6)))
    assert layer.cost(found) == pytest.approx(best)


def test_pairs_that_belong_together_are_found():
    """Channels come in pairs that are alike; the order given has none of them in one vector."""
    rng = np.random.default_rng(3)
    half = rng.normal(size=(16, 400))
    channels = np.concatenate([half, half + 0.1 * rng.normal(size=half.shape)])
    layer = Layer.of(channels, 2)
    found = searched(2, layer.second, layer.cost, rng)
    assert np.mean([abs(a - b) == 16 for a, b in found.reshape(-1, 2)]) > 0.9
    assert layer.cost(found) < layer.cost(np.arange(32)) - 0.5 * layer.weight


def test_nothing_better_leaves_the_order():
    assert searched(4, np.zeros((4, 4)), lambda order: 0.0, np.random.default_rng(0)).tolist() == [0, 1, 2, 3]
    assert searched(2, np.eye(3), lambda order: 0.0, np.random.default_rng(0)).tolist() == [0, 1, 2]


def test_channels_without_weights():
    layer = Layer.of(np.zeros((8, 10)), 4)
    assert np.isfinite(layer.cost(np.arange(8)))
