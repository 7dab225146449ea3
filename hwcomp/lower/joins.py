"""Lowering of what joins or selects tensors: sums of two, averages, concatenations, slices, channel shuffles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.lower import bounds, requant, staircase
from sw_ref import numerics as nm
from sw_ref.program import Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_ALL_PAIRS = 1 << 22  # pairs of inputs that are all tried when a rounding form is chosen


def add(ctx: LowerContext, node: Node, clamp) -> None:
    """y = clamp(a + b) of two tensors of one shape: both rescaled by integers, one rounding (docs/numerics.md)."""
    a, b = (ctx.edges[n] for n in node.inputs)
    if a.shape != b.shape:
        raise UnsupportedError(
            f"{node.op} of shapes {list(a.shape)} and {list(b.shape)} can't be compiled yet", node=origin_of(node),
            why="only tensors of one shape are added",
        )  # fmt: skip
    if a.layout != b.layout:
        raise UnsupportedError(f"{node.op} of tensors that are carried in different orders", node=origin_of(node))
    y = node.outputs[0]
    qy = ctx.qtype(y, node)
    lo, hi = ctx.clamp_limits(qy, clamp)
    scales = np.array([a.scale / np.float32(qy.scale[0]), b.scale / np.float32(qy.scale[0])], np.float64)
    reach = [max(abs(e.lo - e.zero), abs(e.hi - e.zero), 1) for e in (a, b)]
    # |a'*ma + b'*mb| stays below 2^62 with bits of multiplier plus bits of the widest input plus one for the sum.
    bits = min(31, ctx.profile, 61 - max(reach).bit_length())
    shift = int(np.clip(bits - np.frexp(scales.max())[1], 0, 62))
    multiplier = np.maximum(np.rint(np.ldexp(scales, shift)), 1).astype(np.int64)
    common = min(shift, requant.trailing_zeros(int(np.bitwise_or.reduce(multiplier))))
    multiplier, shift = multiplier >> common, shift - common
    ma, mb = (int(m) for m in multiplier)
    offset = -(a.zero * ma + b.zero * mb)
    rounding = (1 << (shift - 1)) if shift else 0
    affine = offset + rounding + (qy.zero << shift)
    pairs = (a.hi - a.lo + 1) * (b.hi - b.lo + 1)
    form = "rne"
    differing = total = 0
    if pairs <= _ALL_PAIRS:
        left, right = np.arange(a.lo, a.hi + 1)[:, None], np.arange(b.lo, b.hi + 1)[None, :]
        exact = nm.add_rne(left, right, ma, mb, offset, shift, qy.zero, lo, hi)
        if (nm.add_affine(left, right, ma, mb, affine, shift, lo, hi) == exact).all():
            form = "affine"
        real = (left - a.zero) * scales[0] + (right - b.zero) * scales[1]
        differing, total = int((np.clip(np.rint(real) + qy.zero, lo, hi) != exact).sum()), pairs
    ends = [nm.add_rne(p, q, ma, mb, offset, shift, qy.zero, lo, hi) for p, q in ((a.lo, b.lo), (a.hi, b.hi))]
    record = {"form": form, "shift": shift, "zero": qy.zero, "lo": lo, "hi": hi}
    ctx.proofs.append(staircase.Proof(y, form, 0, max(ma, mb).bit_length(), total, differing, 1, 0))
    ctx.add_edge(y, int(ends[0]), int(ends[1]), a.layout)
    constants = {"multiplier": multiplier, "offset": np.array([affine if form == "affine" else offset], np.int64)}
    ctx.add_kernel("add", node, {"requantize": record}, constants)


def avgpool(ctx: LowerContext, node: Node, counts: np.ndarray, params: dict) -> None:
    """Window sums divided by `counts` (int64 [OH, OW], taps that count at each place), by one multiplier per count."""
    x = ctx.channels_last(node.inputs[0], node)
    y = node.outputs[0]
    qy = ctx.qtype(y, node)
    taps = int(np.prod(params["kernel"]))
    classes, index = np.unique(counts, return_inverse=True)
    bias = -x.zero * taps  # padded elements are the zero point, so they add nothing
    limits = bounds.of_dot(np.ones((1, taps), np.int64), np.array([bias]), min(x.lo, x.zero), max(x.hi, x.zero))
    scale = (np.float32(x.scale) / np.float32(qy.scale[0]) / classes.astype(np.float32)).astype(np.float32)
    lo, hi = ctx.clamp_limits(qy, None)
    acc_bits = max(limits.bits, 2)
    rq = requant.choose(scale, limits.part_lo, limits.part_hi, acc_bits, qy.zero, lo, hi, ctx.profile)
    span = np.arange(int(limits.final_lo[0]), int(limits.final_hi[0]) + 1)[[0, -1]]
    ends = rq.apply(np.broadcast_to(span, (len(classes), 2)))
    differing = staircase.differing(
        rq, staircase.float_formula(scale, qy.zero, lo, hi),
        np.repeat(limits.final_lo, len(classes)), np.repeat(limits.final_hi, len(classes)),
    )  # fmt: skip
    total = len(classes) * int(limits.final_hi[0] - limits.final_lo[0] + 1)
    ctx.proofs.append(
        staircase.Proof(y, rq.form, acc_bits, int(rq.multiplier.max()).bit_length(), total, differing, len(classes), 0)
    )
    params = {
        **params, "pad_value": x.zero, "acc_bits": acc_bits, "acc_lo": limits.part_lo, "acc_hi": limits.part_hi,
        "requantize": rq.params(),
    }  # fmt: skip
    ctx.add_edge(y, int(ends.min()), int(ends.max()), Layout.channels_last(ctx.sample_shape(y)))
    constants = {
        "bias": np.array([bias]), **rq.constants(), "count_class": index.reshape(counts.shape),
    }  # fmt: skip
    ctx.add_kernel("avgpool2d", node, params, constants)


def concat(ctx: LowerContext, node: Node, axis: int) -> None:
    """Inputs of one type, joined along `axis` of the sample."""
    edges = [ctx.edges[n] for n in node.inputs]
    y = node.outputs[0]
    first = edges[0]
    if any((e.scale_bits, e.zero, e.bits, e.signed) != (first.scale_bits, first.zero, first.bits, first.signed) for e in edges):
        raise UnsupportedError("Concat of tensors with different types", node=origin_of(node))
    _need_maps(ctx, node, edges, axis)
    ctx.add_edge(y, min(e.lo for e in edges), max(e.hi for e in edges), ctx.layout_for(y))
    ctx.add_kernel("concat", node, {"axis": axis})


def slice_(ctx: LowerContext, node: Node, axis: int, start: int, stop: int) -> None:
    """Elements start..stop-1 along `axis` of the sample."""
    x, y = ctx.edges[node.inputs[0]], node.outputs[0]
    _need_maps(ctx, node, [x], axis)
    ctx.add_edge(y, x.lo, x.hi, ctx.layout_for(y))
    ctx.add_kernel("slice", node, {"axis": axis, "start": start, "stop": stop})


def shuffle(ctx: LowerContext, node: Node, order: np.ndarray) -> None:
    """Output channel i is input channel order[i]."""
    x, y = ctx.channels_last(node.inputs[0], node), node.outputs[0]
    ctx.add_edge(y, x.lo, x.hi, x.layout)
    ctx.add_kernel("shuffle", node, {}, {"order": np.asarray(order, np.int64)})


def _need_maps(ctx: LowerContext, node: Node, edges: list, axis: int) -> None:
    """Channels of channels-last maps, or the only axis of vectors in row-major order: what the kernels take."""
    for e in edges:
        plain = e.layout == (Layout.channels_last(e.shape) if len(e.shape) >= 3 else Layout.row_major(e.shape))
        if axis != 0 or not plain:
            raise UnsupportedError(
                f"{node.op} along another axis than the channels can't be compiled yet", node=origin_of(node)
            )
