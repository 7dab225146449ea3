"""Sign: -1, 0 or 1. Source: ONNX operator specification, Sign."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Sign")
class Sign(Unary):
    def function(self, x, attrs):
        return np.sign(x)
