"""The constants of a dot product as a QDQ model states them: int8 weights and an int32 bias, float32 scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.lower.requant import PRODUCT_BITS
from hwcomp.types import Node
from sw_ref.program import Kernel, Program

_PRECISION = 2.0**-24  # half a unit in the last place of a float32


@dataclass(frozen=True)
class DotOperands:
    """Real weight = weight * scale, real bias = bias * bias_scale, both scales float32 [M].

    `bias` (int64 [M]) is that of a sum over x - zero of x.
    """

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    bias_scale: np.ndarray


def dot_operands(graph: Graph, program: Program, node: Node, kernel: Kernel, profile: int) -> DotOperands:
    """What the kernel of `node` computes with: channels that lowering folded into a constant have weights of 0 too.

    `profile`: most bits of a requantize multiplier, as in `lower`.
    """
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    weight, bias = kernel.constants["weight"], kernel.constants["bias"].astype(np.int64)
    nominal = np.broadcast_to(graph.tensors[node.inputs[1]].qtype.scales(), bias.shape)
    multiplier = np.broadcast_to(kernel.constants["multiplier"], bias.shape)
    bits = min(profile, PRODUCT_BITS - kernel.params["acc_bits"])
    scale = compiled_scales(nominal, x.scale, y.scale, multiplier, kernel.params["requantize"]["shift"], bits)
    idle = multiplier == 0  # the accumulator does not count
    channel = (-1, *[1] * (weight.ndim - 1))
    weight = np.where(idle.reshape(channel), 0, weight).astype(weight.dtype)
    rows = weight.reshape(len(weight), -1).astype(np.int64)
    bias = np.where(idle, 0, bias + x.zero * rows.sum(axis=1))
    # A folded channel's multiplier has nothing to do with its scale: the model takes the one that the multiplier means.
    held = np.ldexp(multiplier.astype(np.float64), -kernel.params["requantize"]["shift"]) * float(y.scale) / float(x.scale)
    scale = np.where(rows.any(axis=1), scale, held)
    scale = np.where(idle, np.float32(1), scale).astype(np.float32)
    return DotOperands(weight, scale, bias, (x.scale * scale).astype(np.float32))


def compiled_scales(
    nominal: np.ndarray, sx: np.float32, sy: np.float32, multiplier: np.ndarray, shift: int, bits: int
) -> np.ndarray:
    """Weight scales (float32 [M]) that give multiplier * 2^-shift where that is the nominal scale rounded to an integer
    multiple of 2^-shift, more coarsely than a float32 (few bits, or a channel whose scale is far below the largest).

    Other channels keep the nominal scale, also one that its multiplier is no rounding of: a wrong multiplier must not
    hide in the model that it is checked against. `bits`: how many the largest multiplier was rounded to.
    """
    wanted = ((sx * nominal).astype(np.float32) / sy).astype(np.float64)
    held = np.ldexp(multiplier.astype(np.float64), -shift)
    error = np.abs(held - wanted)
    half_unit = min(np.ldexp(0.5, -shift), np.ldexp(wanted.max(), -bits))  # the shift may be smaller than it was then
    coarse = (error > wanted * _PRECISION) & (error <= half_unit)
    return np.where(coarse, held * float(sy) / float(sx), nominal).astype(np.float32)
