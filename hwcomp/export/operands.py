"""The constants of a dot product as a QDQ model states them: int8 weights and an int32 bias, float32 scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.lower.requant import PRODUCT_BITS
from hwcomp.types import Node
from sw_ref.program import Kernel, Program

_PRECISION = 2.0**-24  # half a unit in the last place of a float32
_LEAST_LARGEST_SHIFT = 53  # the largest shift is at least this: 61 - the bits of a constant result


@dataclass(frozen=True)
class DotOperands:
    """Real weight = weight * scale, real bias = bias * bias_scale, both scales float32 [M].

    `bias` is that of a sum over x - zero of x: int64 [M], or float64 where it is no whole number of steps.
    """

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    bias_scale: np.ndarray


def dot_operands(graph: Graph, program: Program, node: Node, kernel: Kernel, profile: int) -> DotOperands:
    """What the kernel of `node` computes with. `profile`: most bits of a requantize multiplier, as in `lower`.

    A channel that lowering folded into a constant has no weights here either. Its bias is the sum that the model's own
    weights give for one possible input, not the kernel's: a wrong constant must not hide.
    """
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    w, b = (graph.tensors[n] for n in node.inputs[1:3])
    weight, multiplier = kernel.constants["weight"], kernel.constants["multiplier"]
    multiplier = np.broadcast_to(multiplier, len(weight))
    live = weight.reshape(len(weight), -1).any(axis=1)
    scale = np.broadcast_to(w.qtype.scales(), len(weight)).astype(np.float32)
    if live.any():
        bits = min(profile, PRODUCT_BITS - kernel.params["acc_bits"])
        shift = kernel.params["requantize"]["shift"]
        scale[live] = compiled_scales(scale[live], x.scale, y.scale, multiplier[live], shift, bits)
    idle = live & (multiplier == 0)  # the accumulator does not count
    weight = np.where(idle.reshape(-1, *[1] * (weight.ndim - 1)), 0, weight).astype(weight.dtype)
    compiled = kernel.constants["bias"].astype(np.int64) + x.zero * _row_sums(weight)
    whole = np.rint(b.data).astype(np.int64)
    folded = whole + (x.lo - x.zero) * _row_sums(w.data)
    bias = np.where(idle, 0, np.where(live, compiled, folded))
    if (b.data != whole).any():  # the offsets hold the rest
        bias = bias + np.where(idle, 0, b.data - whole)
    scale = np.where(idle, np.float32(1), scale).astype(np.float32)
    return DotOperands(weight, scale, bias, (x.scale * scale).astype(np.float32))


def _row_sums(weight: np.ndarray) -> np.ndarray:
    return weight.reshape(len(weight), -1).astype(np.int64).sum(axis=1)


def compiled_scales(
    nominal: np.ndarray, sx: np.float32, sy: np.float32, multiplier: np.ndarray, shift: int, bits: int
) -> np.ndarray:
    """Weight scales (float32 [M]) that give multiplier * 2^-shift where that is the nominal scale rounded to an integer
    multiple of 2^-shift, more coarsely than a float32 (few bits, or a channel whose scale is far below the largest).

    Other channels keep the nominal scale, also one that its multiplier is no rounding of: a wrong multiplier must not
    hide in the model that it is checked against. `bits`: how many the largest multiplier was rounded to at least, unless
    the scales are so small that the largest shift leaves fewer.
    """
    wanted = ((sx * nominal).astype(np.float32) / sy).astype(np.float64)
    bits = min(bits, _LEAST_LARGEST_SHIFT + int(np.frexp(wanted.max())[1]))
    held = np.ldexp(multiplier.astype(np.float64), -shift)
    error = np.abs(held - wanted)
    half_unit = min(np.ldexp(0.5, -shift), np.ldexp(wanted.max(), -bits))  # the shift may be smaller than it was then
    coarse = (error > wanted * _PRECISION) & (error <= half_unit)
    return np.where(coarse, held * float(sy) / float(sx), nominal).astype(np.float32)
