"""The C primitives against sw_ref/numerics.py."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from hwcomp.backends._c_text import render
from sw_ref import numerics as nm

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")

NAMES = ("clamp32", "clamp64", "affine", "affine_high", "rne", "SIGNED", "UNSIGNED", "max_int8_t", "greater_int8_t")
CALLS = """
void affine(const int64_t *a, const int64_t *m, const int64_t *c, unsigned s, int64_t *y, size_t n)
{ for (size_t i = 0; i < n; i++) y[i] = t_affine(a[i], m[i], c[i], s); }
void affine_high(const int32_t *a, const int32_t *m, const int32_t *c, unsigned s, int32_t *y, size_t n)
{ for (size_t i = 0; i < n; i++) y[i] = t_affine_high(a[i], m[i], c[i], s); }
void rne(const int64_t *a, const int64_t *m, unsigned s, int64_t z, int64_t *y, size_t n)
{ for (size_t i = 0; i < n; i++) y[i] = t_rne(a[i], m[i], s, z); }
void clamp(const int32_t *a, int32_t lo, int32_t hi, int32_t *y, size_t n)
{ for (size_t i = 0; i < n; i++) y[i] = t_clamp32(a[i], lo, hi); }
void saturate(const int32_t *a, int32_t *y, int32_t *z, size_t n)
{ for (size_t i = 0; i < n; i++) { y[i] = t_SIGNED(a[i], 8); z[i] = t_UNSIGNED(a[i], 8); } }
void bytes(const int8_t *a, const int8_t *b, int8_t *larger, int *greater, size_t n)
{ for (size_t i = 0; i < n; i++) { larger[i] = t_max_int8_t(a[i], b[i]); greater[i] = t_greater_int8_t(a[i], b[i]); } }
void sums(const int64_t *a, const int64_t *b, const int64_t *m, const int64_t *n, const int64_t *c, unsigned s,
    int64_t *y, int64_t *z, size_t k)
{ for (size_t i = 0; i < k; i++) { y[i] = t_sum_affine64(a[i], m[i], b[i], n[i], c[i], s);
    z[i] = t_sum_rne64(a[i], m[i], b[i], n[i], c[i], s, INT64_C(3) * (INT64_C(1) << s), -80); } }
void sums32(const int32_t *a, const int32_t *b, const int32_t *m, const int32_t *n, const int32_t *c, unsigned s,
    int32_t *y, int32_t *z, size_t k)
{ for (size_t i = 0; i < k; i++) { y[i] = t_sum_affine32(a[i], m[i], b[i], n[i], c[i], s);
    z[i] = t_sum_rne32(a[i], m[i], b[i], n[i], c[i], s, -(1 << s), -76); } }
void products(const int64_t *a, const int64_t *b, const int32_t *c, const int32_t *d, int64_t *y, int32_t *z, size_t n)
{ for (size_t i = 0; i < n; i++) { y[i] = t_product_int64(a[i], INT64_C(-8388608), b[i], 8388607);
    z[i] = t_product_int32(c[i], -128, d[i], 127); } }
"""
SUMS = [
    {"name": f"{form}{bits}", "form": form, "type": f"int{bits}_t"} for form in ("affine", "rne") for bits in (32, 64)
]


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prims")
    body = " ".join(f"t_{n}(" for n in NAMES) + " _requantize("
    text = "#include <stdint.h>\n#include <stddef.h>\n#include <string.h>\n"
    text += render("prim/c/requantize.c.j2", p="t", body=body)
    text += render("prim/c/select.c.j2", p="t", body=body, prim={"type": "int8_t"})
    text += "".join(render("prim/c/add.c.j2", p="t", prim=prim) for prim in SUMS)
    text += (
        "".join(render("prim/c/mul.c.j2", p="t", prim={"name": f"int{n}", "acc": f"int{n}_t"}) for n in (32, 64))
        + CALLS
    )
    (folder / "prims.c").write_text(text)
    sanitize = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    command = ["gcc", "-std=c99", "-O1", *sanitize, "-shared", "-fPIC", "prims.c", "-o", "prims.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "prims.so"))


def call(function, *args):
    pointers = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in args]
    function(*pointers, ctypes.c_size_t(max(a.size for a in args if isinstance(a, np.ndarray))))


@pytest.mark.parametrize("s", [0, 1, 2, 7, 16, 31, 32, 33, 40, 61, 62])
def test_requantize(c, s):
    rng = np.random.default_rng(s)
    n = 20_000
    m = rng.integers(-(1 << 31), 1 << 31, n)
    a = rng.integers(-(1 << 30), 1 << 30, n)
    m[::3], a[::3] = 1 << rng.integers(0, 31, len(m[::3])), rng.integers(-4000, 4000, len(a[::3]))  # ties
    y = np.empty(n, np.int64)
    call(c.rne, a, m, ctypes.c_uint(s), ctypes.c_int64(-77), y)
    np.testing.assert_array_equal(y, nm.rshift_rne(a * m, s) - 77)
    offset = rng.integers(-(1 << 60), 1 << 60, n)
    call(c.affine, a, m, offset, ctypes.c_uint(s), y)
    np.testing.assert_array_equal(y, (a * m + offset) >> s)
    if s >= 32:
        high = rng.integers(-(1 << 28), 1 << 28, n)
        narrow = np.empty(n, np.int32)
        call(
            c.affine_high, a.astype(np.int32), m.astype(np.int32), high.astype(np.int32), ctypes.c_uint(s - 32), narrow
        )
        np.testing.assert_array_equal(narrow, (a * m + (high << 32)) >> s)


@pytest.mark.parametrize("s", [0, 1, 2, 7, 16, 28, 31, 40, 60])
def test_sums(c, s):
    rng = np.random.default_rng(s)
    for bits, dtype, call_it in ((62, np.int64, c.sums), (30, np.int32, c.sums32)):
        if s > bits - 3:
            continue
        n = 20_000
        a, b = rng.integers(-128, 128, (2, n))
        m1, m2 = rng.integers(1, 1 << (bits - 10), (2, n))
        m1[::3], m2[::3] = 1 << rng.integers(0, bits - 10, len(m1[::3])), 1 << rng.integers(0, bits - 10, len(m1[::3]))
        offset = rng.integers(-(1 << (bits - 2)), 1 << (bits - 2), n)
        offset[::3] = 0  # ties
        y, z = np.empty(n, dtype), np.empty(n, dtype)
        call(call_it, *(v.astype(dtype) for v in (a, b, m1, m2, offset)), ctypes.c_uint(s), y, z)
        total = a * m1 + b * m2 + offset
        np.testing.assert_array_equal(y, total >> s)
        np.testing.assert_array_equal(z, nm.rshift_rne(total, s) - 77)


def test_clamps(c):
    a = np.concatenate([np.arange(-70_000, 70_000), [-(1 << 31), (1 << 31) - 1]]).astype(np.int32)
    y, z = np.empty_like(a), np.empty_like(a)
    call(c.saturate, a, y, z)
    np.testing.assert_array_equal(y, np.clip(a, -128, 127))
    np.testing.assert_array_equal(z, np.clip(a, 0, 255))
    call(c.clamp, a, -5, 300, y)
    np.testing.assert_array_equal(y, np.clip(a, -5, 300))


def test_comparisons_of_all_bytes(c):
    a, b = (g.astype(np.int8).ravel() for g in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    larger, greater = np.empty_like(a), np.empty(a.size, np.int32)
    call(c.bytes, a, b, larger, greater)
    np.testing.assert_array_equal(larger, np.maximum(a, b))
    np.testing.assert_array_equal(greater, a > b)


def test_products(c):
    wide, bytes_ = np.array([-(2**23), -1, 0, 5, 2**23 - 1]), np.arange(-128, 128, dtype=np.int32)
    a, b = (v.ravel().copy() for v in np.meshgrid(wide, wide))
    d, e = (v.ravel().copy() for v in np.meshgrid(bytes_, bytes_))
    n = d.size
    a, b = np.resize(a, n), np.resize(b, n)
    y, z = np.empty(n, np.int64), np.empty(n, np.int32)
    call(c.products, a, b, d, e, y, z)
    assert y.tolist() == nm.product(a, -(2**23), b, 2**23 - 1).tolist()
    assert z.tolist() == nm.product(d, -128, e, 127).tolist()
