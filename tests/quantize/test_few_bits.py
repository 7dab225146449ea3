"""Weights that are few-bit integers times a scale: found where they are there, made where they are not."""

import numpy as np
import pytest

from hwcomp.quantize.few_bits import recognized, weight_type
from hwcomp.quantize.few_weights import BITS, few

F = np.float32


@pytest.mark.parametrize("most", [1, 2, 3, 7, 15, 127])
@pytest.mark.parametrize("seed", range(5))
def test_integers_times_a_float32_scale_are_found(most, seed):
    rng = np.random.default_rng(seed)
    q = rng.integers(-most, most + 1, (6, 40))
    q[:, 0] = most
    scales = F(rng.uniform(1e-3, 3, 6))
    found, scale = recognized((q * scales[:, None]).astype(F))
    assert np.array_equal(found * np.gcd.reduce(np.abs(q), axis=1)[:, None], q)
    assert np.allclose(found * scale[:, None].astype(float), q * scales[:, None].astype(float), rtol=1e-6, atol=0)


def test_common_factors_go_into_the_scale_and_rows_of_zeros_stay():
    q, scales = recognized(F([[0, 4, -4], [0, 0, 0], [-3, -3, 3]]))
    assert q.tolist() == [[0, 1, -1], [0, 0, 0], [-1, -1, 1]]
    assert scales.tolist() == [4, 1, 3]


def test_random_weights_are_none():
    assert recognized(np.random.default_rng(0).normal(size=(2, 30)).astype(F)) is None


def test_one_row_that_is_none_spoils_all():
    rows = np.ones((3, 30), F)
    rows[1, 3] = F(0.7312345)
    assert recognized(rows) is None


@pytest.mark.parametrize(("q", "bits", "scheme"), [
    ([[1, -1]], 1, "bipolar"), ([[1, 0]], 2, "ternary"), ([[-2, 1]], 2, "affine"), ([[2, 1]], 3, "affine"),
    ([[-7, 7]], 4, "affine"), ([[-8, 7]], 4, "affine"), ([[8, 1]], 5, "affine"),
])  # fmt: skip
def test_the_least_type(q, bits, scheme):
    t = weight_type(np.array(q), F([0.5]))
    assert (t.bits, t.scheme) == (bits, scheme)


def test_binary_weights_are_those_of_xnor_net():
    rows = np.array([[0.5, -1.5, 0.25, 0.0], [-2.0, -2.0, -2.0, -2.0]])
    q, scales = few(rows, "binary")
    assert q.tolist() == [[1, -1, 1, 1], [-1, -1, -1, -1]]
    assert scales.tolist() == [0.5625, 2.0]
    assert [a.tolist() for a in few(rows, "binary-weights")] == [q.tolist(), scales.tolist()]


def test_ternary_weights_are_those_of_twn():
    rows = np.array([[1.0, -1.0, 0.1, 0.3]])  # 0.7 * mean = 0.42
    q, scales = few(rows, "ternary")
    assert q.tolist() == [[1, -1, 0, 0]]
    assert scales.tolist() == [1.0]


@pytest.mark.parametrize(("kind", "lo", "hi"), [("int2", -2, 1), ("int3", -3, 3), ("int4", -7, 7), ("int8", -127, 127)])
def test_integers_stay_inside_and_no_plain_scale_is_better(kind, lo, hi):
    rows = np.random.default_rng(1).normal(size=(5, 200))
    q, scales = few(rows, kind)
    assert lo <= q.min() <= q.max() <= hi
    error = ((rows - q * scales[:, None]) ** 2).sum()
    plain = np.maximum(rows.max(1) / hi, rows.min(1) / lo)
    nearest = np.clip(np.rint(rows / plain[:, None]), lo, hi)
    assert error <= ((rows - nearest * plain[:, None]) ** 2).sum() * (1 + 1e-6)


def test_log2_weights_are_signed_powers_of_two():
    rows = np.array([[64.0, -33.0, 20.0, 1.0, 0.4, 0.0]])
    q, scales = few(rows, "log2")
    assert q.tolist() == [[64, -32, 16, 1, 0, 0]]
    assert scales.tolist() == [1.0]


@pytest.mark.parametrize("kind", BITS)
def test_rows_of_zeros_have_a_scale(kind):
    q, scales = few(np.zeros((2, 3)), kind)
    assert (scales > 0).all()
    assert kind.startswith("binary") or not q.any()
