"""GlobalAveragePool; becomes AveragePool. Source: ONNX operator specification, GlobalAveragePool."""

from __future__ import annotations

from hwcomp.ops._cases import case
from hwcomp.ops._window import whole_plane
from hwcomp.ops.averagepool import AveragePoolAttrs
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("GlobalAveragePool")
class GlobalAveragePool(Op):
    """Input (x [N, C, H, W] or [N, C, L])."""

    becomes = "AveragePool"

    def convert(self, node, ctx):
        return whole_plane(node, ctx, "AveragePool", AveragePoolAttrs)

    def cases(self):
        pool = [("GlobalAveragePool", ["x"], ["y"], {})]
        yield case("globalaveragepool", pool, {"x": (1, 3, 4, 5)})
        yield case("globalaveragepool one pixel", pool, {"x": ("N", 4, 1, 1)}, opset=7)
        yield case("globalaveragepool 1d", pool, {"x": (1, 2, 7)}, opset=22)


def whole(kernel):
    """Attributes of a pool whose one window is all of the plane, or all of one of its axes."""
    return AveragePoolAttrs(tuple(kernel), (1, 1), (1, 1), (0, 0, 0, 0))
