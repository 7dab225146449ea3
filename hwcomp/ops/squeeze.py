"""Squeeze: leave out axes of size 1; becomes Reshape. Source: ONNX operator specification, Squeeze."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.registry import op


@op("Squeeze")
class Squeeze(Op):
    """Input (x), any shape; the axes are an attribute before opset 13, an input after; without them, all of size 1."""

    becomes = "Reshape"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 2 if node.opset >= 13 else 1))
        shape = ctx.tensor(node, 0).shape
        axes = ctx.axes(node, 1, rank=len(shape), since=13)
        if axes is None:
            axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
        wrong = [shape[axis] for axis in axes if shape[axis] != 1]
        if wrong:
            raise node.model_error(f"Squeeze of an axis of size {wrong[0]}", "only axes of size 1 can be left out")
        kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
        return [ctx.node(node, "Reshape", (node.input(0),), ReshapeAttrs(kept))]

    def cases(self):
        squeeze = [("Squeeze", ["x", "a"], ["y"], {})]
        yield case("squeeze", squeeze, {"x": ("N", 5, 1, 1)}, {"a": np.array([2, -1])})
        yield case("squeeze an attribute", [("Squeeze", ["x"], ["y"], {"axes": [1]})], {"x": (1, 1, 4)}, opset=11)
        every = [("Squeeze", ["c"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("squeeze a constant", every, {"x": (1, 3)}, {"c": np.float32([[[0.5]], [[1.0]], [[-1.0]]])})
