"""Expand: broadcasting to a shape. Source: ONNX operator specification, Expand (from version 8 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast_shapes, sizes_of
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Expand")
class Expand(Op):
    """Inputs (x, shape int64 constant); a computed x must have the shape already."""

    becomes = "Identity"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x = ctx.tensor(node, 0)
        wish = sizes_of(node, ctx.integers(node, 1, "shape"), "shape")
        shape = broadcast_shapes(node, [x.shape, wish])
        if x.is_constant:
            ctx.compute(node, shape, x.data.dtype, lambda: np.broadcast_to(x.data, shape))
            return []
        if shape != x.shape:
            why = f"it would repeat the values of {list(x.shape)} to {list(shape)}"
            raise node.unsupported("Expand of a computed tensor", why)
        return Chain(node, ctx).nodes()

    def cases(self):
        constant = [("Expand", ["c", "s"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("expand", constant, {"x": (1, 3)}, {"c": np.float32(0.5), "s": np.array([3])}, opset=8)
        nothing = [("Expand", ["x", "s"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("expand to the same", nothing, {"x": ("N", 3, 2)}, {"s": np.array([3, 1])})


@op("Tile")
class Tile(Op):
    """Inputs (x, repeats int64 constant [rank]); a computed x must be repeated once along every axis."""

    becomes = "Identity"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x = ctx.tensor(node, 0)
        repeats = sizes_of(node, ctx.integers(node, 1, "repeats"), "repeats")
        if len(repeats) != len(x.shape):
            raise node.model_error(f"Tile has {len(repeats)} repeats, its input has {len(x.shape)} dimensions")
        if x.is_constant:
            shape = tuple(size * times for size, times in zip(x.shape, repeats, strict=True))
            ctx.compute(node, shape, x.data.dtype, lambda: np.tile(x.data, repeats))
            return []
        if set(repeats) - {1}:
            raise node.unsupported("Tile of a computed tensor", f"it would repeat its values {list(repeats)} times")
        return Chain(node, ctx).nodes()

    def cases(self):
        constant = [("Tile", ["c", "r"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("tile", constant, {"x": (1, 6)}, {"c": np.float32([[1, -0.5]]), "r": np.array([1, 3])}, opset=7)
        nothing = [("Tile", ["x", "r"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("tile once", nothing, {"x": (1, 3)}, {"r": np.array([1, 1])}, opset=13)
