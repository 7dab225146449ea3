"""Requantize constants: from float32 scales per channel to one shift, integer multipliers and the cheapest exact form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.errors import ModelError
from hwcomp.graph import origin_of
from hwcomp.lower import bounds
from hwcomp.types import Node
from sw_ref import numerics as nm

PRODUCT_BITS = 63  # accumulator width + multiplier width: the product and its rounding fit int64
_LARGEST_SHIFT = 62
_STEEP = 2.0**26  # above the span of any output type


@dataclass(frozen=True)
class Requant:
    """`multiplier` int64 [channels]; `offset` int64 [channels or 1] for the affine form, else None.

    `bits`: width the multipliers were rounded to, before common factors of two were divided out.
    """

    form: str
    shift: int
    zero: int
    lo: int
    hi: int
    multiplier: np.ndarray
    offset: np.ndarray | None
    bits: int

    def params(self) -> dict:
        return {"form": self.form, "shift": self.shift, "zero": self.zero, "lo": self.lo, "hi": self.hi}

    def constants(self) -> dict[str, np.ndarray]:
        out = {"multiplier": self.multiplier}
        return out if self.offset is None else {**out, "offset": self.offset}

    def apply(self, acc: np.ndarray) -> np.ndarray:
        """acc [channels, n] -> stored integers."""
        m = self.multiplier[:, None]
        if self.form == "rne":
            return nm.requantize_rne(acc, m, self.shift, self.zero, self.lo, self.hi)
        return nm.requantize_affine(acc, m, self.offset[:, None], self.shift, self.lo, self.hi)


def choose(
    scale: np.ndarray, acc_lo: int, acc_hi: int, acc_bits: int, zero: int, lo: int, hi: int, profile: int = 31,
    largest_shift: int = _LARGEST_SHIFT,
) -> Requant:  # fmt: skip
    """Requantize accumulators in [acc_lo, acc_hi] by `scale` (float32 [channels], 0 for a channel without weights).

    `profile`: most bits of a multiplier (an option of the compile). Source: docs/numerics.md, "M and s".
    """
    exact = scale.astype(np.float64)
    exponent = int(np.frexp(exact.max())[1]) if exact.max() > 0 else 0
    bits = min(31, PRODUCT_BITS - acc_bits, profile)
    bits = min(bits, largest_shift + exponent)  # a larger shift would leave int64
    shift = max(bits - exponent, 0)
    if np.rint(np.ldexp(exact.max(initial=0.0), shift)) >= 2.0**bits and shift:
        shift -= 1  # the largest mantissa rounds up to a power of two: one bit too many
    # A scale of 2^bits and more saturates every accumulator but 0; so does the largest multiplier.
    multiplier = np.minimum(np.rint(np.ldexp(exact, shift)), 2.0**bits - 1).astype(np.int64)
    common = trailing_zeros(int(np.bitwise_or.reduce(multiplier))) if multiplier.any() else shift
    common = min(shift, common)
    multiplier, shift = multiplier >> common, shift - common
    if not _tie_reachable(multiplier, shift, max(abs(acc_lo), abs(acc_hi))):
        offset = ((1 << (shift - 1)) if shift else 0) + (zero << shift)
        largest = max(abs(acc_lo), abs(acc_hi)) * int(multiplier.max(initial=0)) + abs(offset)
        if largest < 1 << 63:
            return Requant("affine", shift, zero, lo, hi, multiplier, np.asarray([offset], np.int64), bits)
    return Requant("rne", shift, zero, lo, hi, multiplier, None, bits)


def with_constants(
    scale: np.ndarray, rows: np.ndarray, bias: np.ndarray, live: np.ndarray, value: np.ndarray,
    x: tuple[int, int], zero: int, lo: int, hi: int, profile: int,
    refine: Callable[[Requant, int], Requant] = lambda rq, largest_shift: rq,
) -> tuple[Requant, np.ndarray]:  # fmt: skip
    """Requantize record and biases of a dot product in which the channels that are not `live` always give `value`.

    Such a channel has no weights any more; whatever its scale is, it takes no bits from the others' multipliers. Its
    result comes from a bias and a multiplier whose product is (value - zero) * 2^shift exactly. `refine` may better the
    record of the live channels, with a shift up to the one it is given.
    """
    step = np.where(live, 0, value - zero)
    deepest = min(_LARGEST_SHIFT, 61 - int(np.abs(step).max(initial=0)).bit_length())
    if live.any():
        reach = bounds.of_dot(rows[live], bias[live], *x)
        rq = choose(scale[live], reach.part_lo, reach.part_hi, reach.bits, zero, lo, hi, profile, deepest)
        rq = refine(rq, deepest)
    else:
        rq = choose(np.ones(1, np.float32), 0, 0, 2, zero, lo, hi, profile, deepest)
    # 2^shift = 2^(shift - split) as the multiplier, no wider than the others, times 2^split in the bias.
    split = max(0, rq.shift - (int(rq.multiplier.max()).bit_length() - 1))
    multiplier = np.where(step != 0, np.int64(1) << (rq.shift - split), 0)
    multiplier[live] = rq.multiplier if live.any() else 0
    offset = rq.offset
    if offset is not None and offset.size > 1:
        offset = np.full(len(live), ((1 << (rq.shift - 1)) if rq.shift else 0) + (zero << rq.shift))
        offset[live] = rq.offset
    return replace(rq, multiplier=multiplier, offset=offset), np.where(live, bias, step << split)


def choose_affine(
    gain: np.ndarray, offset: np.ndarray, x_lo: int, x_hi: int, lo: int, hi: int, x_zero: int = 0, bits: int = 63
) -> Requant:
    """y = clamp(round(gain*(x - x_zero) + offset)) per channel, for stored x in [x_lo, x_hi]; ties round up.

    Both float64 [channels]; the offset contains the zero point of y. lo, hi and x within 25 bits. `bits`: most of a
    multiplier.
    """
    gain, offset = _tamed(gain, offset, x_lo, x_hi, lo, hi, x_zero)
    reach = max(abs(x_lo), abs(x_hi), 1)
    room = (1 << 62) / (np.abs(gain).max(initial=0.0) * reach + np.abs(offset).max(initial=0.0) + 1)
    shift = int(np.clip(np.floor(np.log2(room)), 0, 30))
    shift = max(min(shift, bits - 1 - int(np.frexp(np.abs(gain).max(initial=0.0))[1])), 0)
    multiplier = np.rint(np.ldexp(gain, shift)).astype(np.int64)
    rounding = (1 << (shift - 1)) if shift else 0
    shifted = np.rint(np.ldexp(offset, shift)).astype(np.int64) + rounding
    return Requant("affine", shift, 0, lo, hi, multiplier, shifted, shift)


def _tamed(
    gain: np.ndarray, offset: np.ndarray, x_lo: int, x_hi: int, lo: int, hi: int, x_zero: int
) -> tuple[np.ndarray, np.ndarray]:
    """(gain, offset) of the same function as gain*x + offset, with factors that fit integers.

    Steeper than _STEEP, at most one x is not saturated: it keeps its value, and the slope is cut.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steep = np.abs(gain) > _STEEP
        x0 = np.clip(np.nan_to_num(np.rint(x_zero - offset / np.where(steep, gain, 1.0))), x_lo, x_hi)
        at_x0 = np.clip(np.nan_to_num(gain * (x0 - x_zero) + offset), lo - 1, hi + 1)
    limited = np.where(steep, np.sign(gain) * _STEEP, gain)
    offset = np.where(steep, at_x0 - limited * x0, offset - limited * x_zero)
    most = np.abs(limited) * max(abs(x_lo), abs(x_hi)) + _STEEP  # beyond it every x saturates
    return limited, np.clip(offset, -most, most)


def factor(node: Node, over: np.ndarray, under: float) -> np.ndarray:
    """over / under in float32: what a result is rescaled by. ModelError where scales that a model states make it infinite."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        found = (np.float32(over) / np.float32(under)).astype(np.float32)
    if not np.isfinite(found).all():
        raise ModelError(
            f"the scales around {node.op} overflow float32", node=origin_of(node),
            why=f"the result has the scale {under:g}", fix="quantize the model again",
        )  # fmt: skip
    return found


def trailing_zeros(value: int) -> int:
    """Of a positive integer."""
    return (value & -value).bit_length() - 1


def _tie_reachable(multiplier: np.ndarray, shift: int, largest: int) -> bool:
    """Whether some |a| <= largest makes a*M end in exactly half: a must have shift-1-ctz(M) trailing zeros."""
    if shift == 0:
        return False
    zeros = {trailing_zeros(int(m)) for m in multiplier if m}
    return any(z < shift and (1 << (shift - 1 - z)) <= largest for z in zeros)
