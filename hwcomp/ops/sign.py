"""Sign; becomes Steps. Source: ONNX operator specification, Sign, but for 0: numerics.md says +1, ONNX 0."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._steps import Quantizer
from hwcomp.ops.base import Op
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import QType

BIPOLAR = QType(1, True, "bipolar", (1.0,))


@op("Sign")
class Sign(Op):
    """Input (x), any shape. Sign(0) is +1 here: the pass `calibrate` counts the zeros that the samples give."""

    becomes = "Steps"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        if (values := ctx.values(node)) is not None:
            ctx.compute(node, values[0].shape, np.float32, lambda: np.sign(values[0]))
            return []
        return [ctx.node(node, "Steps", node.inputs, StepsAttrs((Quantizer(BIPOLAR),)))]

    def cases(self):
        sign = [("Sub", ["x", "c"], ["h"], {}), ("Sign", ["h"], ["y"], {})]
        yield case("sign", sign, {"x": (1, 3, 5, 2)}, {"c": np.float32(0.503)})
        dense = [("MatMul", ["x", "w"], ["h"], {}), ("Sign", ["h"], ["s"], {}), ("MatMul", ["s", "v"], ["y"], {})]
        weights = {"w": random("sign w", 9, 12), "v": np.sign(random("sign v", 12, 4))}
        yield case("sign between products", dense, {"x": ("N", 9)}, weights, opset=9)
