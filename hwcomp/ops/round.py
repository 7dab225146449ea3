"""Round: the nearest integer, ties to even. Source: ONNX operator specification, Round."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Round")
class Round(Unary):
    def function(self, x, attrs):
        return np.rint(x)

    def cases(self):
        yield self.case(opset=13)
        yield self.folded()
