"""Erf: the error function. Source: ONNX operator specification, Erf."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op

_FLAT = 6.0  # 1 - erf(6) is below the last place of a float64


def erf(x: np.ndarray) -> np.ndarray:
    """erf in the precision of x, by its series 2/sqrt(pi) * exp(-x^2) * sum 2^n x^(2n+1) / (1*3*..*(2n+1)).

    All terms have one sign, so nothing cancels (Abramowitz and Stegun, 7.1.6).
    """
    t = np.clip(x, -_FLAT, _FLAT).astype(np.float64)
    term, total, n = t, t.copy(), 0
    while np.any(np.abs(term) > np.abs(total) * 2.0**-54):
        n += 1
        term = term * (2 * t * t / (2 * n + 1))
        total += term
    return np.clip(2 / math.sqrt(math.pi) * np.exp(-t * t) * total, -1, 1).astype(x.dtype)


@op("Erf")
class Erf(Unary):
    def function(self, x, attrs):
        return erf(x)
