"""Engines of few bits: how the weights of a dot product are held, and where thresholds stand. Decided from the kernel alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sw_ref.program import Edge, Kernel

PRODUCT, SIGN, TERNARY, POWER = range(4)  # W_KIND of hwc_product
SMALL = 6  # bits of input and weight together of which hwc_product makes a table
AGREE_FIRST = 8  # pairs of bits that hwc_agree counts at once


@dataclass(frozen=True)
class Weights:
    """`kind` and `bits` of a weight; `agree`: bits of input and weight that agree are counted, there is no product."""

    kind: int
    bits: int
    agree: bool = False

    @property
    def masks(self) -> bool:
        """Whether no weight is zero, so that idle lanes must be cleared."""
        return self.kind == SIGN


def weights_of(kernel: Kernel, x: Edge) -> Weights:
    """The narrowest form that holds all weights of a dot product that reads `x`."""
    size = np.abs(kernel.constants["weight"].astype(np.int64))
    most, least = int(size.max(initial=0)), int(size.min(initial=0))
    if most == least == 1:
        return Weights(SIGN, 1, x.bipolar)
    bits = magnitude(kernel.constants["weight"]) + 1
    if x.bipolar:
        return Weights(PRODUCT, bits)
    if most <= 1:
        return Weights(TERNARY, 2)
    if not (size & (size - 1)).any():
        return Weights(POWER, 1 + most.bit_length().bit_length())
    return Weights(PRODUCT, bits)


def magnitude(values: np.ndarray) -> int:
    """Bits of the largest magnitude, the sign apart."""
    lo, hi = int(values.min(initial=0)), int(values.max(initial=0))
    return max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0, 1)


def thresholds(kernel: Kernel) -> int:
    """How many there are in a channel; 0 in the other forms."""
    if kernel.params.get("requantize", {}).get("form") != "threshold":
        return 0
    return kernel.constants["threshold"].shape[1]


def decides(kernel: Kernel) -> bool:
    """Whether a dot product gives one bit per sum, with its threshold in the bias: the sign of what is left."""
    return kernel.kind in ("conv2d", "dense") and thresholds(kernel) == 1 and not kernel.constants["descending"].any()


def zoned(kernel: Kernel, x: Edge) -> bool:
    """Whether padding is a real 0 between -1 and +1, so that sums at the border lack some terms."""
    return kernel.kind == "conv2d" and x.bipolar and kernel.params["pad_value"] == 0 and any(kernel.params["pads"])


def dot_latency(lanes: int, weights: Weights) -> int:
    """Cycles from a beat to its sum in the accumulator; `lanes` that are added up."""
    terms = -(-lanes // AGREE_FIRST) if weights.agree else lanes
    return 3 + (terms - 1).bit_length() // 2
