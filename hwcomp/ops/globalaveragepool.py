"""GlobalAveragePool; becomes AveragePool. Source: ONNX operator specification, GlobalAveragePool."""

from __future__ import annotations

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._window import planar
from hwcomp.ops.averagepool import AveragePoolAttrs
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("GlobalAveragePool")
class GlobalAveragePool(Op):
    """Input (x [N, C, H, W] or [N, C, L])."""

    becomes = "AveragePool"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        shape = ctx.tensor(node, 0).shape
        if len(shape) not in (3, 4):
            fix = "reshape it to [N, C, L] in front"
            raise node.unsupported(
                f"pooling of a tensor of shape {list(shape)}", "only 1D and 2D pooling is available", fix
            )
        chain = Chain(node, ctx)
        if len(shape) == 3:
            chain.reshape(*planar(shape))
        chain.add("AveragePool", whole(planar(shape)[2:] if len(shape) == 3 else shape[2:]))
        return (chain if len(shape) == 4 else chain.reshape(*shape[:2], 1)).nodes()

    def cases(self):
        pool = [("GlobalAveragePool", ["x"], ["y"], {})]
        yield case("globalaveragepool", pool, {"x": (1, 3, 4, 5)})
        yield case("globalaveragepool one pixel", pool, {"x": ("N", 4, 1, 1)}, opset=7)
        yield case("globalaveragepool 1d", pool, {"x": (1, 2, 7)}, opset=22)


def whole(kernel):
    """Attributes of a pool whose one window is all of the plane, or all of one of its axes."""
    return AveragePoolAttrs(tuple(kernel), (1, 1), (1, 1), (0, 0, 0, 0))
