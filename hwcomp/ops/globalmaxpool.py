"""GlobalMaxPool; becomes MaxPool. Source: ONNX operator specification, GlobalMaxPool."""

from __future__ import annotations

from hwcomp.ops._cases import case
from hwcomp.ops._window import whole_plane
from hwcomp.ops.base import Op
from hwcomp.ops.maxpool import MaxPoolAttrs
from hwcomp.registry import op


@op("GlobalMaxPool")
class GlobalMaxPool(Op):
    """Input (x [N, C, H, W] or [N, C, L])."""

    becomes = "MaxPool"

    def convert(self, node, ctx):
        return whole_plane(node, ctx, "MaxPool", MaxPoolAttrs)

    def cases(self):
        pool = [("GlobalMaxPool", ["x"], ["y"], {})]
        yield case("globalmaxpool", pool, {"x": (1, 3, 4, 5)})
        yield case("globalmaxpool one pixel", pool, {"x": ("N", 4, 1, 1)}, opset=7)
        yield case("globalmaxpool 1d", pool, {"x": (1, 2, 7)}, opset=22)
