"""ReduceMean. Source: ONNX operator specification, ReduceMean (the axes are an input from version 18 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._reduce import Reduction, average
from hwcomp.registry import op


@op("ReduceMean")
class ReduceMean(Reduction):
    becomes = "AveragePool"
    note = "over what is carried last: `dense`"
    function = np.mean

    def steps(self, node, ctx, chain, shape, axes):
        return average(node, ctx, chain, shape, axes, total=False)

    def cases(self):
        yield self.one("plane", (1, 3, 4, 5), [2, 3], 11)
        yield self.one("without dims", ("N", 3, 5, 2), [-1, -2], 17, keepdims=0)
        yield self.one("axes as input", (1, 4, 3, 3), [2, 3], 18, keepdims=0, noop_with_empty_axes=0)
        yield self.one("rows", (1, 2, 5, 3), [2], 13)
        yield self.one("channels last", (1, 4, 3, 5), [1, 2], 18, keepdims=0)
        yield self.one("1d", (1, 4, 9), [2], 18, keepdims=0)
        yield from super().cases()
