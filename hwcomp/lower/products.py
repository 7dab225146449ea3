"""Lowering of products of two computed tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.lower import bounds, layouts, requant, staircase
from sw_ref.program import Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node
    from sw_ref.program import Edge


def multiply(ctx: LowerContext, node: Node, clamp) -> None:
    """y = clamp(a * b) of the integers less their zero points.

    b has the shape of a, or one value per channel ([C, 1, 1] for [C, H, W]). Both come in a usual order.
    """
    shape = ctx.edges[node.inputs[0]].shape
    order = ctx.edges[node.inputs[0]].layout
    if order not in (Layout.channels_last(shape), Layout.row_major(shape)):
        order = layouts.usual(shape)
    a = ctx.in_order(node.inputs[0], node, order)
    b = ctx.edges[node.inputs[1]]
    b = ctx.in_order(node.inputs[1], node, order if b.shape == shape else Layout.row_major(b.shape))
    y = node.outputs[0]
    least, most = _span(a, b, square=a.name == b.name)
    params, constants, ends = requantized(ctx, node, a, b, least, most, clamp)
    ctx.add_edge(y, *ends, a.layout)
    ctx.add_kernel("mul", node, params, constants)


def requantized(
    ctx: LowerContext, node: Node, a: Edge, b: Edge, least: int, most: int, clamp
) -> tuple[dict, dict, tuple[int, int]]:
    """(params, constants, least and largest result) of a product of two edges, or of sums of such, between `least` and `most`:
    it is requantized as an accumulator is. The proof is added."""
    y = node.outputs[0]
    qy = ctx.qtype(y, node)
    lo, hi = ctx.clamp_limits(qy, clamp)
    bits = max(bounds.signed_bits(least, most), 2)
    with np.errstate(over="ignore"):
        scale = requant.factor(node, np.atleast_1d(np.float32(a.scale) * np.float32(b.scale)), qy.scale[0])
    rq = requant.choose(scale, least, most, bits, qy.zero, lo, hi, ctx.profile)
    limits = np.array([least]), np.array([most])
    differing, worst, steps = staircase.compare(rq, staircase.float_formula(scale, qy.zero, lo, hi), *limits)
    width, total = int(rq.multiplier.max()).bit_length(), most - least + 1
    ctx.proofs.append(staircase.Proof(y, rq.form, bits, width, total, differing, 1, 0, worst, rq.bits, steps))
    reach = rq.apply(np.array([[least, most]]))[0]
    params = {
        "zeros": [a.zero, b.zero], "acc_bits": bits, "acc_lo": least, "acc_hi": most, "requantize": rq.params(),
    }  # fmt: skip
    return params, rq.constants(), (int(reach[0]), int(reach[1]))


def _span(a, b, *, square: bool) -> tuple[int, int]:
    """Least and largest product of what two edges hold, less their zero points."""
    left, right = ((e.lo - e.zero, e.hi - e.zero) for e in (a, b))
    if square:
        inside = left[0] <= 0 <= left[1]
        return 0 if inside else min(v * v for v in left), max(v * v for v in left)
    ends = [p * q for p in left for q in right]
    return min(ends), max(ends)
