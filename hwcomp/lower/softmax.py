"""Softmax in integers: a table of exponentials and one rounded division. Source: docs/numerics.md, "Softmax"."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from sw_ref.program import Edge, Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_ONE_TABLE = 1024  # entries up to which one table does; more are the products of two tables
_MARGIN = 4  # bits of the table beyond what the output and the sum need: errors stay below 1/32 step of the output
_PRODUCT = 2  # more bits for products of two tables, which are wrong by 3/2 instead of 1/2
_MOST_BITS = 29  # of the two tables: products fit 62 bits, and a lane of hwc_requant
# Correctly rounded on every machine, as no library's exp() is.
_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)


def softmax(ctx: LowerContext, node: Node, axes: tuple[int, ...]) -> None:
    """Softmax over `axes` of the sample together; the output's type has a scale of 2^-fraction."""
    x, y = ctx.edges[node.inputs[0]], node.outputs[0]
    qy = ctx.qtype(y, node)
    fraction = -int(math.log2(qy.scale[0]))
    count = math.prod(x.shape[a] for a in axes)
    if not lie_together(x.layout, x.shape, axes):
        others = [a for a in range(len(x.shape)) if a not in axes]
        last = Layout(x.shape, (*others, *axes))
        x = ctx.in_order(node.inputs[0], node, last)
    bits, split, coarse, fine = tables(x, fraction, count)
    if split and 3 * (count + 1) << fraction >= 1 << bits:
        raise UnsupportedError(
            f"{node.op} over {count} elements can't be compiled for a {qy.bits}-bit output", node=origin_of(node),
            why="half a step of the output is finer than the sum of so many table entries", fix="use --quant int8",
        )  # fmt: skip
    top = min(qy.zero + (1 << fraction), qy.hi)
    ctx.add_edge(y, qy.zero, top, x.layout)
    params = {
        "axes": list(axes), "bits": bits, "fraction": fraction, "split": split, "zero": qy.zero, "lo": qy.zero, "hi": top,
    }  # fmt: skip
    ctx.add_kernel("softmax", node, params, {"exp": coarse} | ({"exp_fine": fine} if split else {}))


def lie_together(layout: Layout, shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether the elements that differ in `axes` only are neighbours in the order that `layout` carries."""
    line = np.zeros(shape, np.int64)  # the number of the sum that an element belongs to
    rest = [n for a, n in enumerate(shape) if a not in axes]
    line += np.arange(math.prod(rest)).reshape([1 if a in axes else n for a, n in enumerate(shape)])
    carried = line.ravel()[layout.order()].reshape(math.prod(rest), -1)
    return bool((carried == carried[:, :1]).all())


def tables(x: Edge, fraction: int, count: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """(bits, split, coarse, fine) of numerics.exp_lookup for sums of `count` elements of type `x`.

    An entry is wrong by 1/2 at most, so the quotient, in steps of 2^-fraction, by 2^(fraction - bits) * (count + 1) / 2:
    below 1/32 with the bits that are taken. Where sums and numerators then still fit 32 bits, they are filled. Two tables
    (three times the error, two bits more) stop at 29 bits: 16-bit outputs over more than 127 elements are less exact.
    """
    most = count.bit_length()
    bits = max(fraction + _MARGIN + most, min(30 - fraction, 32 - most))
    span = x.hi - x.lo
    if _entries(x, span, bits) <= _ONE_TABLE:
        return bits, 0, np.trim_zeros(_exponentials(x, _entries(x, span, bits), 1, bits), "b"), np.zeros(0, np.int64)
    bits = min(fraction + _MARGIN + _PRODUCT + most, _MOST_BITS)
    split = (_entries(x, span, bits).bit_length() + 1) // 2
    coarse = _exponentials(x, (_entries(x, span, bits) >> split) + 1, 1 << split, bits)
    return bits, split, np.trim_zeros(coarse, "b"), _exponentials(x, 1 << split, 1, bits)


def _entries(x: Edge, span: int, bits: int) -> int:
    """How many distances 0, 1, .. have an entry that is not zero, or may occur."""
    last = (bits + 1) * math.log(2) / float(x.scale)
    return min(span, math.floor(min(last, span)) + 1) + 1


def _exponentials(x: Edge, count: int, stride: int, bits: int) -> np.ndarray:
    """int64 [count]: 2^bits * exp(-i * stride * scale), to the nearest, ties to even."""
    step, one = Decimal(float(x.scale)) * stride, Decimal(1 << bits)
    values = [_EXACT.multiply(_EXACT.exp(-i * step), one).to_integral_value(ROUND_HALF_EVEN) for i in range(count)]
    return np.array([int(v) for v in values], np.int64)
