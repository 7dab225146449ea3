"""Sub: difference of two tensors, or with a constant per channel. Source: ONNX operator specification, Sub (from 7 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._affine import affine_nodes
from hwcomp.ops._cases import case, random
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops._spread import alike
from hwcomp.ops.add import Add, AddAttrs
from hwcomp.registry import op


@op("Sub")
class Sub(Add):
    """Inputs (x, y), computed, or one of them constant: then it becomes a BatchNormalization.

    Of two constants the difference is computed.
    """

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            ctx.compute(node, broadcast(node, values), values[0].dtype, lambda: np.subtract(*values))
            return []
        a, b = node.inputs
        if ctx.is_constant(b):
            return affine_nodes(node, ctx, a, b, product=False)
        if ctx.is_constant(a):
            return affine_nodes(node, ctx, b, a, product=False, sign=-1)
        if ctx.batched:
            ctx.keep_batch_under_broadcast(node, a, b)
        made, names = alike(node, ctx, a, b)
        return [*made, ctx.node(node, "Sub", names, AddAttrs())]

    def evaluate(self, node, inputs):
        y = inputs[0] - inputs[1]
        return [np.clip(y, *node.attrs.clamp) if node.attrs.clamp else y]

    def interval(self, node, inputs, graph):
        (a, b), (c, d) = (_interval.of_input(node, i, inputs, graph) for i in (0, 1))
        return _interval.clamped(_interval.outward(np.float64(a) - d, np.float64(b) - c, 0.0), node.attrs.clamp)

    def lower(self, node, ctx):
        ctx.add(node, node.attrs.clamp, sign=-1)

    def export(self, node, writer):
        return writer.clamp(writer.emit("Sub", writer.data(), writer.data(1)), node.attrs.clamp)

    def cases(self):
        sub = [("Sub", ["x", "c"], ["y"], {})]
        yield case("sub per channel", sub, {"x": (1, 3, 4, 5)}, {"c": random("sub", 1, 3, 1, 1)})
        yield case("sub from scalar", [("Sub", ["c", "x"], ["y"], {})], {"x": ("N", 6)}, {"c": np.float32(1)}, opset=7)
        two = [("Sub", ["x", "z"], ["y"], {})]
        yield case("sub two inputs", two, {"x": (1, 2, 3, 3), "z": (1, 2, 3, 3)}, opset=13)
        yield case("sub a mean", two, {"x": (1, 4, 6), "z": (1, 4, 1)}, opset=13)
        clamped = [("Relu", ["x"], ["a"], {}), ("Sub", ["a", "x"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("sub clamped", clamped, {"x": (1, 3, 4, 5)})
        shapes = [("Sub", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("sub shapes", shapes, {"x": (1, 9)}, {"s": np.array([2, 4, 5]), "t": np.array([1, 1, 2])})
