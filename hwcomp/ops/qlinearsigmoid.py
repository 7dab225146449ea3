"""QLinearSigmoid and QLinearLeakyRelu of com.microsoft; they become tables. Source: onnxruntime, docs/ContribOperators.md."""

from __future__ import annotations

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op

_INPUTS = ["x_q", "x_s", "x_z", "y_s", "y_z"]


@op("QLinearSigmoid")
class QLinearSigmoid(Op):
    """Inputs (x, its scale, zero point, scale and zero point of y)."""

    domains = ("com.microsoft",)
    becomes = "Sigmoid"

    def convert(self, node, ctx):
        node.expect(inputs=(4, 5))
        t = Translation(node, ctx)
        x, _ = t.activation(0, 1, 2)
        return t.quantize(t.as_real(self.becomes, x), 3, 4)

    def cases(self):
        yield qlinear_case(self.name.lower(), self.name, _INPUTS, {}, (1, 3, 4, 5))


@op("QLinearLeakyRelu")
class QLinearLeakyRelu(QLinearSigmoid):
    becomes = "LeakyRelu"

    def cases(self):
        yield qlinear_case("qlinearleakyrelu", "QLinearLeakyRelu", _INPUTS, {"alpha": 0.2}, (1, 11))
