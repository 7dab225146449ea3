"""Provable bounds of accumulators (docs/numerics.md, "Accumulators never overflow, provably")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bounds:
    """int64 [channels]: `final_lo/hi` bound the finished sum; every partial sum in any order lies in [part_lo, part_hi]."""

    final_lo: np.ndarray
    final_hi: np.ndarray
    part_lo: int
    part_hi: int

    @property
    def bits(self) -> int:
        """Signed width that holds every partial sum."""
        return signed_bits(self.part_lo, self.part_hi)


def signed_bits(lo: int, hi: int) -> int:
    """Width of the two's complement type that holds lo..hi."""
    return max((~lo if lo < 0 else lo).bit_length(), (~hi if hi < 0 else hi).bit_length()) + 1


def of_dot(weight: np.ndarray, bias: np.ndarray, x_lo: int, x_hi: int) -> Bounds:
    """weight [channels, ...] and folded bias [channels] over inputs in [x_lo, x_hi] (zero point of padding included)."""
    w = weight.reshape(weight.shape[0], -1).astype(np.int64)
    at_lo, at_hi = w * x_lo, w * x_hi
    most = np.maximum(np.maximum(at_lo, at_hi), 0).sum(axis=1)
    least = np.minimum(np.minimum(at_lo, at_hi), 0).sum(axis=1)
    # The finished sum has all terms, a partial one any subset: the bounds above hold for both. The finished one may be
    # tighter where 0 is not between the limits.
    end_hi, end_lo = np.maximum(at_lo, at_hi).sum(axis=1), np.minimum(at_lo, at_hi).sum(axis=1)
    part_lo = int((np.minimum(bias, 0) + least).min())
    part_hi = int((np.maximum(bias, 0) + most).max())
    return Bounds(bias + end_lo, bias + end_hi, part_lo, part_hi)
