"""The HLS primitives of few bits in both dialects: every pair of input and weight in every form, thresholds, signs."""

import numpy as np
import pytest

from hwcomp.options import HLS_DIALECTS
from sw_ref import numerics as nm
from tests.backends.hls_tools import call, library, needs_headers

pytestmark = needs_headers

# (bits of the sum, how weights are held, x is a bit, bits of a weight, bits of x, x is signed)
TERMS = [
    (16, 0, False, 5, 6, True), (16, 0, True, 6, 1, False), (12, 1, False, 1, 8, True), (12, 1, False, 1, 4, False),
    (8, 1, True, 1, 1, False), (12, 2, False, 2, 8, True), (6, 2, False, 2, 3, False), (16, 3, False, 4, 8, True),
    (16, 3, False, 4, 5, False), (9, 3, False, 3, 5, True),
]  # fmt: skip
LADDERS = [(8, 1, 0), (8, 3, -2), (12, 7, 0), (6, 15, -8)]  # bits of a, thresholds, lowest result
_LANES = 10


def source():
    parts = ['#include "hwc_prim_bits.h"\nextern "C" {\n']
    loop = "for (int64_t i = 0; i < n; i++)"
    for k, (acc, kind, bipolar, ww, xw, signed) in enumerate(TERMS):
        x, native = f"hwc_int<{xw}, {str(signed).lower()}>", "int8_t" if kind == 0 else "uint8_t"
        form = f"{acc}, {kind}, {str(bipolar).lower()}, {ww}"
        parts.append(
            f"void term{k}(const int64_t *a, const int64_t *b, int64_t *y, int64_t n) {{ {loop} "
            f"y[i] = hwc_term<{form}>({x}(a[i]), hwc_int<{ww}, {str(kind == 0).lower()}>(b[i])).to_int64(); }}\n"
            # Five lanes of ten: the second of each pair.
            f"void dot{k}(const int64_t *a, const int64_t *b, const int64_t *u, int64_t *y, int64_t n) {{\n"
            f"  {x} x[{_LANES}];\n  {native} w[1][{_LANES}];\n  uint8_t used[1][{_LANES}];\n"
            f"  {loop} {{ for (int k = 0; k < {_LANES}; k++) {{ x[k] = a[i * {_LANES} + k]; w[0][k] = b[i * {_LANES} + k]; "
            f"used[0][k] = u[i * {_LANES} + k]; }}\n"
            f"    y[i] = hwc_dot_bits<{form}, 5, 2, {_LANES}, {_LANES}>(x, 1, w, 0, 1, used, 0).to_int64(); }}\n}}\n"
        )
    for k, (aw, count, lo) in enumerate(LADDERS):
        parts.append(
            f"void ladder{k}(const int64_t *a, const int64_t *t, const int64_t *down, int64_t *y, int64_t n) {{\n"
            f"  int64_t at[1][{count}];\n"
            f"  {loop} {{ for (int k = 0; k < {count}; k++) at[0][k] = t[i * {count} + k];\n"
            f"    y[i] = hwc_thresholds_met<hwc_int<8, true>, {aw}, {count}, {lo}>(hwc_int<{aw}, true>(a[i]), at, 0, 0, down[i])"
            ".to_int64(); }\n}\n"
        )
    parts.append(
        f"void single(const int64_t *a, int64_t *y, int64_t n) {{ {loop} {{\n"
        "    y[4 * i] = hwc_bipolar(hwc_int<1, false>(a[i] & 1)).to_int64();\n"
        "    y[4 * i + 1] = hwc_decide<hwc_int<1, false>, true>(hwc_int<6, true>(a[i])).to_int64();\n"
        "    y[4 * i + 2] = hwc_decide<hwc_int<6, true>, false>(hwc_int<6, true>(a[i])).to_int64();\n"
        "    y[4 * i + 3] = (hwc_more_bits<6, true>(a[i], 3) - hwc_more_bits<6, false>(a[i], 3)).to_int64(); }\n}\n"
    )
    return "".join([*parts, "}\n"])


@pytest.fixture(scope="module", params=HLS_DIALECTS)
def c(request):
    return library(source(), ["hwc_prim_bits"], request.param)


def values(bits, signed):
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1)) if signed else np.arange(1 << bits)


def meaning(kind, ww, codes):
    """(the weight that a code stands for, whether it is negative)."""
    if kind == 0:
        return codes, np.zeros_like(codes)
    down = codes >> (ww - 1)
    if kind == 1:
        return 1 - 2 * codes, down
    if kind == 2:
        return np.where(codes % 2, 1 - 2 * down, 0), down
    e = codes % (1 << (ww - 1))
    return np.where(e > 0, 1 << np.maximum(e - 1, 0), 0) * (1 - 2 * down), down


def wrapped(values_, bits):
    """Modulo 2^bits, as two's complement."""
    return (values_ + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def expected(k, x, codes):
    acc, kind, bipolar, ww, _, _ = TERMS[k]
    weight, down = meaning(kind, ww, codes)
    if bipolar and kind == 1:
        return (x == codes).astype(np.int64)
    return wrapped(x * weight - down, acc)


def pairs(k):
    _, kind, _, ww, xw, signed = TERMS[k]
    codes = values(ww, kind == 0)
    if kind == 2:
        codes = np.array([0, 1, 3])
    if kind == 3:  # a negative zero is no code
        codes = codes[codes != 1 << (ww - 1)]
    x, codes = np.meshgrid(values(xw, signed), codes)
    return x.ravel().astype(np.int64), codes.ravel().astype(np.int64)


@pytest.mark.parametrize("k", range(len(TERMS)))
def test_every_product(c, k):
    x, codes = pairs(k)
    y = np.empty(len(x), np.int64)
    call(getattr(c, f"term{k}"), x, codes, y, len(y))
    np.testing.assert_array_equal(y, expected(k, x, codes))


@pytest.mark.parametrize("k", range(len(TERMS)))
def test_sums_of_used_lanes(c, k):
    rng = np.random.default_rng(k)
    x, codes = pairs(k)
    at = rng.integers(0, len(x), (400, _LANES))
    x, codes, used = np.ascontiguousarray(x[at]), np.ascontiguousarray(codes[at]), rng.integers(0, 2, (400, _LANES))
    y = np.empty(400, np.int64)
    call(getattr(c, f"dot{k}"), x, codes, used, y, 400)
    want = (expected(k, x, codes) * used)[:, 1::2].sum(1)
    np.testing.assert_array_equal(y, wrapped(want, TERMS[k][0]))


@pytest.mark.parametrize("k", range(len(LADDERS)))
def test_thresholds_of_every_value(c, k):
    aw, count, lo = LADDERS[k]
    rng = np.random.default_rng(k)
    a = np.tile(values(aw, True), 8).astype(np.int64)
    t = np.sort(rng.integers(-(1 << (aw - 1)), 1 << (aw - 1), (len(a), count)), axis=1)
    down = rng.integers(0, 2, len(a))
    y = np.empty(len(a), np.int64)
    call(getattr(c, f"ladder{k}"), a, t, down, y, len(a))
    np.testing.assert_array_equal(y, nm.requantize_threshold(a, list(t.T), down, lo, 1))


def test_bits_signs_and_doubled_sums(c):
    a = values(6, True).astype(np.int64)
    y = np.empty((len(a), 4), np.int64)
    call(c.single, a, y, len(a))
    np.testing.assert_array_equal(y[:, 0], 2 * (a & 1) - 1)
    np.testing.assert_array_equal(y[:, 1], a >= 0)
    np.testing.assert_array_equal(y[:, 2], a)
    np.testing.assert_array_equal(wrapped(y[:, 3], 6), 3)
