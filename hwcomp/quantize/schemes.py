"""Schemes: which integers stand for which reals, for activations and for weights."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.types import QType

_TINY = float(np.finfo(np.float32).tiny)
_HALVINGS = 4


@dataclass(frozen=True)
class Scheme:
    """`kind`: affine (float scales, zero points, weights per channel), dfp (a power of two per tensor) or fixed (one for all).

    `bits` of activations and weights alike; `fraction`: n of fixed Qm.n. `few`: what the pass few_bits makes
    of the weights; the rest is int8.
    """

    kind: str
    bits: int
    fraction: int = 0
    few: str = ""

    @property
    def symmetric(self) -> bool:
        return self.kind != "affine"

    def activation(self, lo: float, hi: float) -> QType:
        if self.kind == "affine":
            return affine_type(lo, hi, self.bits)
        if self.kind == "dfp":
            return QType(self.bits, True, "pow2", (_power(max(abs(lo), abs(hi)), self.bits),))
        return QType(self.bits, True, "pow2", (2.0**-self.fraction,))

    def probability(self) -> QType:
        """The type of values in [0, 1] that add up to 1, as TensorFlow Lite has it for int8: 1.0 is the one that saturates."""
        if self.kind == "affine":
            return QType(self.bits, True, "affine", (2.0**-self.bits,), -(1 << (self.bits - 1)))
        return QType(self.bits, True, "pow2", (2.0 ** -(self.fraction if self.kind == "fixed" else self.bits - 1),))

    def weights(self, rows: np.ndarray, bias: np.ndarray, sx: float) -> np.ndarray:
        """float32 scales [channels] for float64 weights [channels, K] and biases [channels]."""
        limit = (1 << (self.bits - 1)) - 1
        if self.kind == "affine":
            room = 30 if self.bits <= 8 else 45
            return weight_scales(np.abs(rows).max(axis=1, initial=0.0), np.abs(bias), sx, limit, room)
        scale = 2.0**-self.fraction if self.kind == "fixed" else least_error_power(rows, np.ones(1), self.bits)
        return np.full(len(rows), scale, np.float32)


def scheme(quant: str) -> Scheme:
    """The scheme of a `--quant` value. UsageError where its numbers are out of range."""
    if quant in ("int4", "int2", "ternary", "binary", "binary-weights", "log2", "auto"):
        return Scheme("affine", 8, few=quant)
    if match := re.fullmatch(r"int(8|16)", quant):
        return Scheme("affine", int(match[1]))
    if match := re.fullmatch(r"dfp(\d+)", quant):
        found = Scheme("dfp", int(match[1]))
    elif match := re.fullmatch(r"fixed:Q(\d+)\.(\d+)", quant):
        found = Scheme("fixed", 1 + int(match[1]) + int(match[2]), int(match[2]))
    else:
        raise UsageError(
            f"--quant {shown(quant)} is not available in this version",
            fix="use int8, int16, int4, int2, ternary, binary, binary-weights, log2, auto, dfp<bits> or fixed:Q<m>.<n>",
        )
    if not 4 <= found.bits <= 16:
        raise UsageError(f"--quant {shown(quant)} has {found.bits} bits", fix="4 to 16 are possible")
    return found


def affine_type(lo: float, hi: float, bits: int) -> QType:
    """A signed type of `bits` whose representable reals span [lo, hi] and contain 0.0 exactly.

    The scale is a float32, as onnxruntime computes it; the zero point is clip(rint(qmin - lo/scale)).
    """
    lo, hi = min(float(lo), 0.0), max(float(hi), 0.0)
    qmin, qmax = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    scale = np.float32((hi - lo) / (qmax - qmin))
    if not scale > 0 or scale < _TINY:  # a tensor that is always zero: any scale will do
        return QType(bits, True, "affine", (1.0,), 0)
    zero = int(np.clip(np.rint(qmin - lo / float(scale)), qmin, qmax))
    return QType(bits, True, "affine", (float(scale),), zero)


def weight_scales(max_weight: np.ndarray, max_bias: np.ndarray, sx: float, limit: int, room: int = 30) -> np.ndarray:
    """float32 [channels]: max(max|w|/limit, |b|/(sx * 2^room), 2^-16 * the largest of max|w|/limit).

    The second term keeps the bias in range, the third keeps dead channels from needing absurd multipliers
    (docs/numerics.md, "Scales that we choose").
    """
    base = max_weight / limit
    floor = base.max() * 2.0**-16 if base.size else 0.0
    scales = np.maximum(np.maximum(base, max_bias / (sx * 2.0**room)), floor)
    scales[scales <= 0] = 1.0  # all weights and biases of the layer are zero
    return np.maximum(scales, _TINY).astype(np.float32)


def _power(largest: float, bits: int) -> float:
    """The least power of two that keeps `largest` inside a signed type of `bits`; 1.0 for zero."""
    if largest <= 0:
        return 1.0
    mantissa, exponent = np.frexp(largest / ((1 << (bits - 1)) - 1))
    return float(np.ldexp(1.0, int(exponent) - (mantissa == 0.5)))


def least_error_power(values: np.ndarray, weight: np.ndarray, bits: int) -> float:
    """The power of two, at most _HALVINGS below the one that clips nothing, with the least sum of squared errors.

    `weight` counts the `values` (broadcasts to them). Clipping a few large ones can buy a bit for all others.
    """
    limit = (1 << (bits - 1)) - 1
    widest = _power(float(np.abs(values).max(initial=0.0)), bits)

    def loss(scale: float) -> float:
        q = np.clip(np.rint(values / scale), -limit, limit) * scale
        return float((weight * (q - values) ** 2).sum())

    return min((widest / 2**n for n in range(_HALVINGS + 1)), key=loss)
