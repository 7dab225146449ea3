"""Sub with a constant per channel; becomes BatchNormalization. Source: ONNX operator specification, Sub (from 7 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._affine import affine_nodes
from hwcomp.ops._cases import case, random
from hwcomp.ops._folded import broadcast, need_one_type
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Sub")
class Sub(Op):
    """Inputs (x, y), one of them constant; of two constants the difference is computed."""

    becomes = "BatchNormalization"

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
        raise node.unsupported("Sub of two computed tensors", "only a constant per channel is available")

    def cases(self):
        sub = [("Sub", ["x", "c"], ["y"], {})]
        yield case("sub per channel", sub, {"x": (1, 3, 4, 5)}, {"c": random("sub", 1, 3, 1, 1)})
        yield case("sub from scalar", [("Sub", ["c", "x"], ["y"], {})], {"x": ("N", 6)}, {"c": np.float32(1)}, opset=7)
        shapes = [("Sub", ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("sub shapes", shapes, {"x": (1, 9)}, {"s": np.array([2, 4, 5]), "t": np.array([1, 1, 2])})
