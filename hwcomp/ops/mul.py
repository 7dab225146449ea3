"""Mul by a constant per channel; becomes BatchNormalization. Source: ONNX operator specification, Mul (from 7 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._affine import affine_nodes
from hwcomp.ops._cases import case, random
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Mul")
class Mul(Op):
    """Inputs (x, y), one of them constant; of two constants the product is computed."""

    becomes = "BatchNormalization"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            ctx.compute(node, broadcast(node, values), values[0].dtype, lambda: np.multiply(*values))
            return []
        a, b = node.inputs
        if not ctx.is_constant(a) and not ctx.is_constant(b):
            raise node.unsupported("Mul of two computed tensors", "only a constant per channel is available")
        return affine_nodes(node, ctx, *((b, a) if ctx.is_constant(a) else (a, b)), product=True)

    def cases(self):
        mul = [("Mul", ["x", "c"], ["y"], {})]
        yield case("mul per channel", mul, {"x": (1, 3, 4, 5)}, {"c": random("mul", 3, 1, 1)}, opset=7)
        yield case("mul scalar", [("Mul", ["c", "x"], ["y"], {})], {"x": ("N", 6)}, {"c": np.float32(-0.25)})
        yield case("mul vector", mul, {"x": (1, 6)}, {"c": random("mul vector", 6)}, opset=14)
        yield case("mul channels last", mul, {"x": (1, 3, 2, 5)}, {"c": random("mul last", 5)})
        shapes = [("Mul", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("mul shapes", shapes, {"x": (1, 48)}, {"s": np.array([1, 2, 3]), "t": np.array([1, 2, 4])})
