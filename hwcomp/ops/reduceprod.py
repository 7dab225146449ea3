"""ReduceProd of constants. Source: ONNX operator specification, ReduceProd."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import Folded
from hwcomp.registry import op


@op("ReduceProd")
class ReduceProd(Folded):
    """Input (x), any shape; the axes are an attribute before opset 18 and an input after."""

    def convert(self, node, ctx):
        node.expect(inputs=(1, 2 if node.opset >= 18 else 1))
        x = self.constants(node, ctx)[0]
        axes = ctx.axes(node, 1, rank=x.ndim, since=18)
        keep = node.attr.flag("keepdims", True)
        nothing = node.opset >= 18 and node.attr.flag("noop_with_empty_axes", False)
        if x.dtype == np.bool_:
            raise node.model_error("ReduceProd of bool values")
        if not axes:
            axes = () if nothing else tuple(range(x.ndim))
        kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        shape = tuple(kept) if keep else tuple(s for axis, s in enumerate(kept) if axis not in axes)
        ctx.compute(node, shape, x.dtype, lambda: np.prod(x, axis=axes, keepdims=keep, dtype=x.dtype))
        return []

    def cases(self):
        def size(*names, **attrs):
            count = [("Shape", ["x"], ["s"], {}), ("ReduceProd", ["s", *names], ["p"], attrs)]
            return [*count, ("Concat", ["n", "p"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {})]

        yield case("reduceprod", size(), {"x": (1, 2, 3)}, {"n": np.array([1])}, opset=7)
        axes = {"n": np.array([1]), "a": np.array([-1])}
        yield case("reduceprod axes", size("a"), {"x": (1, 2, 3)}, axes, opset=18)
        flat = [("ReduceProd", ["c"], ["p"], {"axes": [1], "keepdims": 0}), ("Add", ["x", "p"], ["y"], {})]
        yield case("reduceprod floats", flat, {"x": (1, 2)}, {"c": np.float32([[1, 2], [-0.5, 3]])}, opset=13)
