"""Expand: broadcasting to a shape. Source: ONNX operator specification, Expand (from version 8 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast_shapes, sizes_of
from hwcomp.ops._spread import spread
from hwcomp.ops.base import Op
from hwcomp.ops.repeat import RepeatAttrs
from hwcomp.registry import op


@op("Expand")
class Expand(Op):
    """Inputs (x, shape int64 constant)."""

    becomes = "Repeat"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x = ctx.tensor(node, 0)
        wish = sizes_of(node, ctx.integers(node, 1, "shape"), "shape")
        shape = broadcast_shapes(node, [x.shape, wish])
        if x.is_constant:
            ctx.compute(node, shape, x.data.dtype, lambda: np.broadcast_to(x.data, shape))
            return []
        return spread(node, Chain(node, ctx), x.shape, shape).nodes()

    def cases(self):
        constant = [("Expand", ["c", "s"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("expand", constant, {"x": (1, 3)}, {"c": np.float32(0.5), "s": np.array([3])}, opset=8)
        nothing = [("Expand", ["x", "s"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        stretched = [("Expand", ["x", "s"], ["y"], {})]
        yield case(
            "expand a value per channel", stretched, {"x": (1, 3, 1, 1)}, {"s": np.array([1, 3, 4, 5])}, opset=13
        )
        yield case("expand rows", stretched, {"x": ("N", 1, 4, 1)}, {"s": np.array([2, 1, 3])}, opset=13)
        yield case("expand a vector", stretched, {"x": (1, 1)}, {"s": np.array([1, 6])})
        yield case("expand to the same", nothing, {"x": ("N", 3, 2)}, {"s": np.array([3, 1])})


@op("Tile")
class Tile(Op):
    """Inputs (x, repeats int64 constant [rank])."""

    becomes = "Repeat"

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
        if ctx.batched and repeats[0] > 1:
            raise node.unsupported("Tile of the batch axis", "it mixes the samples of a batch")
        chain, shape = Chain(node, ctx), x.shape
        for axis, times in enumerate(repeats):
            if times == 1:
                continue
            # [.., 1, size, ..], of which the axis of 1 is repeated
            chain.reshape(*shape[:axis], 1, *shape[axis:]).add("Repeat", RepeatAttrs(axis, times))
            shape = (*shape[:axis], shape[axis] * times, *shape[axis + 1 :])
            chain.reshape(*shape)
        return chain.nodes()

    def cases(self):
        constant = [("Tile", ["c", "r"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("tile", constant, {"x": (1, 6)}, {"c": np.float32([[1, -0.5]]), "r": np.array([1, 3])}, opset=7)
        tiles = [("Tile", ["x", "r"], ["y"], {})]
        yield case("tile a map", tiles, {"x": (1, 2, 3, 2)}, {"r": np.array([1, 2, 1, 3])}, opset=13)
        yield case("tile rows", tiles, {"x": (1, 3, 4)}, {"r": np.array([1, 3, 2])}, opset=13)
        nothing = [("Tile", ["x", "r"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("tile once", nothing, {"x": (1, 3)}, {"r": np.array([1, 1])}, opset=13)
