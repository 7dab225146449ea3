"""QGemm of com.microsoft: Gemm of integers; becomes Dense. Source: onnxruntime, docs/ContribOperators.md, QGemm."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import qlinear_case, random
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QGemm")
class QGemm(Op):
    """Inputs (A, its scale, zero point, B, its scale, zero point, C INT32 or "", scale and zero point of Y or "").

    C has the scale of A times that of B. Without a scale of Y the result is real.
    """

    domains = ("com.microsoft",)
    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(6, 9))
        alpha = node.attr.real("alpha", 1.0)
        if alpha != 1:
            why = "onnxruntime does not scale C as its documentation says; with alpha=1 they agree"
            raise node.unsupported(f"QGemm with alpha={alpha:g}", why)
        t = Translation(node, ctx)
        a, qa = t.activation(0, 1, 2)
        trans_b = node.attr.flag("transB", False)
        b, scale = t.weight(3, 4, 5, axis=0 if trans_b else 1)
        c = t.bias(6, qa.scales() * scale)
        if not node.input(7):
            t.as_real("Gemm", a, b, c, output=node.outputs[0])
            return []
        return t.quantize(t.as_real("Gemm", a, b, c), 7, 8)

    def cases(self):
        inputs = ["x_q", "x_s", "x_z", "w", "w_s", "w_z", "c", "y_s", "y_z"]
        w = np.rint(random("qgemm", 4, 7) * 127).astype(np.int8)
        held = {"w": w, "w_s": np.float32([0.004, 0.01, 0.002, 0.03]), "w_z": np.zeros(4, np.int8)}
        held["c"] = np.int32([500, -3000, 0, 77])
        yield qlinear_case("qgemm per channel", "QGemm", inputs, {"transB": 1}, (1, 7), held)
        held = {"w": w.T.copy(), "w_s": np.float32(0.004), "w_z": np.int8(3), "c": held["c"]}
        yield qlinear_case("qgemm per tensor", "QGemm", inputs, {}, (1, 7), held)
