"""Quant, BipolarQuant and IntQuant of QONNX; become Steps. Source: qonnx.custom_op.general (quant.py, bipolar_quant.py).

A scale per channel on a computed tensor: x / scale is quantized with scale 1, and a factor per channel follows, which the
pass channel_scales puts into the weights of the next layer.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._steps import ROUNDINGS, Quantizer, Ratio
from hwcomp.ops.base import Op
from hwcomp.ops.batchnormalization import BatchNormalizationAttrs
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import QType, per_channel

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
        zero, width = numbers(node, ctx, 2, "zero point"), numbers(node, ctx, 3, "bit width")
        signed, narrow = node.attr.flag("signed", True), node.attr.flag("narrow", False)
        rounding = node.attr.text("rounding_mode", "ROUND", (*ROUNDINGS, *map(str.lower, ROUNDINGS))).upper()
        if not (scale > 0).all():
            raise node.model_error("a scale is not positive")
        bits, zero = one_width(node, width), one_zero(node, zero)
        if bits == 1 and signed:
            return _quantized(node, ctx, scale, zero, "bipolar", 1, True, False, "ROUND")
        return _quantized(node, ctx, scale, zero, "affine", bits, signed, narrow, rounding)

    def cases(self):
        yield _case("quant 2 bits narrow", "Quant", 2.0, narrow=1, signed=1)
        yield _case("quant 3 bits unsigned", "Quant", 3.0, narrow=0, signed=0, domain=DOMAINS[1])
        yield _case("quant 4 bits floor", "Quant", 4.0, narrow=0, signed=1, rounding_mode="FLOOR")
        yield _case("quant zero point", "Quant", 3.0, zero=2.0, narrow=0, signed=0, domain=DOMAINS[2])
        yield _case("quant 1 bit", "Quant", 1.0, narrow=0, signed=1)
        nodes = [
            ("Quant", ["x", "s", "z", "b"], ["q"], {"signed": 1}, DOMAINS[1]), ("Conv", ["q", "w"], ["c"], {"pads": [1] * 4, "group": 3}),
            ("Quant", ["c", "t", "z", "b"], ["r"], {"signed": 0}, DOMAINS[1]),
            ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2]}), ("Conv", ["p", "v"], ["h"], {}),
            ("Quant", ["h", "u", "z", "b"], ["y"], {"signed": 1}, DOMAINS[1]),
        ]  # fmt: skip
        constants = {
            "s": np.float32([0.31, 0.2, 0.17]).reshape(1, 3, 1, 1), "t": np.float32([0.3, 0.6, 1.2]).reshape(1, 3, 1, 1),
            "u": np.float32(0.77), "z": np.float32(0), "b": np.float32(3), "w": np.sign(random("scales w", 3, 1, 3, 3)),
            "v": np.rint(random("scales v", 4, 3, 2, 2) * 1.4),
        }  # fmt: skip
        yield case("quant scales per channel", nodes, {"x": (1, 3, 4, 5)}, constants, opset=11)


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


def one_width(node, values: np.ndarray) -> int:
    """The number of bits that `values` all say."""
    sizes = np.unique(values)
    if sizes.size != 1 or sizes[0] != np.rint(sizes[0]) or not 1 <= sizes[0] <= _MOST_BITS:
        raise node.unsupported("this bit width", f"one whole number from 1 to {_MOST_BITS} is available")
    return int(sizes[0])


def one_zero(node, values: np.ndarray) -> int:
    """The zero point that `values` all say."""
    points = np.unique(values)
    if points.size != 1 or points[0] != np.rint(points[0]):
        raise node.unsupported("a zero point that is not one whole number", "no integer stands for 0.0")
    return int(points[0])


def numbers(node, ctx, index, what):
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
    if np.unique(scale).size == 1:
        qtype = QType(bits, signed, scheme, (float(scale.flat[0]),), zero, narrow=narrow)
        return [ctx.node(node, "Steps", (node.input(0),), StepsAttrs((Quantizer(qtype, rounding),)))]
    values = per_channel(ctx.tensors[node.input(1)], x, 1) if len(x.shape) > 1 else None
    if values is None:
        why = f"the tensor is {list(x.shape)}, the scale {list(scale.shape)}; one value per channel is available"
        raise node.unsupported("a scale that is not one per channel on a computed tensor", why)

    def vector(what: str, data) -> str:
        key = ("quant", f"{node.input(1)}__{what}", len(values))
        return ctx.derived(key, node, values.shape, lambda: np.broadcast_to(np.float32(data), values.shape))

    steps = (Ratio(), Quantizer(QType(bits, signed, scheme, (1.0,), zero, narrow=narrow), rounding))
    terms = (vector("factor", values), vector("zero", 0), vector("zero", 0), vector("one", 1))
    chain = Chain(node, ctx).add("Steps", StepsAttrs(steps), terms[0])
    return chain.add("BatchNormalization", BatchNormalizationAttrs(0.0), *terms).nodes()


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
