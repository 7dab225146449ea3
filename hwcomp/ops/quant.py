"""Quant, BipolarQuant and IntQuant of QONNX; become Steps. Source: qonnx.custom_op.general (quant.py, bipolar_quant.py)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._steps import ROUNDINGS, Quantizer
from hwcomp.ops.base import Op
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import QType

DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
_MOST_BITS = 24


@op("Quant")
class Quant(Op):
    """Inputs (x, scale, zero point, bit width), the last three constant. Of a constant x the result is computed."""

    becomes = "Steps"
    domains = DOMAINS

    def convert(self, node, ctx):
        node.expect(inputs=(4, 4))
        scale = ctx.constant(node, 1, "scale")
        zero, width = _numbers(node, ctx, 2, "zero point"), _numbers(node, ctx, 3, "bit width")
        signed, narrow = node.attr.flag("signed", True), node.attr.flag("narrow", False)
        rounding = node.attr.text("rounding_mode", "ROUND", (*ROUNDINGS, *map(str.lower, ROUNDINGS))).upper()
        if not (scale > 0).all():
            raise node.model_error("a scale is not positive")
        sizes, points = np.unique(width), np.unique(zero)
        if sizes.size != 1 or sizes[0] != np.rint(sizes[0]) or not 1 <= sizes[0] <= _MOST_BITS:
            raise node.unsupported("this bit width", f"one whole number from 1 to {_MOST_BITS} is available")
        if points.size != 1 or points[0] != np.rint(points[0]):
            raise node.unsupported("a zero point that is not one whole number", "no integer stands for 0.0")
        bits, zero = int(sizes[0]), int(points[0])
        if bits == 1 and signed:
            return _quantized(node, ctx, scale, zero, "bipolar", 1, True, False, "ROUND")
        return _quantized(node, ctx, scale, zero, "affine", bits, signed, narrow, rounding)

    def cases(self):
        yield _case("quant 2 bits narrow", "Quant", 2.0, narrow=1, signed=1)
        yield _case("quant 3 bits unsigned", "Quant", 3.0, narrow=0, signed=0, domain=DOMAINS[1])
        yield _case("quant 4 bits floor", "Quant", 4.0, narrow=0, signed=1, rounding_mode="FLOOR")
        yield _case("quant zero point", "Quant", 3.0, zero=2.0, narrow=0, signed=0, domain=DOMAINS[2])
        yield _case("quant 1 bit", "Quant", 1.0, narrow=0, signed=1)


@op("IntQuant")
class IntQuant(Quant):
    """The name that Quant has from qonnx 0.4 on."""

    def cases(self):
        yield _case("int quant", "IntQuant", 2.0, narrow=0, signed=1, domain=DOMAINS[1])


@op("BipolarQuant")
class BipolarQuant(Op):
    """Inputs (x, scale): +scale where x >= 0, else -scale."""

    becomes = "Steps"
    domains = DOMAINS

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        scale = ctx.constant(node, 1, "scale")
        if not (scale > 0).all():
            raise node.model_error("a scale is not positive")
        return _quantized(node, ctx, scale, 0, "bipolar", 1, True, False, "ROUND")

    def cases(self):
        yield _case("bipolar quant", "BipolarQuant", None)
        quant, pool = ("BipolarQuant", DOMAINS[0]), {"kernel_shape": [2, 2], "strides": [2, 2]}

        def bits(x, y):
            return (quant[0], [x, "s"], [y], {}, quant[1])

        nodes = [
            bits("x", "b"), bits("w", "v"), bits("u", "t"), ("Conv", ["b", "v"], ["c"], {"pads": [1, 1, 1, 1]}),
            ("MaxPool", ["c"], ["p"], pool), bits("p", "q"), ("Conv", ["q", "t"], ["y"], {}),
        ]  # fmt: skip
        constants = {"s": np.float32(0.5), "w": random("bits w", 5, 3, 3, 3), "u": random("bits u", 2, 5, 2, 2)}
        yield case("bipolar maps", nodes, {"x": (1, 3, 6, 5)}, constants, opset=11)
        nodes = [bits("x", "b"), ("AveragePool", ["b"], ["y"], {"kernel_shape": [2, 2]})]
        yield case("bipolar average", nodes, {"x": (1, 3, 6, 5)}, {"s": np.float32(0.5)}, opset=11)


def _numbers(node, ctx, index, what):
    """A constant input that exporters write as floats or as integers."""
    integers = ctx.tensor(node, index).dtype == "int64"
    return ctx.constant(node, index, what, "int64" if integers else "float", finite=not integers)


def _quantized(node, ctx, scale, zero, scheme, bits, signed, narrow, rounding):
    """Steps of one Quantizer; of a constant x, whose scale may have any shape that broadcasts, the values."""
    x = ctx.tensor(node, 0)
    if x.is_constant:
        data = ctx.constant(node, 0, "x")
        one = Quantizer(QType(bits, signed, scheme, (1.0,), zero, narrow=narrow), rounding)
        shape = np.broadcast_shapes(data.shape, scale.shape)
        ctx.compute(node, shape, np.float32, lambda: one.apply(data / scale) * scale)
        return []
    if np.unique(scale).size != 1:
        raise node.unsupported(
            "a scale per channel on a computed tensor", "a tensor has one scale for all its channels"
        )
    qtype = QType(bits, signed, scheme, (float(scale.flat[0]),), zero, narrow=narrow)
    return [ctx.node(node, "Steps", (node.input(0),), StepsAttrs((Quantizer(qtype, rounding),)))]


def _case(label, op_type, bits, *, zero=0.0, domain=DOMAINS[0], **attrs):
    """x -> a few-bit tensor -> a dense layer of few-bit weights -> a few-bit tensor."""

    def quant(x, y, scale):
        inputs = [x, scale] if bits is None else [x, scale, "z", "b"]
        return (op_type, inputs, [y], attrs, domain)

    constants = {
        "sx": np.float32(0.31),
        "sw": np.abs(random(label + "s", 4, 1)) + np.float32(0.1),
        "sy": np.float32(0.7),
    }
    constants |= {"w": random(label + "w", 4, 10)} | (
        {} if bits is None else {"z": np.float32(zero), "b": np.float32(bits)}
    )
    nodes = [
        quant("x", "q", "sx"), quant("w", "v", "sw"), ("Transpose", ["v"], ["t"], {"perm": [1, 0]}),
        ("MatMul", ["q", "t"], ["h"], {}), quant("h", "y", "sy"),
    ]  # fmt: skip
    return case(label, nodes, {"x": (1, 10)}, constants, opset=11)
