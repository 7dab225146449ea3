"""QuantizeLinear: reals to the integers of the model's own type. Source: ONNX operator specification, QuantizeLinear."""

from __future__ import annotations

import numpy as np

from hwcomp.errors import shown
from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import need_float
from hwcomp.ops._quantized import QuantizeAttrs, integers_of, need_axis, scaling, type_of
from hwcomp.ops.base import Op
from hwcomp.registry import op
from hwcomp.types import INTEGERS, Tensor


@op("QuantizeLinear")
class QuantizeLinear(Op):
    """Inputs (x, scale, zero point or absent). In the graph: the real values that the integers of x stand for."""

    domains = ("", "com.microsoft")
    kernels = ("requantize",)
    note = "a type of the tensor in front of it where possible"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 3))
        x = ctx.tensor(node, 0)
        axis = read_axis(node, x)
        stored = _stored(node, ctx)
        if node.opset >= 19:
            node.attr.flag("saturate", True)  # only 8-bit floats read it
        if node.opset >= 23:
            node.attr.integer("precision", 0)
        if x.stored or x.dtype != "float":
            raise node.model_error(f"QuantizeLinear of '{shown(x.name)}', which holds {x.stored or x.dtype} values")
        s = scaling(node, ctx, 1, 2, stored)
        if not x.is_constant:
            attrs = QuantizeAttrs(type_of(node, stored, s), stored)
            return [ctx.node(node, "QuantizeLinear", (node.input(0),), attrs)]
        need_axis(node, x, s, axis)
        ctx.check_finite(x, node.label)
        ctx.spend(x.data.size, "a quantized constant", node.label)
        bits, signed = INTEGERS[stored]
        lo, hi = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        scale, zero = s.along(axis, len(x.shape))
        with np.errstate(over="ignore"):
            q = np.clip(np.rint(x.data / scale) + zero, lo, hi)
        dtype = f"{'' if signed else 'u'}int{8 if bits <= 8 else 16}"
        ctx.define(node, node.outputs[0], np.asarray(q, dtype), stored=stored)
        return []

    def infer(self, node, inputs):
        need_float(node, inputs[0])
        return [Tensor(node.outputs[0], inputs[0].shape, qtype=node.attrs.qtype, stored=node.attrs.stored)]

    def evaluate(self, node, inputs):
        return [node.attrs.qtype.held(inputs[0])]

    def interval(self, node, inputs, graph):
        q = node.attrs.qtype
        lo, hi = _interval.of_input(node, 0, inputs, graph)
        ends = [(end - q.zero) * q.scale[0] for end in (q.lo, q.hi)]
        return tuple(float(np.clip(v, *ends)) + d for v, d in ((lo, -q.scale[0]), (hi, q.scale[0])))

    def lower(self, node, ctx):
        """Of integers of another type: those left in the graph stand between two types."""
        ctx.pointwise(node, np.ones(1), np.zeros(1))

    def export(self, node, writer):
        return writer.data()

    def cases(self):
        scales = {"s": np.float32(0.0078), "z": np.uint8(128), "s2": np.float32(0.011), "z2": np.int8(-3)}
        nodes = [
            ("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("DequantizeLinear", ["q", "s", "z"], ["r"], {}),
            ("QuantizeLinear", ["r", "s2", "z2"], ["p"], {}), ("DequantizeLinear", ["p", "s2", "z2"], ["y"], {}),
        ]  # fmt: skip
        yield case("quantizelinear another type", nodes, {"x": (1, 3, 4, 5)}, scales)


def read_axis(node, x):
    """The axis of the scales, counted from 0 (0 where there can be only one scale). Blocks of scales are refused."""
    if node.domain == "com.microsoft" or node.opset >= 21:
        block = node.attr.integer("block_size", 0)
        if block:
            why = f"blocks of {block} elements have a scale of their own; one per tensor or channel is available"
            raise node.unsupported(f"block_size={block} of {node.op_type}", why, "quantize per channel or per tensor")
    if node.domain != "com.microsoft" and node.opset < 13:
        return 0
    axis = node.attr.integer("axis", 1)
    return axis % len(x.shape) if x.shape and -len(x.shape) <= axis < len(x.shape) else len(x.shape)


def _stored(node, ctx):
    """The ONNX type of the result: that of the zero point, else `output_dtype`, else UINT8."""
    number = node.attr.integer("output_dtype", 0) if node.opset >= 21 or node.domain == "com.microsoft" else 0
    named = ctx.type_name(number) if number else ""
    if node.input(2):
        stored = integers_of(node, ctx.tensor(node, 2), "zero point")
        if named not in ("", stored):
            raise node.model_error(f"output_dtype is {named}, the zero point {stored}")
        return stored
    if named and named not in INTEGERS:
        raise node.unsupported(f"QuantizeLinear to {named}", f"{', '.join(INTEGERS)} are available")
    return named or "UINT8"
