"""Elu: x, or alpha*(exp(x) - 1) below zero. Source: ONNX operator specification, Elu."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class EluAttrs:
    alpha: float = 1.0


@op("Elu")
class Elu(Unary):
    def read(self, node):
        return EluAttrs(node.attr.real("alpha", 1.0))

    def function(self, x, attrs):
        return np.where(x < 0, attrs.alpha * np.expm1(np.minimum(x, 0)), x).astype(x.dtype)

    def turns(self, attrs):
        return (0.0,)

    def write(self, x, attrs, writer):
        return writer.emit("Elu", x, alpha=attrs.alpha)

    def cases(self):
        yield self.case()
        yield self.case("alpha", alpha=2.5, opset=7)
