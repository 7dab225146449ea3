"""ThresholdedRelu: x above alpha, else 0. Source: ONNX operator specification, ThresholdedRelu."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class ThresholdAttrs:
    """`alpha`: the largest value that becomes 0."""

    alpha: float


@op("ThresholdedRelu")
class ThresholdedRelu(Unary):
    def read(self, node):
        return ThresholdAttrs(node.attr.real("alpha", 1.0))

    def function(self, x, attrs):
        return np.where(x > attrs.alpha, x, 0).astype(x.dtype)

    def turns(self, attrs):
        return attrs.alpha, float(np.nextafter(attrs.alpha, np.inf))

    def write(self, x, attrs, writer):
        return writer.emit("ThresholdedRelu", x, alpha=attrs.alpha)

    def cases(self):
        yield self.case(opset=10)
        yield self.case("alpha", alpha=-0.75)
