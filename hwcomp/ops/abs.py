"""Abs: magnitude. Source: ONNX operator specification, Abs."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Abs")
class Abs(Unary):
    def function(self, x, attrs):
        return np.abs(x)

    def turns(self, attrs):
        return (0.0,)
