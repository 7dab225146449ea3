"""Mul: elementwise product. Source: ONNX operator specification, Mul (from 7 on)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._affine import affine_nodes
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops._spread import alike
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class MulAttrs:
    """`clamp` is a fused (lo, hi) on the result, None for an open end."""

    clamp: tuple[float | None, float | None] | None = None


@op("Mul")
class Mul(Op):
    """Inputs (x, y): computed, of which a factor per channel (a gate) stands second, or one of them constant.

    By a constant it becomes a BatchNormalization; of two constants the product is computed.
    """

    kernels = ("mul", "requantize")
    note = "of two tensors the smaller one is repeated"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            ctx.compute(node, broadcast(node, values), values[0].dtype, lambda: np.multiply(*values))
            return []
        a, b = node.inputs
        if ctx.is_constant(a) or ctx.is_constant(b):
            return affine_nodes(node, ctx, *((b, a) if ctx.is_constant(a) else (a, b)), product=True)
        x, y = ctx.tensors[a], ctx.tensors[b]
        if _is_gate(x, y):
            a, b = b, a
        elif x.shape != y.shape and not _is_gate(y, x):
            if ctx.batched:
                ctx.keep_batch_under_broadcast(node, a, b)
            made, (a, b) = alike(node, ctx, a, b)
            return [*made, ctx.node(node, "Mul", (a, b), MulAttrs())]
        return [ctx.node(node, "Mul", (a, b), MulAttrs())]

    def infer(self, node, inputs):
        x, y = inputs
        need_float(node, x, y)
        if x.shape != y.shape and not _is_gate(y, x):
            raise bad(node, f"shapes {list(x.shape)} and {list(y.shape)} can't be multiplied")
        return result(node, x.shape)

    def evaluate(self, node, inputs):
        y = inputs[0] * inputs[1]
        return [np.clip(y, *node.attrs.clamp) if node.attrs.clamp else y]

    def interval(self, node, inputs, graph):
        x, y = (_interval.of_input(node, i, inputs, graph) for i in (0, 1))
        ends = np.asarray([_interval.scaled(np.float64(end), other) for end in x for other in y])
        square = node.inputs[0] == node.inputs[1]
        low, high = _interval.outward(ends, ends, 0.0)
        return _interval.clamped((max(low, 0.0) if square else low, high), node.attrs.clamp)

    def lower(self, node, ctx):
        ctx.multiply(node, node.attrs.clamp)

    def export(self, node, writer):
        return writer.clamp(writer.emit("Mul", *writer.factors()), node.attrs.clamp)

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape))

    def cases(self):
        mul = [("Mul", ["x", "c"], ["y"], {})]
        yield case("mul per channel", mul, {"x": (1, 3, 4, 5)}, {"c": random("mul", 3, 1, 1)}, opset=7)
        yield case("mul scalar", [("Mul", ["c", "x"], ["y"], {})], {"x": ("N", 6)}, {"c": np.float32(-0.25)})
        yield case("mul vector", mul, {"x": (1, 6)}, {"c": random("mul vector", 6)}, opset=14)
        yield case("mul channels last", mul, {"x": (1, 3, 2, 5)}, {"c": random("mul last", 5)})
        yield case("mul every element", mul, {"x": (1, 3, 2, 4)}, {"c": random("mul every", 1, 3, 2, 4)})
        yield case("mul a plane", mul, {"x": (1, 3, 2, 4)}, {"c": random("mul plane", 2, 4)})
        shapes = [("Mul", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("mul shapes", shapes, {"x": (1, 48)}, {"s": np.array([1, 2, 3]), "t": np.array([1, 2, 4])})
        two = [("Mul", ["x", "z"], ["y"], {})]
        yield case("mul two inputs", two, {"x": (1, 3, 4, 5), "z": (1, 3, 4, 5)})
        yield case("mul two vectors", two, {"x": ("N", 7), "z": ("N", 7)}, opset=7, interval=(-0.5, 3.0))
        yield case("mul gate", [("Mul", ["z", "x"], ["y"], {})], {"x": (1, 3, 4, 5), "z": (1, 3, 1, 1)}, opset=13)
        yield case("mul gate 1d", two, {"x": (1, 4, 9), "z": (1, 4, 1)}, opset=13)
        yield case("mul by a plane", two, {"x": (1, 3, 4, 5), "z": (1, 1, 4, 5)}, opset=13)
        clamped = [("Mul", ["x", "z"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("mul clamped", clamped, {"x": (1, 2, 3, 3), "z": (1, 2, 3, 3)})
        yield case("mul square", [("Mul", ["x", "x"], ["y"], {})], {"x": (1, 9)})
        excite = [
            ("Relu", ["x"], ["a"], {}),
            ("GlobalAveragePool", ["a"], ["m"], {}),
            ("Conv", ["m", "w", "b"], ["s"], {}),
            ("HardSigmoid", ["s"], ["g"], {}),
            ("Mul", ["a", "g"], ["y"], {}),
        ]
        constants = {"w": random("mul excite", 5, 5, 1, 1), "b": random("mul excite bias", 5)}
        yield case("mul squeeze excite", excite, {"x": (1, 5, 6, 4)}, constants, opset=13)


def _is_gate(gate, x) -> bool:
    """One value per channel of x [N, C, ...]."""
    rank = len(x.shape)
    return rank == len(gate.shape) > 2 and gate.shape == (*x.shape[:2], *[1] * (rank - 2)) and gate.shape != x.shape
