"""Weights of few bits in C: fields of 1, 2 or 4 bits in words of 32, which layers have them, and how they lie in a word."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.plan.memory import WeightLayout
from sw_ref.program import Edge, Kernel

WORD = 32
SIZES = (1, 2, 4)  # bits of a field; three are stored as four, so that no field lies across the halves of a word


def choose(kernel: Kernel, x: Edge, rows: int, k: int) -> WeightLayout | None:
    """The layout of a dot product's weights as fields; None where they have too many values, or sums leave 32 bits.

    A weight is first + step * field. The kernels add up field * x, for one of two rows scaled by 2^bits, and the sum of x.
    """
    weight = kernel.constants["weight"].astype(np.int64)
    lo, hi = int(weight.min()), int(weight.max())
    step = 2 if math.gcd(*np.unique(weight - lo).tolist()) % 2 == 0 and hi > lo else 1
    bits = next((b for b in SIZES if (hi - lo) // step < 1 << b), None)
    if bits is None or x.dtype.itemsize > 2 or kernel.params["acc_bits"] > WORD:
        return None
    most = k * max(map(abs, x.type_range))
    bias = int(np.abs(kernel.constants["bias"].astype(np.int64)).max(initial=0))
    if max(most << 2 * bits, bias + most * (abs(lo) + (step << bits))) >= 1 << WORD - 1:
        return None
    per_word = 16 // bits
    return WeightLayout(rows, k, -(-k // per_word) * per_word, 2, x.dtype.itemsize == 1, "uint32_t", bits, lo, step)


def words(layout: WeightLayout) -> int:
    """Words of a pair of rows."""
    return 2 * layout.k_stored * layout.bits // WORD


def stored(weight: np.ndarray, groups: int, layout: WeightLayout) -> np.ndarray:
    """[rows, k] -> uint32 words, per group the words of each pair of rows (the last row may stand alone, with a row of 0).

    Two neighbours of k lie in the halves of a word, row 0 of the pair below row 1, the next two neighbours above:
    with r = (k / 2 within the word) * 2 + row and h = k % 2 a field is at bit r * bits + 16 * h. Within 4 neighbours k runs
    0, 2, 1, 3 where the layout has quads.
    """
    rows, k = weight.shape[0] // groups, weight.shape[1]
    field = np.zeros((groups, rows + rows % 2, layout.k_stored), np.uint32)
    field[:, :rows, :k] = (weight.reshape(groups, rows, k).astype(np.int64) - layout.first) // layout.step
    if layout.quads:
        field = field.reshape(*field.shape[:2], -1, 4)[..., [0, 2, 1, 3]].reshape(field.shape)
    pairs = field.reshape(groups, -1, 2, words(layout), WORD // 4 // layout.bits, 2)  # ..., row, word, k / 2, half
    at = np.arange(pairs.shape[4])[:, None] * 2 * layout.bits + np.arange(2) * 16
    at = at + layout.bits * np.arange(2)[:, None, None, None]
    return np.bitwise_or.reduce(pairs << at.astype(np.uint32), axis=(2, 4, 5)).ravel()


def text(layout: WeightLayout, order: str) -> str:
    """What the comment over the array says."""
    value = f"{layout.first} + {f'{layout.step} * ' if layout.step > 1 else ''}field"
    quads = ", 0,2,1,3 within four" if layout.quads else ""
    return f"weights, pairs of rows in fields of {layout.bits} bits ({value}); k: {order}{quads}; {layout.k} in {layout.k_stored}"
