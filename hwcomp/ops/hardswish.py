"""HardSwish: x * HardSigmoid(x) with alpha 1/6 and beta 1/2. Source: ONNX operator specification, HardSwish."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._unary import Unary
from hwcomp.ops.hardsigmoid import LineAttrs
from hwcomp.registry import op


@op("HardSwish")
class HardSwish(Unary):
    """Mul(x, HardSigmoid(x)) becomes it too, with its own alpha and beta (pass fuse_gates)."""

    def read(self, node):
        return LineAttrs(float(np.float32(1 / 6)), 0.5)

    def function(self, x, attrs):
        return x * attrs(x)

    def turns(self, attrs):
        """The vertex of the parabola, and where the line is cut."""
        a, b = attrs.alpha, attrs.beta
        return (-b / (2 * a), -b / a, (1 - b) / a) if a else ()

    def write(self, x, attrs, writer):
        """HardSwish itself is only known from opset 14 on."""
        return writer.emit("Mul", x, writer.emit("HardSigmoid", x, alpha=attrs.alpha, beta=attrs.beta))

    def cases(self):
        yield self.case(opset=14)
        nodes = [("HardSigmoid", ["x"], ["g"], {"alpha": 0.25}), ("Mul", ["g", "x"], ["y"], {})]
        yield case("hardswish from two nodes", nodes, {"x": (1, 3, 4, 5)}, opset=11, interval=(-4.0, 4.0))
