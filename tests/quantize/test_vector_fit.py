"""Weights as vectors from codebooks, fitted to the output."""

import numpy as np
import pytest

from hwcomp.quantize.rounding import damped
from hwcomp.quantize.share_fit import shared
from hwcomp.quantize.vector_fit import Shape, _Fit, fitted
from sw_ref.vectors import decoded
from tests.quantize.test_obs import loss


def problem(seed, m=32, k=48, groups=1):
    rng = np.random.default_rng(seed)
    target = rng.standard_t(4, size=(groups, m, k))
    mixed = rng.normal(size=(groups, k, k // 2))
    return target, damped(mixed @ mixed.swapaxes(1, 2) / k)


@pytest.mark.parametrize("shape", [
    Shape(4, 64), Shape(2, 16), Shape(8, 64), Shape(4, 16, parts=4), Shape(4, 16, stages=2), Shape(8, 16, parts=2, stages=3),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_found(shape, groups):
    target, gram = problem(1, groups=groups)
    found = fitted(target, gram, shape)
    assert found.codebook.shape == (shape.stages, shape.parts, shape.codewords, shape.size)
    assert found.codes.shape == (shape.stages, groups, 32, 48 // shape.size)
    assert (found.codebook[:, :, 0] == 0).all()
    assert np.array_equal(found.integers, decoded(found.codebook, found.codes))
    assert np.abs(found.integers).max() <= 127
    assert np.abs(found.codebook).max() <= 127
    assert found.scale == np.float32(found.scale)
    plain = _Fit(target, gram, shape)
    book, codes = plain.start(np.random.default_rng(0))
    assert loss(found.weights, target, gram) < 0.7 * loss(decoded(book, codes), target, gram)


def test_better_than_scalars_of_as_many_bits():
    target, gram = problem(2, 64, 96)
    vectors = fitted(target, gram, Shape(4, 256))  # 2 bits a weight
    assert loss(vectors.weights, target, gram) < 0.5 * loss(shared(target, gram, 4).weights, target, gram)


def test_annealing_pays():
    """On the mean of a few problems: single ones may lose."""
    ratios = []
    for seed in range(4):
        target, gram = problem(seed, 48, 64)
        errors = [loss(fitted(target, gram, Shape(8, 64), noise).weights, target, gram) for noise in (0.1, 0.0)]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) < 0.99


def test_a_second_stage_lowers_the_error():
    target, gram = problem(3)
    one, two = (loss(fitted(target, gram, Shape(4, 16, stages=s)).weights, target, gram) for s in (1, 2))
    assert two < 0.6 * one


def test_weights_that_are_codewords_are_found_again():
    rng = np.random.default_rng(4)
    book = rng.integers(-127, 128, (1, 1, 8, 4))
    book[:, :, 0], book[0, 0, 1, 0] = 0, 127
    codes = rng.integers(0, 8, (1, 1, 64, 8))
    codes[0, 0, :8, 0] = np.arange(8)
    target = decoded(book, codes) * 0.5
    found = fitted(target, np.eye(32)[None], Shape(4, 8), noise=0.0)
    assert np.abs(found.weights - target).max() < 0.5


def test_the_refit_is_least_squares():
    target, gram = problem(5, 24, 16, groups=2)
    fit = _Fit(target, gram, Shape(4, 8, stages=2))
    book, codes = fit.start(np.random.default_rng(0))
    for _ in range(6):
        book = fit.refit(book, codes)
    gradient = fit._gathered((decoded(book, codes) - target) @ gram, codes)
    scale = np.abs(fit._gathered(target @ gram, codes)).max()
    assert np.abs(gradient).max() < 1e-6 * scale


def test_zeros_and_the_same_twice():
    _, gram = problem(6, k=16)
    found = fitted(np.zeros((1, 8, 16)), gram, Shape(4, 4))
    assert not found.integers.any()
    assert found.scale > 0
    target, gram = problem(7)
    a, b = (fitted(target, gram, Shape(4, 16)) for _ in range(2))
    assert np.array_equal(a.codes, b.codes)
    assert np.array_equal(a.codebook, b.codebook)
