"""Lowering of what joins or selects tensors: sums of two, averages, concatenations, slices, repeats, channel shuffles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.lower import bounds, layouts, requant, staircase
from sw_ref import numerics as nm
from sw_ref.program import Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_NOISE = 2.0**-21  # of a float32 sum of products, of the size of its terms: each is rounded at most eight times
_ALL_PAIRS = 1 << 22  # pairs of inputs that are all tried when a rounding form is chosen


def add(ctx: LowerContext, node: Node, clamp, sign: int = 1) -> None:
    """y = clamp(a + sign * b) of two tensors of one shape: both rescaled by integers, one rounding (docs/numerics.md)."""
    a, b = (ctx.edges[n] for n in node.inputs)
    if a.shape != b.shape:
        raise UnsupportedError(
            f"{node.op} of shapes {list(a.shape)} and {list(b.shape)} can't be compiled yet", node=origin_of(node),
            why="only tensors of one shape are added",
        )  # fmt: skip
    wanted = a.layout if a.layout == b.layout else layouts.usual(a.shape)
    a, b = (ctx.in_order(n, node, wanted) for n in node.inputs)
    y = node.outputs[0]
    qy = ctx.qtype(y, node)
    lo, hi = ctx.clamp_limits(qy, clamp)
    scales = requant.factor(node, np.array([a.scale, b.scale]), qy.scale[0]).astype(np.float64)
    reach = [max(abs(e.lo - e.zero), abs(e.hi - e.zero), 1) for e in (a, b)]
    # |a'*ma + b'*mb| stays below 2^62 with bits of multiplier plus bits of the widest input plus one for the sum.
    bits = min(31, ctx.profile, 61 - max(reach).bit_length())
    shift = int(np.clip(bits - np.frexp(scales.max())[1], 0, 62))
    multiplier = np.maximum(np.rint(np.ldexp(scales, shift)), 1).astype(np.int64)
    common = min(shift, requant.trailing_zeros(int(np.bitwise_or.reduce(multiplier))))
    multiplier, shift = (multiplier >> common) * (1, sign), shift - common
    ma, mb = (int(m) for m in multiplier)
    offset = -(a.zero * ma + b.zero * mb)
    rounding = (1 << (shift - 1)) if shift else 0
    affine = offset + rounding + (qy.zero << shift)
    pairs = (a.hi - a.lo + 1) * (b.hi - b.lo + 1)
    form = "rne"
    differing = total = worst = 0
    close = np.empty((0, 2), np.int64)
    if pairs <= _ALL_PAIRS:
        left, right = np.arange(a.lo, a.hi + 1)[:, None], np.arange(b.lo, b.hi + 1)[None, :]
        exact = nm.add_rne(left, right, ma, mb, offset, shift, qy.zero, lo, hi)
        if (nm.add_affine(left, right, ma, mb, affine, shift, lo, hi) == exact).all():
            form = "affine"
        real = (left - a.zero) * scales[0] + (right - b.zero) * scales[1] * sign
        away = np.abs(np.clip(np.rint(real) + qy.zero, lo, hi) - exact)
        differing, total, worst = int((away > 0).sum()), pairs, int(away.max())
        close = _next_to_a_tie(left, right, (a, b), scales, real, qy.zero, lo, hi)
    low, high = (b.lo, b.hi) if sign > 0 else (b.hi, b.lo)
    ends = [nm.add_rne(p, q, ma, mb, offset, shift, qy.zero, lo, hi) for p, q in ((a.lo, low), (a.hi, high))]
    record = {"form": form, "shift": shift, "zero": qy.zero, "lo": lo, "hi": hi}
    proof = staircase.Proof(
        y, form, 0, max(ma, abs(mb)).bit_length(), total, differing, 1, 0, worst, close=len(close),
        pairs=tuple((int(p), int(q)) for p, q in close[: staircase.NAMED]),
    )  # fmt: skip
    ctx.proofs.append(proof)
    ctx.add_edge(y, int(ends[0]), int(ends[1]), a.layout)
    constants = {"multiplier": multiplier, "offset": np.array([affine if form == "affine" else offset], np.int64)}
    ctx.add_kernel("add", node, {"requantize": record}, constants)


def _next_to_a_tie(left, right, edges, scales, real, zero: int, lo: int, hi: int) -> np.ndarray:
    """int64 [n, 2]: pairs of inputs whose exact sum is so close to a tie that float32 arithmetic, in any order of its
    operations, may round it to either side. onnxruntime computes QLinearAdd in float32.
    """
    size = abs(zero) + sum(
        (np.abs(q) + abs(e.zero)) * s for q, e, s in zip((left, right), edges, scales, strict=True)
    )  # fmt: skip
    tie = np.abs(real - np.floor(real) - 0.5) <= _NOISE * size
    inside = (real + zero > lo - 0.75) & (real + zero < hi + 0.75)
    return np.argwhere(tie & inside) + (left[0, 0], right[0, 0])


def avgpool(ctx: LowerContext, node: Node, counts: np.ndarray, params: dict) -> None:
    """Window sums divided by `counts` (int64 [OH, OW], taps that count at each place), by one multiplier per count."""
    x = ctx.channels_last(node.inputs[0], node)
    y = node.outputs[0]
    qy = ctx.qtype(y, node)
    taps = int(np.prod(params["kernel"]))
    classes, index = np.unique(counts, return_inverse=True)
    bias = -x.zero * taps  # padded elements are the zero point, so they add nothing
    limits = bounds.of_dot(np.ones((1, taps), np.int64), np.array([bias]), min(x.lo, x.zero), max(x.hi, x.zero))
    scale = requant.factor(node, np.array([x.scale]), qy.scale[0]) / classes.astype(np.float32)
    lo, hi = ctx.clamp_limits(qy, None)
    acc_bits = max(limits.bits, 2)
    rq = requant.choose(scale, limits.part_lo, limits.part_hi, acc_bits, qy.zero, lo, hi, ctx.profile)
    span = np.arange(int(limits.final_lo[0]), int(limits.final_hi[0]) + 1)[[0, -1]]
    ends = rq.apply(np.broadcast_to(span, (len(classes), 2)))
    first, last = (np.repeat(end, len(classes)) for end in (limits.final_lo, limits.final_hi))
    differing, worst, steps = staircase.compare(rq, staircase.float_formula(scale, qy.zero, lo, hi), first, last)
    total, width = int((last - first + 1).sum()), int(rq.multiplier.max()).bit_length()
    ctx.proofs.append(
        staircase.Proof(y, rq.form, acc_bits, width, total, differing, len(classes), 0, worst, rq.bits, steps)
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
    """Inputs joined along `axis` of the sample; those of another type than the result are converted first."""
    y = node.outputs[0]
    qtype, order = ctx.qtype(y, node), layouts.usual(ctx.sample_shape(y))
    for name in node.inputs:
        ctx.of_type(name, node, qtype)
    edges = [ctx.in_order(n, node, layouts.usual(ctx.edges[n].shape)) for n in node.inputs]
    ctx.add_edge(y, min(e.lo for e in edges), max(e.hi for e in edges), order)
    ctx.add_kernel("concat", node, {"axis": axis})


def slice_(ctx: LowerContext, node: Node, axis: int, start: int, stop: int) -> None:
    """Elements start..stop-1 along `axis` of the sample."""
    name, y = node.inputs[0], node.outputs[0]
    x = ctx.in_order(name, node, layouts.usual(ctx.edges[name].shape))
    ctx.add_edge(y, x.lo, x.hi, layouts.usual(ctx.sample_shape(y)))
    ctx.add_kernel("slice", node, {"axis": axis, "start": start, "stop": stop})


def repeat(ctx: LowerContext, node: Node, axis: int, times: int) -> None:
    """Every element along `axis` of the sample `times` times in a row."""
    name, y = node.inputs[0], node.outputs[0]
    x = ctx.in_order(name, node, layouts.usual(ctx.edges[name].shape))
    ctx.add_edge(y, x.lo, x.hi, layouts.usual(ctx.sample_shape(y)))
    ctx.add_kernel("repeat", node, {"axis": axis, "times": times})


def shuffle(ctx: LowerContext, node: Node, order: np.ndarray) -> None:
    """Output channel i is input channel order[i]."""
    x, y = ctx.channels_last(node.inputs[0], node), node.outputs[0]
    ctx.add_edge(y, x.lo, x.hi, x.layout)
    ctx.add_kernel("shuffle", node, {}, {"order": np.asarray(order, np.int64)})


def transpose(ctx: LowerContext, node: Node) -> None:
    """Axes renamed: the elements are carried on in the order in which they come."""
    name, y, perm = node.inputs[0], node.outputs[0], ctx.sample_perm(node)
    x = ctx.edges[name]
    layout = layouts.transposed(x.layout, x.shape, perm)
    if layout is None:
        x = ctx.in_order(name, node, Layout.row_major(x.shape))
        layout = layouts.transposed(x.layout, x.shape, perm)
    ctx.add_edge(y, x.lo, x.hi, layout)
    ctx.add_kernel("transpose", node, {"perm": list(perm)})


def pad(ctx: LowerContext, node: Node, pads: tuple[int, int, int, int]) -> None:
    """Zeros around a feature map; `pads` is (top, left, bottom, right)."""
    x, y = ctx.channels_last(node.inputs[0], node), node.outputs[0]
    ctx.add_edge(y, min(x.lo, x.zero), max(x.hi, x.zero), Layout.channels_last(ctx.sample_shape(y)))
    ctx.add_kernel("pad", node, {"pads": list(pads), "pad_value": x.zero})
