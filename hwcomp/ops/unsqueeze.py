"""Unsqueeze: new axes of size 1; becomes Reshape. Source: ONNX operator specification, Unsqueeze."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._limits import MAX_RANK
from hwcomp.ops.base import Op
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.registry import op


@op("Unsqueeze")
class Unsqueeze(Op):
    """Input (x), any shape; the axes (of the output) are an attribute before opset 13 and an input after."""

    becomes = "Reshape"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2) if node.opset >= 13 else (1, 1))
        shape = ctx.tensor(node, 0).shape
        given = ctx.integers(node, 1, "axes") if node.opset >= 13 else node.attr.integers("axes")
        rank = len(shape) + len(given)
        if rank > MAX_RANK:
            raise node.model_error(f"Unsqueeze makes {rank} dimensions", f"at most {MAX_RANK} are taken")
        axes, old = node.axes(given, rank), iter(shape)
        longer = tuple(1 if axis in axes else next(old) for axis in range(rank))
        return [ctx.node(node, "Reshape", (node.input(0),), ReshapeAttrs(longer))]

    def cases(self):
        unsqueeze = [("Unsqueeze", ["x", "a"], ["y"], {})]
        yield case("unsqueeze", unsqueeze, {"x": ("N", 5)}, {"a": np.array([-1, 2])})
        yield case("unsqueeze an attribute", [("Unsqueeze", ["x"], ["y"], {"axes": [1]})], {"x": (1, 3, 4)}, opset=7)
        constant = [("Unsqueeze", ["c", "a"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        values = {"c": np.float32([0.5, -0.25, 1.0]), "a": np.array([1, 2])}
        yield case("unsqueeze a constant", constant, {"x": (1, 3, 2, 2)}, values, opset=21)
