"""Gelu: x times the normal distribution, or its approximation by tanh. Source: ONNX operator specification, Gelu (from version 20 on)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.ops.erf import erf
from hwcomp.registry import op


@dataclass(frozen=True)
class GeluAttrs:
    """`tanh`: 0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x^3))); else 0.5*x*(1 + erf(x/sqrt(2)))."""

    tanh: bool


@op("Gelu")
class Gelu(Unary):
    def read(self, node):
        return GeluAttrs(node.attr.text("approximate", "none", ("none", "tanh")) == "tanh")

    def function(self, x, attrs):
        if attrs.tanh:
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))

    def turns(self, attrs):
        return (-0.7524614 if attrs.tanh else -0.7517916,)  # its minimum

    def write(self, x, attrs, writer):
        if attrs.tanh:
            cube = writer.emit("Mul", writer.emit("Mul", x, x), writer.emit("Mul", x, np.float32(0.044715)))
            inner = writer.emit("Mul", writer.emit("Add", x, cube), np.float32(math.sqrt(2 / math.pi)))
            gate = writer.emit("Tanh", inner)
        else:
            gate = writer.emit("Erf", writer.emit("Mul", x, np.float32(math.sqrt(0.5))))
        return writer.emit("Mul", writer.emit("Mul", x, np.float32(0.5)), writer.emit("Add", gate, np.float32(1)))

    def cases(self):
        yield self.case(opset=20)
        yield self.case("tanh", approximate="tanh", opset=20)
