"""QLinearSoftmax of com.microsoft; becomes Softmax. Source: onnxruntime, docs/ContribOperators.md, QLinearSoftmax."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearSoftmax")
class QLinearSoftmax(Op):
    """Inputs (x, its scale, zero point, scale and zero point of y); `opset`: the version of Softmax that it stands for."""

    domains = ("com.microsoft",)
    becomes = "Softmax"

    def convert(self, node, ctx):
        node.expect(inputs=(5, 5))
        version = node.attr.integer("opset", least=1)
        if version < 13 and not node.attr.has("axis"):
            raise node.unsupported("QLinearSoftmax without an axis", "versions below 13 do not agree about its default")
        t = Translation(node, ctx)
        x, _ = t.activation(0, 1, 2)
        return t.quantize(t.as_real("Softmax", x, version=version), 3, 4)

    def cases(self):
        constants = {"y_s": np.float32(1 / 256), "y_z": np.uint8(0)}
        inputs = ["x_q", "x_s", "x_z", "y_s", "y_z"]
        attrs = {"axis": -1, "opset": 13}
        yield qlinear_case("qlinearsoftmax", "QLinearSoftmax", inputs, attrs, (1, 3, 10), constants)
