"""Range of constants. Source: ONNX operator specification, Range (from version 11 on)."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import Folded, need_one_type
from hwcomp.registry import op


@op("Range")
class Range(Folded):
    """Inputs (start, limit, delta): scalars of one type."""

    def convert(self, node, ctx):
        node.expect(inputs=(3, 3))
        values = self.constants(node, ctx)
        need_one_type(node, values)
        if node.opset >= 27:
            node.attr.integer("stash_type", 1)  # only 16-bit floats read it
        if any(v.size != 1 for v in values) or values[0].dtype == np.bool_:
            raise node.model_error("Range takes three numbers")
        start, limit, delta = (v.reshape(()).item() for v in values)
        if not all(map(math.isfinite, (start, limit, delta))) or delta == 0:
            raise node.model_error(f"Range from {start} to {limit} by {delta} has no length")
        steps = (limit - start) / delta if isinstance(delta, float) else -((start - limit) // delta)
        count = max(math.ceil(min(steps, 1e12)), 0)
        dtype = values[0].dtype
        ctx.compute(node, (count,), dtype, lambda: start + np.arange(count, dtype=dtype) * delta)
        return []

    def cases(self):
        nodes = [("Range", ["a", "b", "d"], ["r"], {}), ("Add", ["x", "r"], ["y"], {})]
        floats = {"a": np.float32(0.5), "b": np.float32(-1), "d": np.float32(-0.5)}
        yield case("range", nodes, {"x": (1, 3)}, floats, opset=11)
        shape = [("Range", ["a", "b", "d"], ["r"], {}), ("Reshape", ["x", "r"], ["y"], {})]
        integers = {"a": np.array(1), "b": np.array(8), "d": np.array(3)}
        yield case("range of sizes", shape, {"x": (1, 28)}, integers)
