"""QLinearConv: a convolution of integers; becomes Conv. Source: ONNX operator specification, QLinearConv."""

from __future__ import annotations

from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearConv")
class QLinearConv(Op):
    """Inputs (x, its scale, zero point, weight, its scale, zero point, scale and zero point of y, bias or absent)."""

    domains = ("", "com.microsoft")
    becomes = "Conv"

    def convert(self, node, ctx):
        node.expect(inputs=(8, 9))
        if node.domain == "com.microsoft" and node.attr.flag("channels_last", False):
            raise node.unsupported("QLinearConv with channels_last=1", "only channels in front are available")
        t = Translation(node, ctx)
        x, qx = t.activation(0, 1, 2)
        weight, scale = t.weight(3, 4, 5, axis=0)
        bias = t.bias(8, qx.scales() * scale)
        return t.quantize(t.as_real("Conv", x, weight, bias), 6, 7)
