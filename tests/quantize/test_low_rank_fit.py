"""Chains of smaller layers: what they keep is what is said, the best of their rank where that is known, exact at full rank."""

import numpy as np
import pytest

from hwcomp.quantize.low_rank_fit import FORMS, LowRank, factors, order

WINDOW = (6, 3, 3)
FULL = {"svd": (10,), "rows": (18,), "columns": (18,), "channels": (6,), "tucker": (6, 10)}


def problem(outputs=10, window=WINDOW, least=0.05):
    """(weights, covariance) of windows whose neighbours and channels depend on each other."""
    rng = np.random.default_rng(1)
    channels, (high, wide) = window[0], window[1:]
    mix = rng.normal(size=(channels, channels)) * np.geomspace(1, least, channels)
    smooth = np.exp(-0.5 * np.abs(np.subtract.outer(np.arange(high * wide), np.arange(high * wide))))
    gram = np.kron(mix @ mix.T, smooth) + 1e-3 * np.eye(channels * high * wide)
    return rng.normal(size=(outputs, channels * high * wide)), gram


def lost(chain, form, rows, gram, window=WINDOW):
    behind = chain.behind if chain.last is None else np.tensordot(chain.last, chain.behind, 1)
    made = np.empty_like(rows)
    made[:, order(window, form).ravel()] = np.einsum("mbr,ra->mba", behind, chain.first).reshape(len(rows), -1)
    away = rows - made
    return float(((away @ gram) * away).sum() / ((rows @ gram) * rows).sum())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("energy", [0.6, 0.9, 0.99])
def test_what_is_kept_is_what_is_said_and_asked_for(form, energy):
    rows, gram = problem()
    fit = LowRank(rows, gram, WINDOW)
    ranks = fit.least(form, energy, sum)
    chain = fit.at(form, ranks)
    assert chain.kept >= energy
    assert lost(chain, form, rows, gram) == pytest.approx(1 - chain.kept, abs=1e-6)
    sizes = (len(chain.first),) if chain.last is None else (len(chain.first), len(chain.behind))
    assert sizes == ranks
    for i in range(len(ranks)):
        fewer = tuple(r - (k == i) for k, r in enumerate(ranks))
        assert min(fewer) == 0 or fit.at(form, fewer).kept < energy


@pytest.mark.parametrize("form", FORMS)
def test_full_rank_is_exact(form):
    rows, gram = problem()
    assert lost(LowRank(rows, gram, WINDOW).at(form, FULL[form]), form, rows, gram) < 1e-12


@pytest.mark.parametrize(("form", "ranks"), [("rows", (5,)), ("columns", (5,)), ("channels", (3,)), ("tucker", (3, 5))])
def test_iterations_gain_and_beat_what_ignores_the_inputs(form, ranks):
    rows, gram = problem()
    near, plain = LowRank(rows, gram, WINDOW), LowRank(rows, np.eye(len(gram)), WINDOW)
    kept = near.at(form, ranks).kept
    assert kept > near._part(form).start(*ranks).kept + 1e-4
    assert kept > 1 - lost(plain.at(form, ranks), form, rows, gram)


def test_the_iterations_end_where_nothing_near_is_better():
    """For the best layers behind it, a first layer that is moved a little loses more."""
    rows, gram = problem()
    part = LowRank(rows, gram, WINDOW)._part("rows")
    chain, rng = part.start(6), np.random.default_rng(0)
    for _ in range(200):
        chain = part._regressed(first := part._descended(chain), *part._seen(first), None)
    for _ in range(20):
        first = chain.first + 1e-3 * rng.normal(size=chain.first.shape)
        assert part._regressed(first, *part._seen(first), None).kept < chain.kept


def test_factors_are_the_best_of_their_rank():
    """In the metric of the outputs: nearer than the SVD of the weights themselves, by as much as the spectrum says."""
    rng = np.random.default_rng(1)
    rows, mix = rng.normal(size=(9, 12)), rng.normal(size=(12, 12)) * np.geomspace(1, 0.01, 12)
    gram = mix @ mix.T + 1e-3 * np.eye(12)
    first = factors(rows, gram)
    np.testing.assert_allclose(first @ gram @ first.T, np.eye(9), atol=1e-6)
    spectrum = np.linalg.svd(rows @ np.linalg.cholesky(gram), compute_uv=False) ** 2
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    fit = LowRank(rows, gram, (12,))
    for rank in (1, 4, 9):
        chain = fit.at("svd", (rank,))
        assert chain.kept == pytest.approx(spectrum[:rank].sum() / spectrum.sum(), abs=1e-6)
        away = rows - u[:, :rank] * s[:rank] @ vt[:rank]
        assert chain.kept >= 1 - ((away @ gram) * away).sum() / ((rows @ gram) * rows).sum() - 1e-8


def test_tucker_weighs_its_two_ranks_by_their_price():
    rows, gram = problem(least=0.5)
    fit = LowRank(rows, gram, WINDOW)
    dear_first = fit.least("tucker", 0.97, lambda r: 100 * r[0] + r[1])
    dear_second = fit.least("tucker", 0.97, lambda r: r[0] + 100 * r[1])
    assert dear_first[0] < dear_second[0] and dear_first[1] > dear_second[1]


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_zero_have_nothing_to_keep(form):
    rows, gram = problem()
    assert LowRank(np.zeros_like(rows), gram, WINDOW).least(form, 0.9, sum) is None
