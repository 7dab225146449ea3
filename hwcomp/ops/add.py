"""Add: elementwise sum with broadcasting. Source: ONNX operator specification, Add (from version 7 on)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops._spread import alike
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op
from hwcomp.types import per_channel


@dataclass(frozen=True)
class AddAttrs:
    """`clamp` is a fused (lo, hi) on the result, None for an open end."""

    clamp: tuple[float | None, float | None] | None = None


@op("Add")
class Add(Op):
    """Inputs (x, y): tensors that broadcast to each other; a constant stands second."""

    kernels = ("add", "requantize")
    note = "of two tensors the smaller one is repeated"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            ctx.compute(node, broadcast(node, values), values[0].dtype, lambda: np.add(*values))
            return []
        a, b = node.input(0), node.input(1)
        if ctx.is_constant(a) and not ctx.is_constant(b):
            a, b = b, a
        if ctx.batched and not ctx.is_constant(a):
            ctx.keep_batch_under_broadcast(node, a, b)
        made, names = ([], [a, b]) if ctx.is_constant(b) else alike(node, ctx, a, b)
        return [*made, ctx.node(node, "Add", names, AddAttrs())]

    def infer(self, node, inputs):
        x, y = inputs
        need_float(node, x, y)
        try:
            shape = np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            done = "subtracted" if self.name == "Sub" else "added"
            raise bad(node, f"shapes {list(x.shape)} and {list(y.shape)} can't be {done}") from None
        return result(node, shape)

    def evaluate(self, node, inputs):
        y = inputs[0] + inputs[1]
        return [np.clip(y, *node.attrs.clamp) if node.attrs.clamp else y]

    def interval(self, node, inputs, graph):
        (a, b), (c, d) = (_interval.of_input(node, i, inputs, graph) for i in (0, 1))
        return _interval.clamped(_interval.outward(np.float64(a) + c, np.float64(b) + d, 0.0), node.attrs.clamp)

    def lower(self, node, ctx):
        x, y = (ctx.graph.tensors[n] for n in node.inputs)
        if not y.is_constant:
            return ctx.add(node, node.attrs.clamp)
        ctx.need_batch(node)
        channels = per_channel(y, x, 1) if len(x.shape) > 1 else None
        if channels is None:
            what = "a constant that is not one value per channel"
            raise UnsupportedError(f"Add of {what} can't be compiled yet", node=origin_of(node))
        ctx.pointwise(node, np.ones(len(channels)), channels.astype(np.float64), node.attrs.clamp)
        return None

    def export(self, node, writer):
        y = writer.graph.tensors[node.inputs[1]]
        total = writer.emit("Add", writer.data(), y.data if y.is_constant else writer.data(1))
        return writer.clamp(total, node.attrs.clamp)

    def cost(self, node, graph):
        constant = graph.tensors[node.inputs[1]]
        params = math.prod(constant.shape) if constant.is_constant else 0
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape), params=params)

    def cases(self):
        add = [("Add", ["x", "c"], ["y"], {})]
        yield case("add last axis", add, {"x": (1, 3, 5)}, {"c": random("add last", 5)})
        yield case("add every element", add, {"x": (1, 3, 5)}, {"c": random("add every", 3, 5)})
        clamped = [("Add", ["x", "c"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("add a plane", clamped, {"x": (1, 3, 2, 4)}, {"c": random("add plane", 1, 2, 4)})
        yield case("add vector", add, {"x": (1, 5)}, {"c": random("add vector", 5)})
        yield case("add per channel", add, {"x": (1, 3, 4, 5)}, {"c": random("add channel", 3, 1, 1)}, opset=7)
        yield case(
            "add constant first", [("Add", ["c", "x"], ["y"], {})], {"x": (1, 4)}, {"c": random("add first", 1, 4)}
        )
        yield case("add scalar", add, {"x": ("N", 2, 3)}, {"c": random("add scalar")})
        yield case("add to itself", [("Add", ["x", "x"], ["y"], {})], {"x": (1, 7)})
        residual = [("Relu", ["x"], ["a"], {}), ("Add", ["a", "x"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("add residual", residual, {"x": (1, 3, 4, 5)})
        shapes = [("Add", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        constants = {"s": np.array([1, 3, 4]), "t": np.array([0, 1, 2])}
        yield case("add shapes", shapes, {"x": (1, 2, 3, 4)}, constants, opset=13)
        two = [("Add", ["x", "z"], ["y"], {})]
        yield case("add per channel computed", two, {"x": (1, 3, 1, 1), "z": (1, 3, 4, 5)}, opset=13)
        yield case("add row and column", two, {"x": ("N", 2, 1, 3), "z": ("N", 1, 4, 3)}, opset=7)
        yield case("add two inputs", two, {"x": (1, 2, 3, 3), "z": (1, 2, 3, 3)})
