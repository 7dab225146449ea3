"""ReduceMax and ReduceMin; become MaxPool. Source: ONNX operator specification, each by its name."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._reduce import Reduction, largest
from hwcomp.registry import op


@op("ReduceMax")
class ReduceMax(Reduction):
    becomes = "MaxPool"
    function = np.max

    def steps(self, node, ctx, chain, shape, axes):
        return largest(chain, shape, axes)

    def cases(self):
        yield self.one("plane", (1, 3, 4, 5), [2, 3], 11)
        yield self.one("rows", ("N", 3, 5, 2), [2], 18)
        yield from super().cases()


@op("ReduceMin")
class ReduceMin(ReduceMax):
    """The largest negative value, negated."""

    note = "between two `lut`"
    function = np.min

    def steps(self, node, ctx, chain, shape, axes):
        return largest(chain.add("Neg"), shape, axes).add("Neg")
