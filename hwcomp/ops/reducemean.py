"""ReduceMean over H and W; becomes AveragePool. Source: ONNX operator specification, ReduceMean."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._window import planar
from hwcomp.ops.base import Op
from hwcomp.ops.globalaveragepool import whole
from hwcomp.registry import op


@op("ReduceMean")
class ReduceMean(Op):
    """Input (x [N, C, H, W], [N, H, W, C] or [N, C, L]); the axes are an attribute before opset 18, an input after."""

    becomes = "AveragePool"
    note = "over height, or height and width"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 2 if node.opset >= 18 else 1))
        x = ctx.tensor(node, 0)
        rank = len(x.shape)
        axes = ctx.axes(node, 1, rank=rank, since=18)
        keep = node.attr.flag("keepdims", True)
        if node.opset >= 18 and node.attr.flag("noop_with_empty_axes", False) and not axes:
            return Chain(node, ctx).nodes()
        axes = tuple(sorted(axes)) if axes else tuple(range(rank))
        kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        shape = tuple(kept) if keep else tuple(s for axis, s in enumerate(kept) if axis not in axes)
        if x.is_constant:
            if x.dtype != "float":
                raise node.model_error(f"ReduceMean of {x.dtype} values", "float32 values are taken")
            ctx.compute(node, shape, np.float32, lambda: x.data.mean(axis=axes, keepdims=keep, dtype=np.float64))
            return []
        chain = Chain(node, ctx)
        if rank == 4 and set(axes) <= {2, 3}:
            chain.add("AveragePool", whole(s if axis in axes else 1 for axis, s in ((2, x.shape[2]), (3, x.shape[3]))))
        elif rank == 4 and axes == (1, 2):  # a feature map whose channels are last
            chain.transpose(0, 3, 1, 2)
            chain.add("AveragePool", whole(x.shape[1:3]))
            chain.transpose(0, 2, 3, 1)
        elif rank == 3 and axes == (2,):
            chain.reshape(*planar(x.shape)).add("AveragePool", whole((1, x.shape[2]))).reshape(*kept)
        else:
            why = f"of a tensor of shape {list(x.shape)} only means over height and width are available"
            raise node.unsupported(f"ReduceMean over axes {list(axes)}", why)
        return (chain if keep else chain.reshape(*shape)).nodes()

    def cases(self):
        def one(label, shape, axes, opset, **attrs):
            if opset < 18:
                return case(label, [("ReduceMean", ["x"], ["y"], {"axes": axes, **attrs})], {"x": shape}, opset=opset)
            nodes = [("ReduceMean", ["x", "a"], ["y"], attrs)]
            return case(label, nodes, {"x": shape}, {"a": np.array(axes)}, opset=opset)

        yield one("reducemean", (1, 3, 4, 5), [2, 3], 11)
        yield one("reducemean without dims", ("N", 3, 5, 2), [-1, -2], 17, keepdims=0)
        yield one("reducemean axes as input", (1, 4, 3, 3), [2, 3], 18, keepdims=0, noop_with_empty_axes=0)
        yield one("reducemean rows", (1, 2, 5, 3), [2], 13)
        yield one("reducemean channels last", (1, 4, 3, 5), [1, 2], 18, keepdims=0)
        yield one("reducemean 1d", (1, 4, 9), [2], 18, keepdims=0)
        nothing = [("ReduceMean", ["x"], ["h"], {"noop_with_empty_axes": 1}), ("Relu", ["h"], ["y"], {})]
        yield case("reducemean of nothing", nothing, {"x": (1, 4)}, opset=18)
        constant = [("ReduceMean", ["c"], ["m"], {"keepdims": 0}), ("Add", ["x", "m"], ["y"], {})]
        yield case("reducemean a constant", constant, {"x": (1, 4)}, {"c": np.float32([[1, 2], [3, -5]])}, opset=13)
