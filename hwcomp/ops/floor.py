"""Floor: the largest integer that is not above x. Source: ONNX operator specification, Floor."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Floor")
class Floor(Unary):
    def function(self, x, attrs):
        return np.floor(x)

    def cases(self):
        yield self.case(opset=13)
        yield self.folded()
