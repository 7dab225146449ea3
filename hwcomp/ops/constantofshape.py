"""ConstantOfShape: a constant of one value. Source: ONNX operator specification, ConstantOfShape."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import Folded, sizes_of
from hwcomp.registry import op


@op("ConstantOfShape")
class ConstantOfShape(Folded):
    """Input (shape int64, constant); the value is a float32 0 unless the attribute `value` says otherwise."""

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        self.constants(node, ctx)
        shape = sizes_of(node, ctx.integers(node, 0, "shape"), "shape")
        value = ctx.read_tensor(node, node.attr.tensor("value")) if node.attr.has("value") else np.zeros(1, np.float32)
        if value.size != 1:
            raise node.model_error(f"the value of ConstantOfShape has {value.size} elements", "it must have one")
        ctx.compute(node, shape, value.dtype, lambda: np.full(shape, value.reshape(())))
        return []

    def cases(self):
        from onnx import numpy_helper

        half = numpy_helper.from_array(np.float32([0.5]), "v")
        filled = [("ConstantOfShape", ["s"], ["c"], {"value": half}), ("Add", ["x", "c"], ["y"], {})]
        yield case("constantofshape", filled, {"x": (1, 3, 2, 2)}, {"s": np.array([3, 1, 1])}, opset=9)
        ones = numpy_helper.from_array(np.array([1]), "v")
        nodes = [("ConstantOfShape", ["s"], ["c"], {"value": ones}), ("Mul", ["c", "m"], ["d"], {})]
        nodes += [
            ("Equal", ["t", "d"], ["e"], {}),
            ("Where", ["e", "c", "t"], ["f"], {}),
            ("Expand", ["b", "f"], ["g"], {}),
        ]
        constants = {"s": np.array([2]), "m": np.array(-1), "t": np.array([-1, 4]), "b": np.float32([[0.25]])}
        yield case(
            "constantofshape as PyTorch expands", [*nodes, ("Add", ["x", "g"], ["y"], {})], {"x": (1, 4)}, constants
        )
