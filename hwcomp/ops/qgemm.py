"""QGemm of com.microsoft: Gemm of integers; becomes Dense. Source: onnxruntime, docs/ContribOperators.md, QGemm."""

from __future__ import annotations

from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QGemm")
class QGemm(Op):
    """Inputs (A, its scale, zero point, B, its scale, zero point, C INT32 or "", scale and zero point of Y or "").

    C has the scale alpha * scale of A * scale of B. Without a scale of Y the result is real.
    """

    domains = ("com.microsoft",)
    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(6, 9))
        alpha = node.attr.real("alpha", 1.0)
        if alpha <= 0:
            raise node.unsupported(f"QGemm with alpha={alpha:g}", "only a positive factor is available")
        t = Translation(node, ctx)
        a, qa = t.activation(0, 1, 2)
        trans_b = node.attr.flag("transB", False)
        b, scale = t.weight(3, 4, 5, axis=0 if trans_b else 1, factor=alpha)
        c = t.bias(6, qa.scales() * scale)
        if not node.input(7):
            t.as_real("Gemm", a, b, c, output=node.outputs[0])
            return []
        return t.quantize(t.as_real("Gemm", a, b, c), 7, 8)
