"""Scales and zero points from ranges."""

from __future__ import annotations

import numpy as np

from hwcomp.types import QType


def affine_type(lo: float, hi: float, bits: int) -> QType:
    """A signed type of `bits` whose representable reals span [lo, hi] and contain 0.0 exactly.

    The scale is a float32, as onnxruntime computes it; the zero point is clip(rint(qmin - lo/scale)).
    """
    lo, hi = min(float(lo), 0.0), max(float(hi), 0.0)
    qmin, qmax = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    scale = np.float32((hi - lo) / (qmax - qmin))
    if not scale > 0 or scale < np.finfo(np.float32).tiny:  # a tensor that is always zero: any scale will do
        return QType(bits, True, "affine", (1.0,), 0)
    zero = int(np.clip(np.rint(qmin - lo / float(scale)), qmin, qmax))
    return QType(bits, True, "affine", (float(scale),), zero)


def weight_scales(max_weight: np.ndarray, max_bias: np.ndarray, sx: float, limit: int) -> np.ndarray:
    """float32 [channels]: max(max|w|/limit, |b|/(sx * 2^30), 2^-16 * the largest of max|w|/limit).

    The second term keeps the int32 bias in range, the third keeps dead channels from needing absurd multipliers
    (docs/numerics.md, "Scales that we choose").
    """
    base = max_weight / limit
    floor = base.max() * 2.0**-16 if base.size else 0.0
    scales = np.maximum(np.maximum(base, max_bias / (sx * 2.0**30)), floor)
    scales[scales <= 0] = 1.0  # all weights and biases of the layer are zero
    return np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)
