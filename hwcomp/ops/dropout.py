"""Dropout in inference; becomes Identity. Source: ONNX operator specification, Dropout (versions 7 to 22)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Dropout")
class Dropout(Op):
    becomes = "Identity"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 3 if node.opset >= 12 else 1), extra_outputs="the mask of Dropout is not available")
        if node.opset < 12:
            node.attr.real("ratio", 0.5)  # only training reads it
        else:
            node.attr.integer("seed", 0)  # likewise
            if node.input(2) and np.any(ctx.constant(node, 2, "training_mode", dtype="bool")):
                raise node.unsupported(
                    "training_mode=true", "what it drops is random", "export the model in inference mode (model.eval())"
                )
        return [ctx.node(node, "Identity", (node.input(0),))]

    def cases(self):
        x = {"x": (1, 6)}
        yield case("dropout", [("Relu", ["x"], ["h"], {}), ("Dropout", ["h"], ["y"], {})], x)
        old = [("Dropout", ["x"], ["h"], {"ratio": 0.25}), ("Relu", ["h"], ["y"], {})]
        yield case("dropout ratio attribute", old, {"x": (1, 3, 4, 4)}, opset=10)
        new = [("Dropout", ["x", "r", "t"], ["h"], {"seed": 1}), ("Relu", ["h"], ["y"], {})]
        yield case("dropout inputs", new, x, {"r": np.float32(0.5), "t": np.array(False)}, opset=13)
