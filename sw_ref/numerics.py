"""The primitives of the numeric contract (docs/numerics.md). Normative: every backend must equal these, bit for bit.

All functions take and return int64 arrays (or Python ints) holding exact integers. Nothing here wraps or saturates
silently: callers guarantee the bounds that `Program` carries, and `lower` proves them.
"""

from __future__ import annotations

import numpy as np

# A float type holds every integer of this signed width exactly, and its matrix product is far faster than int64's.
_EXACT_BITS = ((25, np.float32), (54, np.float64))


def rshift_rne(p, s: int):
    """p / 2**s rounded to the nearest integer, ties to even; s >= 0. Source: docs/numerics.md, "Requantize"."""
    p = np.asarray(p, dtype=np.int64)
    if s == 0:
        return p
    return (p + ((1 << (s - 1)) - 1) + ((p >> s) & 1)) >> s


def requantize_rne(a, m, s: int, zero: int, lo: int, hi: int):
    """clamp(rshift_rne(a*m, s) + zero, lo, hi). `m` broadcasts against `a`; |a*m| < 2**62."""
    return np.clip(rshift_rne(np.asarray(a, np.int64) * np.asarray(m, np.int64), s) + zero, lo, hi)


def requantize_affine(a, m, c, s: int, lo: int, hi: int):
    """clamp((a*m + c) >> s, lo, hi). `c` holds rounding, zero point and bias; |a*m + c| < 2**63."""
    return np.clip((np.asarray(a, np.int64) * np.asarray(m, np.int64) + np.asarray(c, np.int64)) >> s, lo, hi)


def requantize_threshold(a, thresholds, descending, lo: int, step: int):
    """lo + step * #{i : a >= T_i}, or with N - # in its place where `descending` (a falling staircase).

    `thresholds` [N, ...] and `descending` [...] (0 or 1) broadcast against `a`. Source: docs/numerics.md, "Binary".
    """
    a = np.asarray(a, np.int64)
    count = np.zeros(a.shape, np.int64)
    for t in thresholds:
        count += a >= t
    return lo + step * np.where(descending, len(thresholds) - count, count)


def exact_dtype(acc_bits: int) -> type:
    """The fastest type whose products and sums are exact if every partial sum fits `acc_bits` (signed width)."""
    return next((dtype for bits, dtype in _EXACT_BITS if acc_bits <= bits), np.int64)


def exact_matmul(x, w, acc_bits: int):
    """x [..., K] times w [M, K] transposed -> int64 [..., M]; `acc_bits` bounds every partial sum, in any order."""
    dtype = exact_dtype(acc_bits)
    return (np.asarray(x, dtype) @ np.asarray(w, dtype).T).astype(np.int64)


def pad2d(x, pads, value: int):
    """x [N, C, H, W] padded by (top, left, bottom, right) elements of `value`."""
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def windows2d(x, kernel, strides, dilations):
    """Views of x [N, C, H, W] (already padded) -> [N, C, OH, OW, KH, KW]."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, strides, dilations
    extent = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))
    return view[:, :, ::sh, ::sw, ::dh, ::dw]


def conv2d_accumulate(x, weight, bias, *, strides, dilations, pads, groups: int, pad_value: int, acc_bits: int):
    """Exact accumulators of a convolution: x [N, C, H, W], weight [M, C/groups, KH, KW], bias [M] -> [N, M, OH, OW].

    A padded element is `pad_value` (the zero point of x, which `bias` already compensates).
    """
    m, cg, kh, kw = weight.shape
    win = windows2d(pad2d(np.asarray(x, exact_dtype(acc_bits)), pads, pad_value), (kh, kw), strides, dilations)
    n, _, oh, ow = win.shape[:4]
    out = np.empty((n, m, oh, ow), np.int64)
    per = m // groups
    for g in range(groups):
        cols = win[:, g * cg : (g + 1) * cg].transpose(0, 2, 3, 1, 4, 5).reshape(n * oh * ow, cg * kh * kw)
        acc = exact_matmul(cols, weight[g * per : (g + 1) * per].reshape(per, -1), acc_bits)
        out[:, g * per : (g + 1) * per] = acc.reshape(n, oh, ow, per).transpose(0, 3, 1, 2)
    return out + np.asarray(bias, np.int64)[:, None, None]


def dense_accumulate(x, weight, bias, *, acc_bits: int):
    """Exact accumulators of a dense layer: x [N, ..., K], weight [M, K], bias [M] -> [N, ..., M]."""
    return exact_matmul(x, weight, acc_bits) + np.asarray(bias, np.int64)


def maxpool2d(x, *, kernel, strides, dilations, pads, pad_value: int):
    """x [N, C, H, W] -> [N, C, OH, OW]; padded elements are `pad_value`, the least value of the type."""
    win = windows2d(pad2d(np.asarray(x), pads, pad_value), kernel, strides, dilations)
    return win.max(axis=(4, 5))


def sumpool2d(x, *, kernel, strides, dilations, pads, pad_value: int):
    """Sums over windows: x [N, C, H, W] -> int64 [N, C, OH, OW]; padded elements are `pad_value`."""
    win = windows2d(pad2d(np.asarray(x, np.int64), pads, pad_value), kernel, strides, dilations)
    return win.sum(axis=(4, 5))


def add_rne(a, b, ma: int, mb: int, offset: int, s: int, zero: int, lo: int, hi: int):
    """clamp(rshift_rne(a*ma + b*mb + offset, s) + zero, lo, hi): two terms, one rounding."""
    total = np.asarray(a, np.int64) * ma + np.asarray(b, np.int64) * mb + offset
    return np.clip(rshift_rne(total, s) + zero, lo, hi)


def add_affine(a, b, ma: int, mb: int, offset: int, s: int, lo: int, hi: int):
    """clamp((a*ma + b*mb + offset) >> s, lo, hi); `offset` holds rounding and zero points."""
    return np.clip((np.asarray(a, np.int64) * ma + np.asarray(b, np.int64) * mb + offset) >> s, lo, hi)


def product(a, zero_a: int, b, zero_b: int):
    """(a - zero_a) * (b - zero_b), exact; b broadcasts against a. The operands have at most 24 bits."""
    return (np.asarray(a, np.int64) - zero_a) * (np.asarray(b, np.int64) - zero_b)


def look_up(x, table, first: int):
    """table[x - first]: a function with one entry per stored value, `first` being the least."""
    return np.asarray(table, np.int64)[np.asarray(x, np.int64) - first]


def argmax_first(x, axis: int):
    """Index of the largest element along `axis`; the lowest index on ties. Source: ONNX ArgMax, select_last_index=0."""
    return np.argmax(x, axis=axis).astype(np.int64)


def divide_rne(n, d):
    """n / d rounded to the nearest integer, ties to even; n >= 0, d > 0, 2*d < 2**63."""
    n, d = np.asarray(n, np.int64), np.asarray(d, np.int64)
    q = n // d
    twice = 2 * (n - q * d)
    return q + ((twice > d) | ((twice == d) & (q % 2 == 1)))


def exp_lookup(d, coarse, fine, split: int, bits: int):
    """2**bits * exp(-d * scale) for d >= 0 from tables; 0 beyond the end of `coarse`.

    split = 0: coarse[d]. Else rshift_rne(coarse[d >> split] * fine[d mod 2**split], bits): exp(-a - b) = exp(-a) * exp(-b).
    """
    d, coarse = np.asarray(d, np.int64), np.append(np.asarray(coarse, np.int64), 0)
    value = coarse[np.minimum(d >> split, len(coarse) - 1)]
    if split == 0:
        return value
    return rshift_rne(value * np.asarray(fine, np.int64)[d & ((1 << split) - 1)], bits)


def softmax(x, axes, coarse, fine, split: int, bits: int, fraction: int, zero: int, lo: int, hi: int):
    """clamp(divide_rne(e * 2**fraction, sum e) + zero, lo, hi), e = exp_lookup(max x - x), max and sum over `axes`.

    e <= 2**bits is one of the summands, so the quotient is at most 2**fraction. bits + fraction <= 62, sum e < 2**62.
    """
    x = np.asarray(x, np.int64)
    e = exp_lookup(x.max(axis=axes, keepdims=True) - x, coarse, fine, split, bits)
    return np.clip(divide_rne(e << fraction, e.sum(axis=axes, keepdims=True)) + zero, lo, hi)


def shift_up(p, s: int):
    """p / 2**s rounded to the nearest integer, ties up; s >= 1."""
    return (np.asarray(p, np.int64) + (1 << (s - 1))) >> s


def interpolate(x, table, bits: int):
    """A function between its values `table` at multiples of 2**bits: straight lines, ties up; 0 <= x < (len - 1) * 2**bits."""
    x, table = np.asarray(x, np.int64), np.asarray(table, np.int64)
    at = x >> bits
    return table[at] + shift_up((table[at + 1] - table[at]) * (x & ((1 << bits) - 1)), bits)


def matmul_accumulate(a, zero_a: int, b, zero_b: int, *, acc_bits: int):
    """Exact sums of (a - zero_a) * (b - zero_b): a [..., M, K], b [..., K, N] -> int64 [..., M, N]."""
    dtype = exact_dtype(acc_bits)
    return ((np.asarray(a, dtype) - zero_a) @ (np.asarray(b, dtype) - zero_b)).astype(np.int64)


def floor_root(d):
    """The largest integers whose squares are at most d; 0 <= d < 2**62. Bit by bit, as C does it."""
    rest, root = np.array(d, np.int64), np.zeros(np.shape(d), np.int64)
    for place in range(60, -1, -2):
        trial = root + (1 << place)
        fits = rest >= trial
        rest = np.where(fits, rest - trial, rest)
        root = np.where(fits, (root >> 1) + (1 << place), root >> 1)
    return root


def inverse_root(d):
    """(r, k) with r / 2**(61 - k) = 1 / sqrt(d) but for a part of 2**-30; 1 <= d < 2**62, 2**30 <= r <= 2**31.

    k: how many times d can be multiplied by 4 below 2**62; then r = 2**61 // floor_root(d * 4**k).
    """
    d = np.asarray(d, np.int64)
    k = np.zeros(d.shape, np.int64)
    for step in (16, 8, 4, 2, 1):
        k = np.where(d < np.int64(1) << (62 - 2 * (k + step)), k + step, k)
    return (np.int64(1) << 61) // floor_root(d << (2 * k)), k


def normalize(x, epsilon: int, fraction: int, bits: int):
    """(x - mean) / sqrt(sum of squares + epsilon) over the last axis, in steps of 2**-bits: integers of that much.

    With n elements, d = n*x - sum x and D = (sum d*d << fraction) + epsilon: shift_up(d * r, 61 - bits - fraction/2 - k)
    for (r, k) = inverse_root(D). `fraction` is even, `epsilon` >= 1 stands for 2**fraction * n**3 * (that of the model, in
    squared steps of x). D < 2**62 and |d| < 2**31 by construction; where all x are alike every d is 0.
    """
    x = np.asarray(x, np.int64)
    d = x.shape[-1] * x - x.sum(axis=-1, keepdims=True)
    r, k = inverse_root(((d * d).sum(axis=-1, keepdims=True) << fraction) + epsilon)
    shift = np.maximum(61 - bits - fraction // 2 - k, 1)
    return (d * r + (np.int64(1) << (shift - 1))) >> shift
