"""Post-training weights of few bits: one scale per channel times small integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Name of a `--quant` value -> bits that a weight takes in memory.
BITS = {"binary": 1, "binary-weights": 1, "ternary": 2, "int2": 2, "int3": 3, "int4": 4, "log2": 4, "int8": 8}
ZERO = BITS.keys() - {"binary", "binary-weights"}  # schemes with a zero
_TRIALS = np.linspace(0.3, 1.0, 36)  # scales that are tried, in parts of the one that clips nothing
_EXPONENTS = 7  # of log2 weights: 2^0 .. 2^6, with sign and zero 15 values
_RANGES = {"ternary": (-1, 1), "int2": (-2, 1), "int3": (-3, 3), "int4": (-7, 7), "int8": (-127, 127)}


def few(rows: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(int64 q [M, K], float32 scales [M]) of float64 weights [M, K] by scheme `kind`.

    binary, binary-weights: sign(w), scale mean|w| (XNOR-Net, Rastegari 2016). ternary: 0 below 0.7 mean|w|, scale the mean
    of the others (TWN, Li 2016). int2 (-2..1), int3 (-3..3), int4 (-7..7), int8: the scale with the least squared error. log2: +-2^k,
    nearest.
    """
    size = np.abs(rows)
    if kind in ("binary", "binary-weights"):
        q, scale = np.where(rows >= 0, 1, -1), size.mean(axis=1)
    elif kind == "ternary":
        large = size > 0.7 * size.mean(axis=1, keepdims=True)
        q = np.where(large, np.sign(rows), 0)
        scale = (size * large).sum(axis=1) / np.maximum(large.sum(axis=1), 1)
    elif kind == "log2":
        scale = size.max(axis=1, initial=0.0) / (1 << (_EXPONENTS - 1))
        scale = np.where(scale > 0, scale, 1.0)
        ratio = size / scale[:, None]
        power = np.clip(np.rint(np.log2(np.maximum(ratio, 2.0**-9))), 0, _EXPONENTS - 1)
        q = np.where(ratio < 0.5, 0, np.sign(rows) * 2.0**power)
    else:
        q, scale = _nearest(rows, *_RANGES[kind])
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return q.astype(np.int64), scale


def nearest_level(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function that takes float64 values to the nearest integers that weights of scheme `kind` may be."""
    if kind in ("binary", "binary-weights"):
        return lambda u: np.where(u >= 0, 1.0, -1.0)
    if kind == "log2":
        powers = 2.0 ** np.arange(_EXPONENTS)
        levels = np.concatenate([-powers[::-1], [0.0], powers])
        return lambda u: levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, u)]
    lo, hi = _RANGES[kind]
    return lambda u: np.clip(np.rint(u), lo, hi)


def _nearest(rows: np.ndarray, lo: int, hi: int) -> tuple[np.ndarray, np.ndarray]:
    """The integers and scales with the least squared error of those that are tried."""
    whole = np.maximum(np.maximum(rows.max(axis=1) / hi, rows.min(axis=1) / lo), 0.0)
    whole = np.where(whole > 0, whole, 1.0)
    best = np.full(len(rows), np.inf)
    found, scales = np.zeros(rows.shape), whole.copy()
    for part in _TRIALS if hi < 127 else (1.0,):
        scale = whole * part
        q = np.clip(np.rint(rows / scale[:, None]), lo, hi)
        error = ((rows - q * scale[:, None]) ** 2).sum(axis=1)
        better = error < best
        best = np.where(better, error, best)
        found[better], scales[better] = q[better], scale[better]
    return found, scales
