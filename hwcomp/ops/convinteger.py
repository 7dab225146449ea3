"""ConvInteger and MatMulInteger: sums of products of integers, as the reals they are; they become Conv and Dense.

What follows must scale them to reals, as exporters write it: Cast to float32, Mul with a constant, QuantizeLinear.
Source: ONNX operator specification, ConvInteger, MatMulInteger.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
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

    def cases(self):
        from onnx import TensorProto

        weight = np.rint(random("convinteger", 3, 2, 2, 2) * 127 + 128).astype(np.uint8)
        constants = {
            "s": np.float32(0.0078), "z": np.uint8(128), "w": weight, "v": np.uint8(128), "f": np.float32(4e-5),
            "y_s": np.float32(0.0061), "y_z": np.uint8(120),
        }  # fmt: skip
        nodes = [
            ("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
            ("ConvInteger", ["q", "w", "z", "v"], ["a"], {"pads": [1, 0, 0, 1]}),
            ("Cast", ["a"], ["r"], {"to": TensorProto.FLOAT}),
            ("Mul", ["r", "f"], ["m"], {}),
            ("QuantizeLinear", ["m", "y_s", "y_z"], ["y_q"], {}),
            ("DequantizeLinear", ["y_q", "y_s", "y_z"], ["y"], {}),
        ]
        yield case("convinteger scaled", nodes, {"x": (1, 2, 4, 5)}, constants)


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

    def cases(self):
        from onnx import TensorProto

        constants = {
            "s": np.float32(0.0078), "z": np.uint8(128), "w": np.rint(random("matmulinteger", 6, 4) * 127).astype(np.int8),
            "f": np.float32([3e-5, 4e-5, 2e-5, 5e-5]), "y_s": np.float32(0.0061), "y_z": np.uint8(120),
        }  # fmt: skip
        nodes = [
            ("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
            ("MatMulInteger", ["q", "w", "z"], ["a"], {}),
            ("Cast", ["a"], ["r"], {"to": TensorProto.FLOAT}),
            ("Mul", ["r", "f"], ["m"], {}),
            ("QuantizeLinear", ["m", "y_s", "y_z"], ["y_q"], {}),
            ("DequantizeLinear", ["y_q", "y_s", "y_z"], ["y"], {}),
        ]
        yield case("matmulinteger scaled", nodes, {"x": (1, 6)}, constants)
