"""QLinearMatMul: a matrix product of integers; becomes Dense. Source: ONNX operator specification, QLinearMatMul."""

from __future__ import annotations

from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearMatMul")
class QLinearMatMul(Op):
    """Inputs (a, its scale, zero point, b constant, its scale, zero point, scale and zero point of y)."""

    domains = ("", "com.microsoft")
    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(8, 8))
        t = Translation(node, ctx)
        a, _ = t.activation(0, 1, 2)
        b, _ = t.weight(3, 4, 5, axis=len(ctx.tensor(node, 3).shape) - 1)
        return t.quantize(t.as_real("MatMul", a, b), 6, 7)
