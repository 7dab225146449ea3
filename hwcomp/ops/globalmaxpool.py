"""GlobalMaxPool; becomes MaxPool. Source: ONNX operator specification, GlobalMaxPool."""

from __future__ import annotations

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._window import planar
from hwcomp.ops.base import Op
from hwcomp.ops.maxpool import MaxPoolAttrs
from hwcomp.registry import op


@op("GlobalMaxPool")
class GlobalMaxPool(Op):
    """Input (x [N, C, H, W] or [N, C, L])."""

    becomes = "MaxPool"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        shape = ctx.tensor(node, 0).shape
        if len(shape) not in (3, 4):
            raise node.unsupported(f"pooling of a tensor of shape {list(shape)}", "only 1D and 2D pooling is available")
        chain = Chain(node, ctx)
        if len(shape) == 3:
            chain.reshape(*planar(shape))
        kernel = shape[2:] if len(shape) == 4 else (1, shape[2])
        chain.add("MaxPool", MaxPoolAttrs(kernel, (1, 1), (1, 1), (0, 0, 0, 0)))
        return (chain if len(shape) == 4 else chain.reshape(*shape[:2], 1)).nodes()

    def cases(self):
        pool = [("GlobalMaxPool", ["x"], ["y"], {})]
        yield case("globalmaxpool", pool, {"x": (1, 3, 4, 5)})
        yield case("globalmaxpool one pixel", pool, {"x": ("N", 4, 1, 1)}, opset=7)
        yield case("globalmaxpool 1d", pool, {"x": (1, 2, 7)}, opset=22)
