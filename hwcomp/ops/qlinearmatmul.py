"""QLinearMatMul: a matrix product of integers; becomes Dense. Source: ONNX operator specification, QLinearMatMul."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import qlinear_case, random
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

    def cases(self):
        inputs = ["x_q", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"]
        w = np.rint(random("qlinearmatmul", 7, 4) * 127)
        held = {"w": (w + 100).clip(0, 255).astype(np.uint8), "w_s": np.float32(0.004), "w_z": np.uint8(100)}
        yield qlinear_case("qlinearmatmul", "QLinearMatMul", inputs, {}, (1, 7), held, domain="")
