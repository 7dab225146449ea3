"""QLinearConv: a convolution of integers; becomes Conv. Source: ONNX operator specification, QLinearConv."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import qlinear_case, random
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

    def cases(self):
        inputs = ["x_q", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z", "b"]
        w = np.rint(random("qlinearconv", 4, 3, 3, 3) * 127)
        held = {"w": w.astype(np.int8), "w_s": np.float32([0.004, 0.01, 0.002, 0.03]), "w_z": np.zeros(4, np.int8)}
        held["b"] = np.int32([1000, -2000, 0, 123])
        pads = {"pads": [1, 1, 1, 1]}
        yield qlinear_case("qlinearconv per channel", "QLinearConv", inputs, pads, (1, 3, 5, 6), held, domain="")
        held = {"w": (w + 130).clip(0, 255).astype(np.uint8), "w_s": np.float32(0.003), "w_z": np.uint8(130)}
        yield qlinear_case("qlinearconv uint8", "QLinearConv", inputs[:-1], {}, (1, 3, 5, 6), held, domain="")
