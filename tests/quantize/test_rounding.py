"""Adaptive rounding: never worse than to the nearest, a minimum nothing single can better, and near the true one."""

from itertools import product

import numpy as np
import pytest

from hwcomp.quantize.rounding import damped, error, round_adaptively


def problem(seed, groups=1, rows=3, k=6, asymmetric=True):
    """Inputs correlated and with a mean, as behind a ReLU; `moment` asks for more than the weights themselves."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(groups, 200, k)) @ rng.normal(size=(groups, k, k)), 0)
    u = rng.uniform(-20, 20, (groups, rows, k))
    gram = damped(x.transpose(0, 2, 1) @ x / 200)
    moment = (rng.normal(size=(groups, rows, k)) * 0.1) @ gram if asymmetric else np.zeros((groups, rows, k))
    return u, gram, moment


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_against_all_choices(seed, asymmetric):
    u, gram, moment = problem(seed, asymmetric=asymmetric)
    q = round_adaptively(u, gram, moment, 127, 20)
    choices = np.array(list(product((0, 1), repeat=6)))
    every = np.floor(u)[..., None, :] + choices  # [1, rows, 64, 6]
    d = every - u[:, :, None]
    loss = (d @ gram[:, None] * d - 2 * d * moment[:, :, None]).sum(axis=-1)
    found, best = error(q, u, gram, moment), loss.min(axis=-1)
    nearest = error(np.rint(u), u, gram, moment)
    # At least nine tenths of what could be won over rounding to nearest.
    assert (found - best <= 0.1 * (nearest - best) + 1e-9).mean() >= 2 / 3
    assert (found <= nearest + 1e-9).all()


@pytest.mark.parametrize(("groups", "rows", "k"), [(1, 5, 150), (7, 1, 9), (3, 4, 70)])
def test_no_single_flip_helps(groups, rows, k):
    u, gram, moment = problem(1, groups, rows, k)
    q = round_adaptively(u, gram, moment, 127, 50)
    assert ((q == np.floor(u)) | (q == np.ceil(u))).all()
    least = error(q, u, gram, moment)
    nearest = error(np.rint(u), u, gram, moment)
    assert least.sum() < 0.8 * nearest.sum()
    for at in range(k):
        other = q.copy()
        other[..., at] = np.floor(u[..., at]) + np.ceil(u[..., at]) - q[..., at]
        assert (error(other, u, gram, moment) >= least - 1e-9 * np.abs(least)).all()


@pytest.mark.parametrize("limit", [3, 7])
def test_limits_hold(limit):
    u, gram, moment = problem(2)
    q = round_adaptively(u, gram, moment, limit, 20)
    assert q.dtype == np.int64
    assert np.abs(q).max() == limit
    outside = np.abs(u) > limit
    assert (q[outside] == np.sign(u[outside]) * limit).all()


def test_whole_numbers_stay():
    u, gram, moment = problem(3)
    assert (round_adaptively(np.rint(u), gram, moment, 127, 20) == np.rint(u)).all()


def test_inputs_that_are_always_zero_leave_their_weights_at_the_nearest():
    u, gram, moment = problem(4, k=8)
    gram[:, 5], gram[:, :, 5], moment[..., 5] = 0, 0, 0
    q = round_adaptively(u, damped(gram), moment, 127, 20)
    assert (q[..., 5] == np.rint(u[..., 5])).all()


def test_a_layer_without_any_input_rounds_to_nearest():
    u = problem(5)[0]
    assert (round_adaptively(u, damped(np.zeros((1, 6, 6))), np.zeros_like(u), 127, 20) == np.rint(u)).all()


def test_more_sweeps_are_not_worse():
    u, gram, moment = problem(6, k=90)
    losses = [error(round_adaptively(u, gram, moment, 127, n), u, gram, moment).sum() for n in (1, 3, 30)]
    assert losses[0] >= losses[1] >= losses[2]
