"""Relu; becomes Clip(0, None). Source: ONNX operator specification, Relu."""

from __future__ import annotations

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.ops.clip import ClipAttrs
from hwcomp.registry import op


@op("Relu")
class Relu(Op):
    becomes = "Clip"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        return [ctx.node(node, "Clip", node.inputs, ClipAttrs(0.0, None))]

    def cases(self):
        yield case("relu", [("Relu", ["x"], ["y"], {})], {"x": (1, 3, 5, 2)})
        yield case("relu vector", [("Relu", ["x"], ["y"], {})], {"x": ("N", 11)}, opset=7)
