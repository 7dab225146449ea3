"""The HLS primitives in both dialects against sw_ref/numerics.py, exhaustively where the domain allows."""

import numpy as np
import pytest

from hwcomp.options import HLS_DIALECTS
from sw_ref import numerics as nm
from tests.backends.hls_tools import call, library, needs_headers

pytestmark = needs_headers

# (bits of a, bits of m, m signed, shift, zero, lo, hi): small ones are run over all a and m.
RNE = [
    (8, 4, False, 0, 0, -128, 127), (8, 4, True, 1, -3, -128, 127), (9, 5, False, 3, 7, 0, 255), (10, 5, True, 7, -60, -100, 90),
    (8, 6, False, 13, 1, -8, 7), (7, 3, False, 20, 0, -4, 4), (1, 1, False, 0, 0, 0, 1), (20, 31, False, 45, -5, -128, 127),
    (32, 31, True, 61, 100, -32768, 32767), (32, 24, False, 40, -(1 << 23), -(1 << 23), (1 << 23) - 1),
]  # fmt: skip
# The same, with the bits of the offset before the shift.
AFFINE = [
    (8, 4, False, 6, 0, -128, 127), (8, 4, True, 20, 3, -128, 127), (10, 5, False, 12, 7, 0, 255), (6, 3, True, 18, 17, -4, 3),
    (20, 31, False, 52, 45, -128, 127), (32, 24, True, 62, 50, 0, 65535),
]  # fmt: skip
# (bits of a, of b, ma, mb, offset, shift, zero, lo, hi)
SUMS = [
    (8, 8, 1, 1, 0, 1, 0, -128, 127), (8, 8, 3, 5, -100, 2, 4, -50, 127), (8, 8, 839684, 560581, -156513420, 20, -107, -128, 127),
    (8, 8, 1 << 30, (1 << 30) - 1, 1 << 40, 33, 0, -128, 127), (8, 6, 16, 1, 8, 4, 0, 0, 15), (8, 8, 1, 1, 0, 0, 0, -128, 127),
]  # fmt: skip

PRODUCTS = [(8, 8, -3, 100), (9, 8, 255, -128), (6, 9, 0, 0)]  # bits of a and b, their zero points
# (bits of a part, of the sum, fraction bits, zero, lo, hi)
SHARES = [(5, 7, 8, 0, 0, 256), (6, 6, 8, -128, -128, 127), (23, 33, 8, -128, -128, 127), (29, 40, 16, 0, 0, 65535)]


def _text(value):
    return str(value).lower() if isinstance(value, bool) else f"{value}LL" if abs(value) >= 1 << 31 else str(value)


def source():
    headers = ("round", "add", "dot", "max", "mul", "softmax")
    parts = [*(f'#include "hwc_prim_{name}.h"\n' for name in headers), 'extern "C" {\n']
    arrays = "const int64_t *a, const int64_t *b, const int64_t *c, int64_t *y, int64_t n"
    loop = "for (int64_t i = 0; i < n; i++)"
    out = "hwc_int<32, true>"
    for k, (aw, mw, ms, shift, *rest) in enumerate(RNE):
        params = ", ".join(map(_text, (aw, mw, ms, shift, *rest)))
        parts.append(
            f"void rne{k}({arrays}) {{ {loop} y[i] = hwc_requantize_rne<{out}, {params}>(hwc_int<{aw}, true>(a[i]), b[i]).to_int64(); }}\n"
        )
    for k, values in enumerate(AFFINE):
        params = ", ".join(map(_text, values))
        parts.append(
            f"void affine{k}({arrays}) {{ {loop} y[i] = hwc_requantize_affine<{out}, {params}>"
            f"(hwc_int<{values[0]}, true>(a[i]), b[i], c[i]).to_int64(); }}\n"
        )
    for k, (aw, bw, ma, mb, offset, shift, zero, lo, hi) in enumerate(SUMS):
        widths = [max(aw, bw), max(ma, mb).bit_length() + 1, abs(offset).bit_length() + 1]
        for form, tail in (("rne", (zero, lo, hi)), ("affine", (lo, hi))):
            params = ", ".join(map(_text, (*widths, ma, mb, offset, shift, *tail)))
            parts.append(
                f"void sum_{form}{k}({arrays}) {{ {loop} y[i] = hwc_add_{form}<{out}, {params}>"
                f"(hwc_int<{aw}, true>(a[i]), hwc_int<{bw}, true>(b[i])).to_int64(); }}\n"
            )
    for name, sign in (("signed", "true"), ("unsigned", "false")):
        t = f"hwc_int<8, {sign}>"
        parts.append(f"void max_{name}({arrays}) {{ {loop} y[i] = hwc_max({t}(a[i]), {t}(b[i])).to_int64(); }}\n")
        parts.append(f"void greater_{name}({arrays}) {{ {loop} y[i] = hwc_greater({t}(a[i]), {t}(b[i])); }}\n")
    for k, (aw, bw, za, zb) in enumerate(PRODUCTS):
        parts.append(
            f"void product{k}({arrays}) {{ {loop} y[i] = hwc_product<{aw}, {bw}, {za}, {zb}>"
            f"(hwc_int<{aw}, true>(a[i]), hwc_int<{bw}, true>(b[i])).to_int64(); }}\n"
        )
    for k, (tw, sw, fraction, zero, lo, hi) in enumerate(SHARES):
        parts.append(
            f"void share{k}({arrays}) {{ {loop} y[i] = hwc_share<{out}, {tw}, {sw}, {fraction}, {zero}, {lo}, {hi}>"
            f"(hwc_int<{tw}, false>(a[i]), hwc_int<{sw}, false>(b[i])).to_int64(); }}\n"
        )
    parts.append(
        "void exps(const int64_t *c, const int64_t *f, const int64_t *a, int64_t *y, int64_t n) {\n"
        "  static uint32_t coarse[12][1], fine[16][1];\n"
        "  for (int k = 0; k < 12; k++) coarse[k][0] = c[k];\n  for (int k = 0; k < 16; k++) fine[k][0] = f[k];\n"
        f"  {loop} {{ const hwc_int<8, false> gap = hwc_gap<8, 176>(hwc_int<8, true>(127), hwc_int<8, true>(a[i]));\n"
        "    y[i] = hwc_exp<23, 4, 8>(gap, coarse, fine).to_int64();\n"
        "    y[n + i] = hwc_exp<23, 0, 8>(hwc_gap<8, 11>(hwc_int<8, true>(127), hwc_int<8, true>(a[i])), coarse, coarse).to_int64(); }\n}\n"
    )
    # Nine products, every third of 27: the lanes of one channel of three.
    parts.append(
        "void dot(const int64_t *a, const int64_t *b, int64_t *y, int64_t n) {\n"
        "  hwc_int<8, false> x[27];\n  int8_t w[1][27];\n"
        f"  {loop} {{ for (int k = 0; k < 27; k++) {{ x[k] = a[i * 27 + k]; w[0][k] = b[i * 27 + k]; }}\n"
        "    for (int c = 0; c < 3; c++) y[i * 3 + c] = hwc_dot<20, 8, 9, 3>(x, c, w, 0, c).to_int64(); }\n}\n"
    )
    return "".join([*parts, "}\n"])


@pytest.fixture(scope="module", params=HLS_DIALECTS)
def c(request):
    headers = [f"hwc_prim_{name}" for name in ("round", "add", "dot", "max", "mul", "softmax")]
    return library(source(), headers, request.param)


def ends(bits, signed):
    return (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)


def operands(aw, mw, ms, seed=0):
    """All pairs of a and m where there are few; else random ones with both ends and ties."""
    if aw + mw <= 16:
        a, m = np.meshgrid(np.arange(*ends(aw, True)), np.arange(*ends(mw, ms)))
        return a.ravel().astype(np.int64), m.ravel().astype(np.int64)
    rng = np.random.default_rng(seed)
    a, m = rng.integers(*ends(aw, True), 40_000), rng.integers(*ends(mw, ms), 40_000)
    m[::3] = 1 << rng.integers(0, mw - 1, len(m[::3]))  # ties
    a[:2], m[:2] = [v - (i > 0) for i, v in enumerate(ends(aw, True))], ends(mw, ms)[1] - 1
    return a, m


def run(function, *arrays):
    y = np.empty(len(arrays[0]), np.int64)
    three = [*arrays, *[np.zeros(1, np.int64)] * (3 - len(arrays))]
    call(function, *three, y, len(y))
    return y


@pytest.mark.parametrize("k", range(len(RNE)))
def test_requantize_rne(c, k):
    aw, mw, ms, shift, zero, lo, hi = RNE[k]
    a, m = operands(aw, mw, ms, k)
    want = nm.requantize_rne(a, m, shift, zero, lo, hi)
    np.testing.assert_array_equal(run(getattr(c, f"rne{k}"), a, m), want)


@pytest.mark.parametrize("k", range(len(AFFINE)))
def test_requantize_affine(c, k):
    aw, mw, ms, cw, shift, lo, hi = AFFINE[k]
    a, m = operands(aw, mw, ms, k)
    offset = np.random.default_rng(k).integers(*ends(cw, True), len(a))
    want = nm.requantize_affine(a, m, offset, shift, lo, hi)
    np.testing.assert_array_equal(run(getattr(c, f"affine{k}"), a, m, offset), want)


@pytest.mark.parametrize("k", range(len(SUMS)))
def test_sums_over_all_pairs(c, k):
    aw, bw, ma, mb, offset, shift, zero, lo, hi = SUMS[k]
    a, b = (v.ravel().astype(np.int64) for v in np.meshgrid(np.arange(*ends(aw, True)), np.arange(*ends(bw, True))))
    np.testing.assert_array_equal(
        run(getattr(c, f"sum_rne{k}"), a, b), nm.add_rne(a, b, ma, mb, offset, shift, zero, lo, hi)
    )
    np.testing.assert_array_equal(
        run(getattr(c, f"sum_affine{k}"), a, b), nm.add_affine(a, b, ma, mb, offset, shift, lo, hi)
    )


@pytest.mark.parametrize("name", ["signed", "unsigned"])
def test_comparisons_over_all_pairs(c, name):
    values = np.arange(*ends(8, name == "signed"))
    a, b = (v.ravel().astype(np.int64) for v in np.meshgrid(values, values))
    np.testing.assert_array_equal(run(getattr(c, f"max_{name}"), a, b), np.maximum(a, b))
    np.testing.assert_array_equal(run(getattr(c, f"greater_{name}"), a, b), a > b)


def test_dot_products(c):
    rng = np.random.default_rng(1)
    x, w = rng.integers(0, 256, (500, 27)), rng.integers(-128, 128, (500, 27))
    x[0], w[0], x[1], w[1] = 255, -128, 255, 127
    y = np.empty((500, 3), np.int64)
    call(c.dot, x, w, y, 500)
    np.testing.assert_array_equal(y, (x * w).reshape(500, 9, 3).sum(1))


@pytest.mark.parametrize("k", range(len(PRODUCTS)))
def test_products_over_all_pairs(c, k):
    aw, bw, za, zb = PRODUCTS[k]
    a, b = (v.ravel().astype(np.int64) for v in np.meshgrid(np.arange(*ends(aw, True)), np.arange(*ends(bw, True))))
    np.testing.assert_array_equal(run(getattr(c, f"product{k}"), a, b), nm.product(a, za, b, zb))


@pytest.mark.parametrize("k", range(len(SHARES)))
def test_shares(c, k):
    """All pairs where there are few; ties come with sums that are powers of two."""
    tw, sw, fraction, zero, lo, hi = SHARES[k]
    if tw + sw <= 12:
        part, total = (v.ravel().astype(np.int64) for v in np.meshgrid(np.arange(1 << tw), np.arange(1, 1 << sw)))
    else:
        rng = np.random.default_rng(k)
        part, total = rng.integers(0, (1 << (tw - 1)) + 1, 30_000), rng.integers(1 << (tw - 1), 1 << (sw - 1), 30_000)
        total[::3] = 1 << rng.integers(tw - 1, sw, len(total[::3]))
        total[0] = part[0] = 1 << (tw - 1)
    part, total = part[part <= total], total[part <= total]
    want = np.clip(nm.divide_rne(part << fraction, total) + zero, lo, hi)
    np.testing.assert_array_equal(run(getattr(c, f"share{k}"), part, total), want)


def test_exponentials_of_all_distances(c):
    """A product of two tables, and one table alone; beyond its end they are 0."""
    rng = np.random.default_rng(3)
    coarse, fine = (
        np.sort(rng.integers(0, (1 << 22) + 1, 12))[::-1].copy(),
        np.sort(rng.integers(0, (1 << 22) + 1, 16))[::-1].copy(),
    )
    coarse[-1] = 0
    x = np.arange(-128, 128)
    y = np.empty(512, np.int64)
    call(c.exps, coarse, fine, x, y, 256)
    np.testing.assert_array_equal(y[:256], nm.exp_lookup(127 - x, coarse[:-1], fine, 4, 22))
    np.testing.assert_array_equal(y[256:], nm.exp_lookup(127 - x, coarse[:-1], None, 0, 22))
