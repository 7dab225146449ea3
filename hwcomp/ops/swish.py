"""Swish (SiLU): x * Sigmoid(alpha*x). Source: ONNX operator specification, Swish (from version 24 on)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class SwishAttrs:
    alpha: float = 1.0


@op("Swish")
class Swish(Unary):
    """Mul(x, Sigmoid(x)) becomes it too (pass fuse_gates)."""

    def read(self, node):
        return SwishAttrs(node.attr.real("alpha", 1.0))

    def function(self, x, attrs):
        return x * (1 / (1 + np.exp(-(attrs.alpha * x)))).astype(x.dtype)

    def turns(self, attrs):
        """The minimum is where 1 + t + exp(t) * ... = 0, t = alpha*x: the root of t + 1 = -exp(t)."""
        return (-1.2784645427610738 / attrs.alpha,) if attrs.alpha else ()

    def write(self, x, attrs, writer):
        gate = x if attrs.alpha == 1 else writer.emit("Mul", x, np.float32(attrs.alpha))
        return writer.emit("Mul", x, writer.emit("Sigmoid", gate))

    def cases(self):
        yield self.case(opset=24)
        nodes = [("Sigmoid", ["x"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})]
        yield case("swish from two nodes", nodes, {"x": (1, 3, 4, 5)}, opset=13, interval=(-6.0, 6.0))
