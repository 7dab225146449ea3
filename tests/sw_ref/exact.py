"""The numeric contract a second time, in Python integers and fractions, one element at a time: slow and plain."""

from fractions import Fraction
from itertools import product


def nearest_even(value: Fraction) -> int:
    """Round to the nearest integer, ties to even."""
    below = value.numerator // value.denominator
    rest = value - below
    if rest == Fraction(1, 2):
        return below + below % 2
    return below + (rest > Fraction(1, 2))


def floor(value: Fraction) -> int:
    return value.numerator // value.denominator


def clamp(value: int, lo: int, hi: int) -> int:
    return lo if value < lo else hi if value > hi else value


def rne(a: int, m: int, s: int, zero: int, lo: int, hi: int) -> int:
    return clamp(nearest_even(Fraction(a * m, 2**s)) + zero, lo, hi)


def affine(a: int, m: int, c: int, s: int, lo: int, hi: int) -> int:
    return clamp(floor(Fraction(a * m + c, 2**s)), lo, hi)


def out_sizes(shape, kernel, strides, dilations, pads):
    top, left, bottom, right = pads
    padded = (shape[0] + top + bottom, shape[1] + left + right)
    return [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(padded, kernel, strides, dilations, strict=True)]


def taps(x, channel, row, col, kernel, strides, dilations, pads, pad_value):
    """The elements under one window of one channel of x [C][H][W], in row-major order."""
    plane = x[channel]
    for i, j in product(range(kernel[0]), range(kernel[1])):
        r, c = row * strides[0] + i * dilations[0] - pads[0], col * strides[1] + j * dilations[1] - pads[1]
        inside = 0 <= r < len(plane) and 0 <= c < len(plane[0])
        yield plane[r][c] if inside else pad_value


def conv2d(x, weight, bias, *, strides, dilations, pads, groups, pad_value):
    """x [C][H][W], weight [M][C/groups][KH][KW] as nested lists of ints -> {(m, row, col): accumulator}."""
    per_in, per_out = len(weight[0]), len(weight) // groups
    kernel = (len(weight[0][0]), len(weight[0][0][0]))
    rows, cols = out_sizes((len(x[0]), len(x[0][0])), kernel, strides, dilations, pads)
    found = {}
    for m, row, col in product(range(len(weight)), range(rows), range(cols)):
        total = bias[m]
        for c in range(per_in):
            flat = [w for line in weight[m][c] for w in line]
            under = taps(x, m // per_out * per_in + c, row, col, kernel, strides, dilations, pads, pad_value)
            total += sum(w * v for w, v in zip(flat, under, strict=True))
        found[m, row, col] = total
    return found


def maxpool2d(x, *, kernel, strides, dilations, pads, pad_value):
    rows, cols = out_sizes((len(x[0]), len(x[0][0])), kernel, strides, dilations, pads)
    return {
        (c, row, col): max(taps(x, c, row, col, kernel, strides, dilations, pads, pad_value))
        for c, row, col in product(range(len(x)), range(rows), range(cols))
    }


def sumpool2d(x, *, kernel, strides, dilations, pads, pad_value):
    rows, cols = out_sizes((len(x[0]), len(x[0][0])), kernel, strides, dilations, pads)
    return {
        (c, row, col): sum(taps(x, c, row, col, kernel, strides, dilations, pads, pad_value))
        for c, row, col in product(range(len(x)), range(rows), range(cols))
    }


def argmax(values) -> int:
    best = 0
    for i, v in enumerate(values):
        if v > values[best]:
            best = i
    return best


def softmax(row, coarse, fine, split, bits, fraction, zero, lo, hi):
    """The shares of one row of integers."""
    e = []
    for x in row:
        d = max(row) - x
        value = coarse[d >> split] if d >> split < len(coarse) else 0
        e.append(nearest_even(Fraction(value * fine[d % (1 << split)], 2**bits)) if split else value)
    return [clamp(nearest_even(Fraction(v << fraction, sum(e))) + zero, lo, hi) for v in e]
