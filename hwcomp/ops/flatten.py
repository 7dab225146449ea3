"""Flatten to a matrix; becomes Reshape. Source: ONNX operator specification, Flatten."""

from __future__ import annotations

import math

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.registry import op


@op("Flatten")
class Flatten(Op):
    """Input (x), any shape; output [sizes before axis, sizes from axis on]."""

    becomes = "Reshape"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        shape = ctx.tensor(node, 0).shape
        axis = node.attr.axis("axis", 1, rank=len(shape), beyond=True)
        if ctx.batched and axis == 0:
            raise node.unsupported(
                "Flatten with axis=0", "it merges the batch axis with the others", "use axis=1 or more"
            )
        attrs = ReshapeAttrs((math.prod(shape[:axis]), math.prod(shape[axis:])))
        return [ctx.node(node, "Reshape", node.inputs, attrs)]

    def cases(self):
        yield case("flatten", [("Flatten", ["x"], ["y"], {})], {"x": (1, 2, 3, 4)})
        yield case("flatten symbolic", [("Flatten", ["x"], ["y"], {"axis": 1})], {"x": ("N", 3, 5)}, opset=7)
        yield case("flatten negative axis", [("Flatten", ["x"], ["y"], {"axis": -2})], {"x": (1, 4, 3)})
