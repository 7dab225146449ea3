"""Softplus: ln(1 + exp(x)). Source: ONNX operator specification, Softplus."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Softplus")
class Softplus(Unary):
    def function(self, x, attrs):
        return np.logaddexp(x, 0).astype(x.dtype)
