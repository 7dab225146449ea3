"""LeakyRelu: x, or alpha*x below zero. Source: ONNX operator specification, LeakyRelu."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class SlopeAttrs:
    """`alpha`: the slope below zero."""

    alpha: float


@op("LeakyRelu")
class LeakyRelu(Unary):
    def read(self, node):
        return SlopeAttrs(node.attr.real("alpha", 0.01))

    def function(self, x, attrs):
        return np.where(x < 0, attrs.alpha * x, x).astype(x.dtype)

    def turns(self, attrs):
        return (0.0,)

    def write(self, x, attrs, writer):
        return writer.emit("LeakyRelu", x, alpha=attrs.alpha)

    def cases(self):
        yield self.case()
        yield self.case("rising below zero", alpha=-0.5, opset=7)
