"""Sigmoid: 1 / (1 + exp(-x)). Source: ONNX operator specification, Sigmoid."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Sigmoid")
class Sigmoid(Unary):
    def function(self, x, attrs):
        return 1 / (1 + np.exp(-x))

    def cases(self):
        yield self.case(opset=13)
        yield self.case("flat ends", interval=(-30.0, 30.0))
