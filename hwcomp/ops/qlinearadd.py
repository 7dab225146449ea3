"""QLinearAdd of com.microsoft: a sum of integers; becomes Add. Source: onnxruntime, docs/ContribOperators.md."""

from __future__ import annotations

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearAdd")
class QLinearAdd(Op):
    """Inputs (A, its scale, zero point, B, its scale, zero point, scale and zero point of C)."""

    domains = ("com.microsoft",)
    becomes = "Add"

    def convert(self, node, ctx):
        node.expect(inputs=(7, 8))
        return binary(node, ctx, "Add")

    def cases(self):
        both = ["x_q", "x_s", "x_z", "x_q", "x_s", "x_z", "y_s", "y_z"]
        yield qlinear_case("qlinearadd twice", "QLinearAdd", both, {}, (1, 3, 4, 5))


def binary(node, ctx, op_type):
    """Nodes of an operator on two tensors of integers; one of them may be a constant."""
    t = Translation(node, ctx)
    sides = [
        t.weight(i, i + 1, i + 2, axis=0)[0] if ctx.is_constant(node.input(i)) else t.activation(i, i + 1, i + 2)[0]
        for i in (0, 3)
    ]
    return t.quantize(t.as_real(op_type, *sides), 6, 7)
