"""ConvInteger and MatMulInteger: sums of products of integers, as the reals they are; they become Conv and Dense.

What follows must scale them to reals, as exporters write it: Cast to float32, Mul with a constant, QuantizeLinear.
Source: ONNX operator specification, ConvInteger, MatMulInteger.
"""

from __future__ import annotations

from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("ConvInteger")
class ConvInteger(Op):
    """Inputs (x, weight constant, zero point of x or "", zero point of the weight or "")."""

    becomes = "Conv"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 4))
        t = Translation(node, ctx)
        x, _ = t.activation(0, None, 2)
        t.as_real("Conv", x, t.weight(1, None, 3, axis=0)[0], output=node.outputs[0])
        return []


@op("MatMulInteger")
class MatMulInteger(Op):
    """Inputs (A, B constant, zero point of A or "", zero point of B or "")."""

    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 4))
        t = Translation(node, ctx)
        a, _ = t.activation(0, None, 2)
        b, _ = t.weight(1, None, 3, axis=len(ctx.tensor(node, 1).shape) - 1)
        t.as_real("MatMul", a, b, output=node.outputs[0])
        return []
