"""Log: natural logarithm. Source: ONNX operator specification, Log."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@op("Log")
class Log(Unary):
    """Zero, which every type contains, gives the least value of the output's type."""

    domain = (0.0, np.inf)

    def function(self, x, attrs):
        return np.log(x)

    def cases(self):
        yield self.case(interval=(0.25, 8.0))
