"""QLinearAveragePool and QLinearGlobalAveragePool of com.microsoft; they become AveragePool.

Source: onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearAveragePool")
class QLinearAveragePool(Op):
    """Inputs (x, its scale, zero point, scale and zero point of y)."""

    domains = ("com.microsoft",)
    becomes = "AveragePool"
    real = "AveragePool"

    def convert(self, node, ctx):
        node.expect(inputs=(4, 5))
        if node.attr.flag("channels_last", False):
            raise node.unsupported(f"{self.name} with channels_last=1", "only channels in front are available")
        t = Translation(node, ctx)
        x, _ = t.activation(0, 1, 2)
        return t.quantize(t.as_real(self.real, x), 3, 4)

    def cases(self):
        inputs, window = ["x_q", "x_s", "x_z", "y_s", "y_z"], {"kernel_shape": [2, 3], "pads": [0, 1, 1, 0]}
        yield qlinear_case("qlinearaveragepool", "QLinearAveragePool", inputs, window, (1, 3, 4, 5))


@op("QLinearGlobalAveragePool")
class QLinearGlobalAveragePool(QLinearAveragePool):
    real = "GlobalAveragePool"

    def cases(self):
        inputs = ["x_q", "x_s", "x_z", "y_s", "y_z"]
        yield qlinear_case("qlinearglobalaveragepool", "QLinearGlobalAveragePool", inputs, {}, (1, 3, 4, 5))
