"""PRelu. Source: ONNX operator specification, PRelu (from version 7 on).

With one slope it is LeakyRelu, a table; else max(x, 0) + slope * min(x, 0), of which one term is zero everywhere.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._affine import affine
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast_shapes
from hwcomp.ops.add import AddAttrs
from hwcomp.ops.base import Op
from hwcomp.ops.clip import ClipAttrs
from hwcomp.ops.leakyrelu import SlopeAttrs
from hwcomp.registry import op


@op("PRelu")
class PRelu(Op):
    """Inputs (x, slope: a constant)."""

    becomes = "LeakyRelu"
    note = "different slopes: `requantize`, `add`"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        slope = ctx.constant(node, 1, "slope")
        x = ctx.tensor(node, 0)
        if broadcast_shapes(node, [x.shape, slope.shape]) != x.shape:
            raise node.model_error(f"a slope of shape {list(slope.shape)} does not fit {list(x.shape)}")
        if np.all(slope == slope.flat[0]):
            return [ctx.node(node, "LeakyRelu", node.inputs[:1], SlopeAttrs(float(slope.flat[0])))]
        above, below = (ctx.inserted(f"{node.outputs[0]}__{side}") for side in ("above", "below"))
        rising = Chain(node, ctx).add("Clip", ClipAttrs(0.0, None)).nodes(above)
        chain = Chain(node, ctx).add("Clip", ClipAttrs(None, 0.0))
        falling = affine(chain, node, ctx, x.shape, node.input(1), product=True).nodes(below)
        return [*rising, *falling, ctx.node(node, "Add", (above, below), AddAttrs())]

    def cases(self):
        prelu = [("PRelu", ["x", "s"], ["y"], {})]
        yield case("prelu", prelu, {"x": (1, 3, 4, 5)}, {"s": np.float32([0.25])}, opset=16)
        equal = {"s": np.full((3, 1, 1), 0.125, np.float32)}
        yield case("prelu equal slopes", prelu, {"x": (1, 3, 2, 2)}, equal, opset=9)
        yield case("prelu per channel", prelu, {"x": (1, 3, 4, 5)}, {"s": random("prelu", 3, 1, 1)})
        yield case("prelu vector", prelu, {"x": ("N", 6)}, {"s": random("prelu vector", 6)}, opset=7)
        layer = [("Conv", ["x", "w"], ["h"], {}), ("PRelu", ["h", "s"], ["y"], {})]
        held = {"w": random("prelu w", 4, 2, 2, 2), "s": np.float32([[[0.1]], [[-0.3]], [[0.9]], [[1.4]]])}
        yield case("prelu behind a convolution", layer, {"x": (1, 2, 4, 4)}, held)
