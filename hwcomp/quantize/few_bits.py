"""Weights that are few-bit integers already: +-1, ternary or up to 8 bits times one scale per channel, found in float32."""

from __future__ import annotations

import numpy as np

from hwcomp.types import QType

MOST = 127  # largest magnitude: 8 bits
_NOISE = 2.0**-21  # relative: a product or two of float32 that an exporter rounded


def recognized(rows: np.ndarray, most: int = MOST) -> tuple[np.ndarray, np.ndarray] | None:
    """(int64 q [M, K], float32 scales [M]) with rows[m] = q[m] * scales[m] but for float noise, |q| <= `most`; or None.

    Per row the largest scale that does it is taken: {0, 2a} is ternary, not 2 bits more. A row of zeros has scale 1.
    """
    q, scales = np.zeros(rows.shape, np.int64), np.ones(len(rows), np.float32)
    for i, row in enumerate(np.asarray(rows, np.float64)):
        largest = np.abs(row).max(initial=0.0)
        if largest == 0:
            continue
        values = np.unique(np.abs(row))
        for n in range(1, most + 1):
            scaled = values * (n / largest)
            if (np.abs(scaled - np.rint(scaled)) <= _NOISE * n).all():
                break
        else:
            return None
        q[i], scales[i] = np.rint(row * (n / largest)), np.float32(largest / n)
    return q, scales


def weight_type(q: np.ndarray, scales: np.ndarray) -> QType:
    """The least type that holds the integers: bipolar, ternary, or 2 to 4 bits and more."""
    scale, most = tuple(map(float, scales)), int(np.abs(q).max(initial=0))
    if (np.abs(q) == 1).all():
        return QType(1, True, "bipolar", scale, 0, 0)
    if most <= 1:
        return QType(2, True, "ternary", scale, 0, 0)
    bits = next(b for b in range(2, 25) if -(1 << (b - 1)) <= q.min() and q.max() < 1 << (b - 1))
    return QType(bits, True, "affine", scale, 0, 0)
