"""Tanh: hyperbolic tangent. Source: ONNX operator specification, Tanh."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Tanh")
class Tanh(Unary):
    def function(self, x, attrs):
        return np.tanh(x)
