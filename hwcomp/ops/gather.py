"""Gather with constant indices: computed for constants, else a selection along an axis.

Source: ONNX operator specification, Gather.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._select import select
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Gather")
class Gather(Op):
    """Inputs (x, indices int64 constant)."""

    becomes = "Slice"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x, indices = ctx.tensor(node, 0), ctx.constant(node, 1, "indices", dtype="int64")
        axis = node.attr.axis("axis", 0, rank=len(x.shape))
        size = x.shape[axis]
        if np.any((indices < -size) | (indices >= size)):
            raise node.model_error("an index of Gather is outside of its axis", f"the axis has {size} elements")
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        if x.is_constant:
            ctx.compute(node, shape, x.data.dtype, lambda: np.take(x.data, indices, axis=axis))
            return []
        chain = Chain(node, ctx)
        if select(chain, x.shape, axis, (indices.reshape(-1) % size).tolist()) is None:
            why = "of a computed tensor a range, a stride, repeats, or each element at most once in any order are available"
            raise node.unsupported("Gather of scattered indices", why)
        return (chain if indices.ndim == 1 else chain.reshape(*shape)).nodes()

    def cases(self):
        def one(label, shape, indices, axis, **options):
            constants = {"i": np.array(indices)}
            return case(label, [("Gather", ["x", "i"], ["y"], {"axis": axis})], {"x": shape}, constants, **options)

        yield one("gather one", ("N", 3, 4), -1, 1)
        yield one("gather a range", (1, 5, 3, 2), [1, 2, 3], 1, opset=7)
        yield one("gather channels", (1, 6, 3, 2), [0, 3, 1, 4, 2, 5], 1, opset=13)
        yield one("gather channels irregularly", ("N", 5, 2, 3), [3, 0, 4, 2, 1], 1)
        yield one("gather some channels", (1, 5, 2, 3), [4, 0, 3], 1)
        yield one("gather scattered rows", (1, 3, 5, 2), [4, 0, 3], 2, opset=13)
        yield one("gather repeated", (1, 4, 3), [[1, 1, 1], [3, 3, 3]], 2 - 1)
        size = [
            ("Shape", ["x"], ["s"], {}),
            ("Gather", ["s", "i"], ["t"], {}),
            ("Concat", ["t", "r"], ["u"], {"axis": 0}),
        ]
        constants = {"i": np.array([0, 2]), "r": np.array([-1])}
        yield case(
            "gather sizes", [*size, ("Reshape", ["x", "u"], ["y"], {})], {"x": ("N", 2, 3, 2)}, constants, opset=11
        )
