"""HardSigmoid: max(0, min(1, alpha*x + beta)). Source: ONNX operator specification, HardSigmoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class LineAttrs:
    """The line alpha*x + beta, cut at 0 and 1."""

    alpha: float
    beta: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.clip(self.alpha * x + self.beta, 0, 1).astype(x.dtype)


@op("HardSigmoid")
class HardSigmoid(Unary):
    def read(self, node):
        return LineAttrs(node.attr.real("alpha", 0.2), node.attr.real("beta", 0.5))

    def function(self, x, attrs):
        return attrs(x)

    def write(self, x, attrs, writer):
        return writer.emit("HardSigmoid", x, alpha=attrs.alpha, beta=attrs.beta)

    def cases(self):
        uneven = (-4.0, 3.3)  # with -4..4 every few values of x give ties, which float noise decides
        yield self.case(interval=uneven)
        yield self.case("of MobileNet", alpha=0.16666667163372040, beta=0.5, opset=11, interval=uneven)
        yield self.case("falling", alpha=-0.5, beta=0.25, opset=7, interval=uneven)
