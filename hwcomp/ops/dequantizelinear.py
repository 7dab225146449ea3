"""DequantizeLinear: integers to the reals they stand for. Source: ONNX operator specification, DequantizeLinear."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._quantized import Translation, integers_of, need_axis, real_constant, scaling, type_of
from hwcomp.ops.identity import Identity
from hwcomp.ops.quantizelinear import read_axis
from hwcomp.registry import op


@op("DequantizeLinear")
class DequantizeLinear(Identity):
    """Inputs (x, scale, zero point or absent). In the graph: nothing, as tensors hold real values with a type."""

    domains = ("", "com.microsoft")
    reads_integers = True
    note = "the scales of constants are those of their dot product"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 3))
        x = ctx.tensor(node, 0)
        axis = read_axis(node, x)
        if node.opset >= 23 and node.attr.integer("output_dtype", 1) not in (0, 1):
            raise node.unsupported("DequantizeLinear to another type than float32")
        stored = integers_of(node, x, "input", wide=x.is_constant)
        s = scaling(node, ctx, 1, 2, stored)
        need_axis(node, x, s, axis)
        if x.is_constant:
            ctx.spend(x.data.size, "a dequantized constant", node.label)
            ctx.define(node, node.outputs[0], *real_constant(x, s, axis))
            return []
        Translation(node, ctx).real(x.name, type_of(node, stored, s), stored, node.outputs[0])
        return []

    def cases(self):
        scales = {"s": np.float32(0.0078), "z": np.uint8(128), "s2": np.float32(0.011), "z2": np.uint8(99)}
        nodes = [
            ("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("MaxPool", ["q"], ["m"], {"kernel_shape": [2, 2]}),
            ("DequantizeLinear", ["m", "s2", "z2"], ["y"], {}),
        ]  # fmt: skip
        yield case("dequantizelinear with another scale", nodes, {"x": (1, 3, 4, 5)}, scales)
