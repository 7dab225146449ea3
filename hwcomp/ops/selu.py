"""Selu: gamma*x, or gamma*alpha*(exp(x) - 1) below zero. Source: ONNX operator specification, Selu."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class SeluAttrs:
    alpha: float
    gamma: float


@op("Selu")
class Selu(Unary):
    def read(self, node):
        return SeluAttrs(
            node.attr.real("alpha", 1.67326319217681884765625), node.attr.real("gamma", 1.05070102214813232421875)
        )

    def function(self, x, attrs):
        below = attrs.alpha * np.expm1(np.minimum(x, 0))
        return (attrs.gamma * np.where(x < 0, below, x)).astype(x.dtype)

    def turns(self, attrs):
        return (0.0,)

    def write(self, x, attrs, writer):
        return writer.emit("Selu", x, alpha=attrs.alpha, gamma=attrs.gamma)

    def cases(self):
        yield self.case()
        yield self.case("attributes", alpha=0.5, gamma=2.0, opset=7)
