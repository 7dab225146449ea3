"""Softsign: x / (1 + |x|). Source: ONNX operator specification, Softsign."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Softsign")
class Softsign(Unary):
    def function(self, x, attrs):
        return x / (1 + np.abs(x))
