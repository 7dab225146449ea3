"""Celu: max(0, x) + min(0, alpha*(exp(x/alpha) - 1)). Source: ONNX operator specification, Celu."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.ops.elu import EluAttrs
from hwcomp.registry import op


@op("Celu")
class Celu(Unary):
    def read(self, node):
        attrs = EluAttrs(node.attr.real("alpha", 1.0))
        if attrs.alpha == 0:
            raise node.model_error("attribute 'alpha' of Celu is 0", "x is divided by it")
        return attrs

    def function(self, x, attrs):
        below = attrs.alpha * np.expm1(x / attrs.alpha)
        return (np.maximum(x, 0) + np.minimum(below, 0)).astype(x.dtype)

    def turns(self, attrs):
        return (0.0,)

    def write(self, x, attrs, writer):
        return writer.emit("Celu", x, alpha=attrs.alpha)

    def cases(self):
        yield self.case(opset=12)
        yield self.case("alpha", alpha=0.5)
