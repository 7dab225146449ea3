"""QLinearMul of com.microsoft: a product of integers; becomes Mul. Source: onnxruntime, docs/ContribOperators.md."""

from __future__ import annotations

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops.base import Op
from hwcomp.ops.qlinearadd import binary
from hwcomp.registry import op


@op("QLinearMul")
class QLinearMul(Op):
    """Inputs (A, its scale, zero point, B, its scale, zero point, scale and zero point of C)."""

    domains = ("com.microsoft",)
    becomes = "Mul"

    def convert(self, node, ctx):
        node.expect(inputs=(7, 8))
        return binary(node, ctx, "Mul")

    def cases(self):
        both = ["x_q", "x_s", "x_z", "x_q", "x_s", "x_z", "y_s", "y_z"]
        yield qlinear_case("qlinearmul square", "QLinearMul", both, {}, (1, 3, 4, 5))
