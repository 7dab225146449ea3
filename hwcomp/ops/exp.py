"""Exp: e to the x. Source: ONNX operator specification, Exp."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Exp")
class Exp(Unary):
    def function(self, x, attrs):
        return np.exp(x)

    def cases(self):
        yield self.case(interval=(-3.0, 2.0))
