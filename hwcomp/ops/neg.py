"""Neg: -x. Source: ONNX operator specification, Neg."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Neg")
class Neg(Unary):
    def function(self, x, attrs):
        return np.negative(x)

    def cases(self):
        yield self.case(interval=(-1.0, 3.0))
        yield self.folded()
