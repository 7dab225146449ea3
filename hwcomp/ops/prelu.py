"""PRelu with one slope for all channels; becomes LeakyRelu. Source: ONNX operator specification, PRelu."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import broadcast_shapes
from hwcomp.ops.base import Op
from hwcomp.ops.leakyrelu import SlopeAttrs
from hwcomp.registry import op


@op("PRelu")
class PRelu(Op):
    """Inputs (x, slope: a constant)."""

    becomes = "LeakyRelu"
    note = "one slope for all channels"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        slope = ctx.constant(node, 1, "slope")
        x = ctx.tensor(node, 0)
        if broadcast_shapes(node, [x.shape, slope.shape]) != x.shape:
            raise node.model_error(f"a slope of shape {list(slope.shape)} does not fit {list(x.shape)}")
        if np.any(slope != slope.flat[0]):
            why = "every channel would need a table of its own"
            raise node.unsupported(f"PRelu with {slope.size} different slopes", why, "train it with one slope")
        return [ctx.node(node, "LeakyRelu", node.inputs[:1], SlopeAttrs(float(slope.flat[0])))]

    def cases(self):
        prelu = [("PRelu", ["x", "s"], ["y"], {})]
        yield case("prelu", prelu, {"x": (1, 3, 4, 5)}, {"s": np.float32([0.25])}, opset=16)
        yield case(
            "prelu equal slopes", prelu, {"x": (1, 3, 2, 2)}, {"s": np.full((3, 1, 1), 0.125, np.float32)}, opset=9
        )
