"""Ceil: the least integer that is not below x. Source: ONNX operator specification, Ceil."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Ceil")
class Ceil(Unary):
    def function(self, x, attrs):
        return np.ceil(x)

    def cases(self):
        yield self.case(opset=13)
        yield self.folded()
