"""Calibration methods: what each keeps and cuts, on distributions whose best range is known."""

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.quantize.observers import BINS, METHODS, Histogram, choose_range
from hwcomp.quantize.schemes import affine_type, least_error_power, scheme
from tests.models import model, quantized


def histogram(values):
    h = Histogram.empty(float(values.min()), float(values.max()))
    h.add(values)
    return h


def squared_error(values, lo, hi):
    t = affine_type(lo, hi, 8)
    q = np.clip(np.rint(values / t.scale[0]) + t.zero, t.lo, t.hi)
    return float((((q - t.zero) * t.scale[0] - values) ** 2).mean())


RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=100_000)
SHAPES = {
    "normal": NORMAL, "behind a ReLU": np.maximum(NORMAL, 0), "behind a ReLU6": np.clip(NORMAL * 4, 0, 6),
    "uniform": RNG.uniform(-1, 3, 100_000), "heavy tails": RNG.standard_t(3, 100_000), "negative": -np.abs(NORMAL),
}  # fmt: skip


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_ranges_stay_inside_what_was_seen_and_are_sane(name, method, symmetric):
    h = histogram(SHAPES[name])
    lo, hi = choose_range(h, method, 8, 99.99, symmetric)
    assert min(h.lo, 0) <= lo <= hi <= max(h.hi, 0)
    if method == "minmax":
        assert (lo, hi) == (h.lo, h.hi)
    # No method may throw away the body of the distribution: nine tenths of all values keep their value.
    assert ((SHAPES[name] >= min(lo, 0)) & (SHAPES[name] <= max(hi, 0))).mean() > 0.9


@pytest.mark.parametrize("name", SHAPES)
def test_least_squares_is_not_worse_than_everything(name):
    values = SHAPES[name]
    errors = {m: squared_error(values, *choose_range(histogram(values), m, 8, 99.99, False)) for m in METHODS}
    assert errors["mse"] <= 1.02 * min(errors.values()), errors  # it sees bins, not values


@pytest.mark.parametrize("name", ["behind a ReLU", "behind a ReLU6"])
def test_zeros_do_not_decide_about_the_range(name):
    """Half of the values are exactly zero; the entropy method must not cut the others for them."""
    with_zeros = choose_range(histogram(SHAPES[name]), "kl", 8, 100, False)
    positive = SHAPES[name][SHAPES[name] > 0]
    without = choose_range(histogram(np.append(positive, 0.0)), "kl", 8, 100, False)
    assert with_zeros == pytest.approx(without, rel=0.05)
    assert with_zeros[1] > 0.5 * SHAPES[name].max()


def test_the_entropy_method_cuts_outliers():
    values = np.append(NORMAL, [60.0, -50.0])
    lo, hi = choose_range(histogram(values), "kl", 8, 100, True)
    assert 3 < hi < 30 and -30 < lo < -3


def test_a_percentile_keeps_that_many():
    lo, hi = choose_range(histogram(NORMAL), "percentile", 8, 99.0, False)
    assert ((lo <= NORMAL) & (hi >= NORMAL)).mean() == pytest.approx(0.99, abs=0.002)


def test_sixteen_bits_are_more_than_the_histogram_knows():
    h = histogram(NORMAL)
    assert choose_range(h, "kl", 16, 100, False) == (h.lo, h.hi)


@pytest.mark.parametrize("constant", [0.0, 2.5, -1.0])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_tensor(method, constant):
    assert choose_range(histogram(np.full(10, constant)), method, 8, 99.0, False) == (constant, constant)


# --- powers of two ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("name", SHAPES)
def test_the_power_of_two_with_the_least_error(name, bits):
    values, limit = SHAPES[name][:5000], (1 << (bits - 1)) - 1
    found = least_error_power(values, np.ones(1), bits)
    assert np.frexp(found)[0] == 0.5

    def loss(scale):
        return float(((np.clip(np.rint(values / scale), -limit, limit) * scale - values) ** 2).sum())

    assert loss(found) <= min(loss(2.0**e) for e in range(-12, 6))


def test_clipping_one_large_value_buys_a_bit():
    values = np.append(RNG.uniform(-1, 1, 10_000), 1.05)
    assert least_error_power(values, np.ones(1), 8) == 2.0**-7
    assert scheme("dfp8").weights(values[None], np.zeros(1), 1.0).tolist() == [2.0**-7]


def test_zeros_have_a_scale():
    assert least_error_power(np.zeros(5), np.ones(1), 8) > 0


def test_symmetric_ranges_are_those_of_a_power_of_two():
    h = histogram(np.append(RNG.uniform(-1, 1, 100_000), 1.1))
    assert h.counts.sum() == 100_001 and len(h.counts) == BINS
    lo, hi = choose_range(h, "mse", 8, 100, True)
    assert hi == pytest.approx(127 / 128) and lo == pytest.approx(-127 / 128)
    assert scheme("dfp8").activation(lo, hi).scale == (2.0**-7,)


# --- the pass ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quant", "method"), [("int8", "minmax"), ("int16", "minmax"), ("dfp8", "mse"), ("fixed:Q3.4", "minmax")]
)
def test_the_method_follows_the_scheme(quant, method):
    x = {"x": RNG.normal(size=(50, 3)).astype(np.float32)}
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 3)})
    assert quantized(proto, quant=quant, calibration=x)[1].notes["calibrate"] == [f"50 samples, {method}"]
    mine = quantized(proto, quant=quant, calibration=x, passes={"calibrate": {"method": "kl"}})[1]
    assert mine.notes["calibrate"] == ["50 samples, kl"]


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match=r"unknown calibration method 'best'\. choose auto, minmax"):
        quantized(model([("Relu", ["x"], ["y"], {})], {"x": (1, 3)}), passes={"calibrate": {"method": "best"}})


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_entropy_method_keeps_a_narrow_distribution(symmetric):
    """Far from zero, and thin: everything in one bin would be no divergence."""
    values = np.random.default_rng(3).normal(0.474, 0.03, 400)
    lo, hi = choose_range(histogram(values), "kl", 8, 99.99, symmetric)
    assert np.mean((values < lo) | (values > hi)) <= 0.05
