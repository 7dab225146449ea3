"""Shape and Size of a tensor: constants, because every shape is known. Source: ONNX operator specification."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Shape")
class Shape(Op):
    """Input (x), any shape; the batch counts as 1. Output int64 [rank]; from opset 15 on of the axes [start, end)."""

    becomes = None

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        shape = ctx.tensor(node, 0).shape
        if node.opset >= 15:
            start = node.attr.integer("start", 0, wide=True)
            end = node.attr.integer("end", len(shape), wide=True)
            shape = shape[start:end]
        ctx.compute(node, (len(shape),), np.int64, lambda: np.array(shape))
        return []

    def cases(self):
        again = [("Flatten", ["x"], ["f"], {}), ("Shape", ["x"], ["s"], {}), ("Reshape", ["f", "s"], ["y"], {})]
        yield case("shape", again, {"x": ("N", 2, 3, 4)}, opset=7)
        part = [("Shape", ["x"], ["s"], {"start": -3, "end": 9}), ("Concat", ["n", "s"], ["t"], {"axis": 0})]
        nodes = [*part, ("Reshape", ["x", "t"], ["y"], {})]
        yield case("shape of some axes", nodes, {"x": (1, 2, 3, 4)}, {"n": np.array([1, 1])}, opset=15)


@op("Size")
class Size(Op):
    """Input (x), any shape; the batch counts as 1. Output int64 []."""

    becomes = None

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        count = math.prod(ctx.tensor(node, 0).shape)
        ctx.compute(node, (), np.int64, lambda: np.array(count))
        return []

    def cases(self):
        unsqueeze = [("Size", ["x"], ["s"], {}), ("Unsqueeze", ["s", "a"], ["t"], {})]
        nodes = [*unsqueeze, ("Concat", ["n", "t"], ["u"], {"axis": 0}), ("Reshape", ["x", "u"], ["y"], {})]
        yield case("size", nodes, {"x": (1, 2, 3)}, {"a": np.array([0]), "n": np.array([1])}, opset=13)
