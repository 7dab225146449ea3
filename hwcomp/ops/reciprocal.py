"""Reciprocal: 1/x. Source: ONNX operator specification, Reciprocal."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Reciprocal")
class Reciprocal(Unary):
    """Zero gives the largest value of the output's type."""

    def function(self, x, attrs):
        return np.reciprocal(x)

    def turns(self, attrs):
        return (0.0, -0.0)  # the pole, from both sides

    def cases(self):
        yield self.case(interval=(0.5, 4.0), opset=13)
