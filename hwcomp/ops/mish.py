"""Mish: x * tanh(softplus(x)). Source: ONNX operator specification, Mish (from version 18 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Mish")
class Mish(Unary):
    """Mul(x, Tanh(Softplus(x))) becomes it too (pass fuse_gates)."""

    def function(self, x, attrs):
        return x * np.tanh(np.logaddexp(x, 0).astype(x.dtype))

    def turns(self, attrs):
        return (-1.1924312145,)  # its minimum

    def write(self, x, attrs, writer):
        return writer.emit("Mul", x, writer.emit("Tanh", writer.emit("Softplus", x)))

    def cases(self):
        yield self.case(opset=18)
        nodes = [("Softplus", ["x"], ["s"], {}), ("Tanh", ["s"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})]
        yield case("mish from three nodes", nodes, {"x": (1, 3, 4, 5)}, opset=13, interval=(-6.0, 6.0))
