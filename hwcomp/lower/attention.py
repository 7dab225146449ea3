"""Lowering of what attention adds: products of two computed matrices, and normalization of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.graph import origin_of
from hwcomp.lower import bounds, requant
from hwcomp.lower.products import requantized
from sw_ref.program import Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_UNIT_BITS = 22  # of the normalized value, which is at most 1: it and its sign fit the 25 bits of an affine record
_FRACTION = 20  # more bits of the sum of squares, where they fit
_MOST_SUM = (1 << 62) - 1
_MOST_DISTANCE = (1 << 31) - 1


def matmul(ctx: LowerContext, node: Node, clamp) -> None:
    """y = clamp(a @ b) over the last two axes; b may lie transposed in memory."""
    a = ctx.in_order(node.inputs[0], node, Layout.row_major(ctx.edges[node.inputs[0]].shape))
    b = ctx.edges[node.inputs[1]]
    if b.layout not in (Layout.row_major(b.shape), columns(b.shape)):
        b = ctx.in_order(node.inputs[1], node, Layout.row_major(b.shape))
    y = node.outputs[0]
    ends = [(e.lo - e.zero, e.hi - e.zero) for e in (a, b)]
    products = [p * q for p in ends[0] for q in ends[1]]
    count = a.shape[-1]
    least, most = count * min(0, *products), count * max(0, *products)
    if (bits := bounds.signed_bits(least, most)) > 53:
        raise WorkFailed(
            f"the accumulator of {node.op} needs {bits} bits", node=origin_of(node), why=f"sums reach [{least}, {most}]",
            fix="use fewer bits or shorter rows",
        )  # fmt: skip
    params, constants, reach = requantized(ctx, node, a, b, least, most, clamp)
    ctx.add_edge(y, *reach, Layout.row_major(ctx.sample_shape(y)))
    ctx.add_kernel("matmul", node, params, constants)


def columns(shape: tuple[int, ...]) -> Layout:
    """Matrices whose columns lie together."""
    rank = len(shape)
    return Layout(shape, (*range(rank - 2), rank - 1, rank - 2))


def layernorm(ctx: LowerContext, node: Node) -> None:
    """(x - mean) / deviation of the last axes, then one factor and offset per place (docs/numerics.md)."""
    x = ctx.in_order(node.inputs[0], node, Layout.row_major(ctx.edges[node.inputs[0]].shape))
    y, (scale, bias) = node.outputs[0], (ctx.graph.tensors[n].data if n else None for n in node.inputs[1:])
    n, qy = scale.size, ctx.qtype(y, node)
    span = x.hi - x.lo
    squares = n**3 * span**2 // 4 + n * n  # the sum of squared distances n*x - sum x, half of them at either end
    fraction, epsilon = _room(squares, node.attrs.epsilon * n**3 / float(x.scale) ** 2)
    if fraction < 0 or n * span > _MOST_DISTANCE:
        raise UnsupportedError(
            f"{node.op} over {n} elements of {x.bits} bits can't be compiled", node=origin_of(node),
            why=f"its sum of squares may reach {squares}", fix="use --quant int8, or normalize fewer elements",
        )  # fmt: skip
    gain = scale.astype(np.float64) * math.sqrt(n) / (1 << _UNIT_BITS) / qy.scale[0]
    offset = (np.zeros(n) if bias is None else bias.astype(np.float64)) / qy.scale[0] + qy.zero
    most = 1 << _UNIT_BITS
    rq = _record(node, gain, offset, qy.lo, qy.hi)
    ends = rq.apply(np.broadcast_to(np.array([-most, most]), (n, 2)))
    params = {
        "size": n, "bits": _UNIT_BITS, "fraction": fraction, "epsilon": epsilon, "requantize": rq.params(),
    }  # fmt: skip
    ctx.add_edge(y, int(ends.min()), int(ends.max()), x.layout)
    ctx.add_kernel("layernorm", node, params, rq.constants())


def _record(node: Node, gain: np.ndarray, offset: np.ndarray, lo: int, hi: int) -> requant.Requant:
    """gain * u + offset per place, |u| <= 2^_UNIT_BITS, with multipliers of up to 31 bits; ties up."""
    largest = float(np.abs(gain).max() * (1 << _UNIT_BITS) + np.abs(offset).max() + 1)
    shift = int(min(30 - np.frexp(np.abs(gain).max())[1], 61 - np.frexp(largest)[1], 60))
    if shift < 1:
        raise UnsupportedError(
            f"{node.op} whose results reach {largest:g} steps can't be compiled", node=origin_of(node),
            why="they do not fit 64 bits", fix="check its scale and bias",
        )  # fmt: skip
    multiplier = np.rint(np.ldexp(gain, shift)).astype(np.int64)
    shifted = np.rint(np.ldexp(offset, shift)).astype(np.int64) + (np.int64(1) << (shift - 1))
    return requant.Requant("affine", shift, 0, lo, hi, multiplier, shifted, 31)


def _room(squares: int, epsilon: float) -> tuple[int, int]:
    """(fraction, epsilon in these steps) for sums of squares up to `squares`; fraction < 0: they don't fit."""
    for fraction in range(_FRACTION, -1, -2):
        whole = max(1, round(epsilon * 2**fraction)) if epsilon * 2**fraction < _MOST_SUM else _MOST_SUM
        if (squares << fraction) + whole <= _MOST_SUM:
            return fraction, whole
    return -1, 1
