"""Div: of constants, or by a constant per channel. Source: ONNX operator specification, Div (from 7 on)."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops._affine import affine_nodes, broadcasts, channel_axis
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops._steps import Ratio
from hwcomp.ops.base import Op
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import per_channel


@op("Div")
class Div(Op):
    """Inputs (x, y), y constant; of two constants the quotient is computed (integers: cut towards zero)."""

    becomes = "BatchNormalization"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            if values[0].dtype != np.float32 and not np.all(values[1]):
                raise node.model_error("Div of an integer by zero")
            ctx.compute(node, broadcast(node, values), values[0].dtype, lambda: _quotient(*values))
            return []
        a, b = node.inputs
        if not ctx.is_constant(b):
            raise node.unsupported("Div by a computed tensor", "only a constant divisor is available")
        divisor = ctx.constant(node, 1, "divisor")
        with np.errstate(all="ignore"):
            inverse = np.float32(1) / divisor
        if not np.isfinite(inverse).all():
            raise node.model_error("Div by a constant whose inverse is not finite")
        # A power of two and its inverse, both without a rounding error: a product is the same.
        if np.all((np.abs(np.frexp(divisor)[0]) == 0.5) & (np.float32(1) / inverse == divisor)):
            factor = ctx.derived(("inverse", b), node, divisor.shape, lambda: inverse)
            return affine_nodes(node, ctx, a, factor, product=True)
        x, c = ctx.tensors[a], ctx.tensors[b]
        axis = channel_axis(x, c)
        if axis is None:
            if len(x.shape) < 2 or not broadcasts(c.shape, x.shape):
                why = f"the tensor is {list(x.shape)}, the constant {list(c.shape)}"
                raise node.unsupported("Div by a larger constant", why)
            size = math.prod(x.shape[1:])
            whole = (1, *x.shape[1:])
            vector = ctx.derived(("ratio", b, *whole), node, (size,), lambda: np.broadcast_to(c.data, whole).ravel())
            chain = Chain(node, ctx).reshape(x.shape[0], size).add("Steps", StepsAttrs((Ratio(),), 1), vector)
            return chain.reshape(*x.shape).nodes()
        count = (x.shape[axis],)
        vector = ctx.derived(("ratio", b, *count), node, count, lambda: per_channel(c, x, axis))
        return [ctx.node(node, "Steps", (a, vector), StepsAttrs((Ratio(),), axis))]

    def cases(self):
        div = [("Div", ["x", "c"], ["y"], {})]
        yield case("div powers of two", div, {"x": (1, 3, 2, 2)}, {"c": np.float32([2, -0.5, 64]).reshape(3, 1, 1)})
        yield case("div per channel", div, {"x": (1, 3, 2, 2)}, {"c": np.float32([0.3, -1.7, 9]).reshape(3, 1, 1)})
        every = 1 + random("div every", 3, 2, 2, scale=0.5)
        yield case("div every element", div, {"x": (1, 3, 2, 2)}, {"c": every})
        yield case("div scalar", div, {"x": ("N", 5)}, {"c": np.float32(256)}, opset=7)
        shapes = [("Div", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("div shapes", shapes, {"x": (1, 6)}, {"s": np.array([-3, 7, -7]), "t": np.array([-2, 3, 5])})


def _quotient(a, b):
    """Integers: cut towards zero, as C does."""
    if a.dtype == np.float32:
        return a / b
    q = a // b
    return q + ((q < 0) & (q * b != a))
