"""ReduceSum, ReduceL1, ReduceSumSquare, ReduceL2: sums of what single elements give.

Source: ONNX operator specification, each by its name (the axes of ReduceSum are an input from version 13 on).
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._reduce import Reduction, average
from hwcomp.ops.mul import MulAttrs
from hwcomp.registry import op


@op("ReduceSum")
class ReduceSum(Reduction):
    becomes = "AveragePool"
    note = "over what is carried last: `dense`"
    since = 13
    function = np.sum

    def steps(self, node, ctx, chain, shape, axes):
        return average(node, ctx, chain, shape, axes, total=True)

    def cases(self):
        yield self.one("plane", (1, 3, 4, 5), [2, 3], 11)
        yield self.one("columns", ("N", 3, 5, 2), [-1], 13)
        yield from super().cases()


@op("ReduceL1")
class ReduceL1(ReduceSum):
    since = 18

    @staticmethod
    def function(x, axis, keepdims):
        return np.abs(x).sum(axis=axis, keepdims=keepdims)

    def steps(self, node, ctx, chain, shape, axes):
        return super().steps(node, ctx, chain.add("Abs"), shape, axes)


@op("ReduceSumSquare")
class ReduceSumSquare(ReduceSum):
    since = 18

    @staticmethod
    def function(x, axis, keepdims):
        return np.square(x).sum(axis=axis, keepdims=keepdims)

    def steps(self, node, ctx, chain, shape, axes):
        return super().steps(node, ctx, chain.add("Mul", MulAttrs(), node.input(0)), shape, axes)


@op("ReduceL2")
class ReduceL2(ReduceSumSquare):
    @staticmethod
    def function(x, axis, keepdims):
        return np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))

    def steps(self, node, ctx, chain, shape, axes):
        return super().steps(node, ctx, chain, shape, axes).add("Sqrt")
