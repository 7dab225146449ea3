"""Engines of few bits: how the weights of a dot product are held, and where thresholds stand. Decided from the kernel alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwcomp.plan.folding import Fold, Parts
from sw_ref.program import Edge, Kernel

PRODUCT, SIGN, TERNARY, POWER = range(4)  # W_KIND of hwc_product
SMALL = 6  # bits of input and weight together of which hwc_product makes a table
ANY, BLOCK, LOGIC = range(3)  # STYLE of hwc_rom
STYLES = ("any", "block", "logic")
FORMS = ("product", "sign", "ternary", "power of two")
_SHALLOW, _LARGE = 16, 1024  # words; bits
_WIDE = 8  # bits of weights whose memory the tools choose
_FEW = 3  # thresholds that are compared at once, without a register
TAKE_BITS = ("argmax", "concat", "conv2d", "dense", "maxpool2d", "pad", "reorder", "shuffle", "slice")
"""Kernels that take lanes of one bit as they are; the others get -1 and +1."""


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
    most, least = int(size.max(initial=0)), int(size.min(initial=1))
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


def encoded(weights: np.ndarray, held: Weights) -> np.ndarray:
    """int64: weights as hwc_product takes them."""
    if held.kind == SIGN:
        # An idle lane is cleared; against a 1 it does not agree.
        return (weights >= 0 if held.agree else weights < 0).astype(np.int64)
    if held.kind == POWER:
        size = np.abs(weights)
        exponent = np.where(size > 0, np.frexp(size.astype(np.float64))[1], 0).astype(np.int64)
        return exponent | (weights < 0).astype(np.int64) << (held.bits - 1)
    return weights & 3 if held.kind == TERNARY else weights


def as_integers(edge: Edge) -> Edge:
    """Lanes of one bit as integers of two, -1 and +1."""
    return replace(edge, bits=2, bipolar=False) if edge.bipolar else edge


def magnitude(values: np.ndarray) -> int:
    """Bits of the largest magnitude, the sign apart."""
    lo, hi = int(values.min(initial=0)), int(values.max(initial=0))
    return max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0, 1)


def thresholds(kernel: Kernel) -> int:
    """How many there are in a channel; 0 in the other forms."""
    if kernel.params.get("requantize", {}).get("form") != "threshold":
        return 0
    return kernel.constants["threshold"].shape[1]


def decides(kernel: Kernel, y: Edge) -> bool:
    """Whether a dot product gives one bit per sum, with its threshold in the bias: the sign of what is left."""
    one = thresholds(kernel) == 1 and y.bits == 1 and (y.bipolar or not y.signed)
    return one and kernel.kind in ("conv2d", "dense") and not kernel.constants["descending"].any()


def ahead(kernel: Kernel, x: Edge) -> bool:
    """Whether a requantizer is a few comparisons with constants: they stand in front of its FIFO, which holds their results."""
    if kernel.kind != "requantize" or x.bipolar or not 0 < thresholds(kernel) <= _FEW:
        return False
    return all(len(np.unique(kernel.constants[c], axis=0)) == 1 for c in ("threshold", "descending"))


def zoned(kernel: Kernel, x: Edge) -> bool:
    """Whether padding is a real 0 between -1 and +1, so that sums at the border lack some terms."""
    return kernel.kind == "conv2d" and x.bipolar and kernel.params["pad_value"] == 0 and any(kernel.params["pads"])


def parts(kernel: Kernel, x: Edge, y: Edge) -> Parts:
    """What an engine is made of, for the choice between folds."""
    held = weights_of(kernel, x)
    if held.kind == PRODUCT and not x.bipolar and x.bits + held.bits > SMALL:
        return Parts()
    lane = 1.5 if held.agree else 1.5 * (held.bits if x.bipolar else x.bits + 1)
    acc = kernel.params["acc_bits"]
    return Parts(lane, 2.0 * acc if decides(kernel, y) else 60.0, 120.0, x.bits)


def rom_style(weights: Weights, words: int, lanes: int) -> int:
    """STYLE of hwc_rom for `words` words of weights for `lanes` lanes. Of few bits: few words are logic, which is one with the
    counters, large ROMs are block RAM."""
    if weights.bits >= _WIDE:
        return ANY
    if words <= _SHALLOW:
        return LOGIC
    return BLOCK if words * lanes * weights.bits >= _LARGE else ANY


def dot_latency(fold: Fold, weights: Weights) -> int:
    """Cycles from a beat to its sum in the accumulator."""
    steps, lanes = 0, fold.dot
    if weights.agree:
        threes = -(-lanes // 3)
        steps = min(fold.steps, threes // 12)
        lanes = -(-(threes + 1) // (6 * steps + 2))
    return 3 + int(fold.select is not None) + (steps + (lanes - 1).bit_length()) // 2
