"""Sqrt: square root. Source: ONNX operator specification, Sqrt."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Sqrt")
class Sqrt(Unary):
    domain = (0.0, np.inf)

    def function(self, x, attrs):
        return np.sqrt(x)

    def cases(self):
        yield self.case(interval=(0.0, 4.0), opset=13)
        yield self.folded()
