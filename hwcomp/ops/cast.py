"""Cast of constants, or of a computed tensor to its own type. Source: ONNX operator specification, Cast."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.registry import op

# ONNX type -> (what our tensors call it, range of its integers); int32 values are kept as int64.
_TYPES = {
    "FLOAT": ("float", np.float32, None),
    "INT32": ("int64", np.int64, (-(2**31), 2**31 - 1)),
    "INT64": ("int64", np.int64, (-(2**63), 2**63 - 1)),
    "BOOL": ("bool", np.bool_, None),
}


@op("Cast")
class Cast(Op):
    """Input (x), any shape."""

    becomes = "Identity"

    def convert(self, node, ctx):
        from onnx import TensorProto

        node.expect(inputs=(1, 1))
        to = node.attr.integer("to")
        if node.opset >= 19:
            node.attr.flag("saturate", True)  # only 8-bit floats read these two
        if node.opset >= 24:
            node.attr.text("round_mode", "up", ("up", "down", "nearest"))
        numbers = TensorProto.DataType.DESCRIPTOR.values_by_number
        if to not in numbers or numbers[to].name == "UNDEFINED":
            raise node.model_error(f"Cast to the type number {to}", "there is no such type")
        kind, x = numbers[to].name, ctx.tensor(node, 0)
        if kind not in _TYPES:
            raise node.unsupported(f"Cast to {kind}", f"{', '.join(_TYPES)} are available")
        if not x.is_constant:
            if _TYPES[kind][0] != x.dtype or kind == "INT32" or x.stored:
                why = f"'{x.name}' holds {x.stored or x.dtype} values; a computed tensor keeps its type"
                raise node.unsupported(f"Cast of a computed tensor to {kind}", why)
            return [ctx.node(node, "Identity", node.inputs)]
        _, dtype, limits = _TYPES[kind]
        if limits:
            _check_range(node, x.data, kind, *limits)
        ctx.compute(node, x.shape, dtype, lambda: x.data.astype(dtype))
        return []

    def cases(self):
        from onnx import TensorProto

        nothing = [("Cast", ["x"], ["h"], {"to": TensorProto.FLOAT}), ("Relu", ["h"], ["y"], {})]
        yield case("cast to float", nothing, {"x": (1, 5)}, opset=24)
        shape = [("Cast", ["s"], ["t"], {"to": TensorProto.INT64}), ("Reshape", ["x", "t"], ["y"], {})]
        yield case("cast a shape", shape, {"x": ("N", 6)}, {"s": np.float32([-1.5, 2.9, 3.0])}, opset=7)
        back = [("Cast", ["s"], ["t"], {"to": TensorProto.FLOAT}), ("Add", ["x", "t"], ["y"], {})]
        yield case("cast integers", back, {"x": (1, 3)}, {"s": np.int32([1, -2, 3])}, opset=13)


def _check_range(node, data, kind, lo, hi):
    """ModelError where a value does not fit the integer type: what it becomes is not defined."""
    with np.errstate(invalid="ignore"):
        # float32 has no 2^63 - 1: the first float beyond it is 2^63.
        fits = (data >= lo) & ((data < 2.0**63) if hi == 2**63 - 1 and data.dtype == np.float32 else (data <= hi))
    if not np.all(fits):
        raise node.model_error(f"Cast to {kind} of a value that does not fit it")
