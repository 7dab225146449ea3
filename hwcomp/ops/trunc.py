"""Trunc of QONNX: integers of fewer bits by dropping low ones; becomes Steps.

Source: docs/qonnx-custom-ops/trunc_v1.md and trunc_v2.md of QONNX. Version 1 divides the integer by 2^(input width - output
width) and keeps scale and zero point; version 2 names the output's scale, divides the zero point, too, and clips.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._steps import ROUNDINGS, Grid, Quantizer
from hwcomp.ops.base import Op
from hwcomp.ops.quant import DOMAINS, numbers, one_width, one_zero
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import QType


@op("Trunc")
class Trunc(Op):
    """Inputs (x, scale, zero point, input width, output width), or (x, scale, zero point, input width, output scale, output
    width); all but x constant. Version 1 says no sign: its type holds what integers of either sign become.
    """

    becomes = "Steps"
    domains = DOMAINS

    def convert(self, node, ctx):
        node.expect(inputs=(5, 6))
        second = len(node.inputs) == 6
        zero, wide = (one(node, numbers(node, ctx, i, w)) for i, w, one in _NUMBERS)
        bits = one_width(node, numbers(node, ctx, len(node.inputs) - 1, "output width"))
        scale = _one_scale(node, ctx, 1)
        signed, narrow = node.attr.flag("signed", True), node.attr.flag("narrow", False)
        rounding = node.attr.text("rounding_mode", "FLOOR", (*ROUNDINGS, *map(str.lower, ROUNDINGS))).upper()
        if second:
            out = _one_scale(node, ctx, 4)
            shift = int(np.rint(np.log2(out / scale)))
            if zero % 2.0**shift:
                raise node.unsupported(
                    "a zero point that the output's scale does not divide", "no integer stands for 0.0"
                )
            qtype = QType(bits, signed, "affine", (float(out),), int(zero // 2.0**shift), narrow=narrow)
        else:
            shift = wide - bits
            qtype = QType(bits + 1, True, "affine", (float(scale),), zero)
        if not qtype.lo <= qtype.zero <= qtype.hi:
            raise node.unsupported("a zero point outside the output's integers", "no integer stands for 0.0")
        last = Quantizer(qtype, rounding, Grid(float(scale), zero, shift))
        if ctx.tensor(node, 0).is_constant:
            data = ctx.constant(node, 0, "x")
            ctx.compute(node, data.shape, np.float32, lambda: last.apply(data))
            return []
        return [ctx.node(node, "Steps", (node.input(0),), StepsAttrs((last,)))]

    def cases(self):
        yield _case("trunc floor", 4.0, rounding_mode="FLOOR")
        yield _case("trunc round", 3.0, rounding_mode="round", domain=DOMAINS[0])
        yield _case("trunc with an output scale", 3.0, out=0.4, rounding_mode="CEIL", signed=0)
        yield _case("trunc narrow", 2.0, out=0.8, signed=1, narrow=1)
        pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
        nodes = [
            ("Quant", ["x", "s", "z", "b"], ["q"], {"signed": 0}, DOMAINS[1]), ("AveragePool", ["q"], ["a"], pool),
            ("Mul", ["a", "four"], ["m"], {}), ("Trunc", ["m", "s", "z", "six", "b"], ["y"], {}, DOMAINS[1]),
        ]  # fmt: skip
        constants = {
            "s": np.float32(0.25),
            "z": np.float32(0),
            "b": np.float32(4),
            "six": np.float32(6),
            "four": np.float32(4),
        }
        yield case("trunc behind a sum", nodes, {"x": (1, 3, 4, 4)}, constants, opset=11)


_NUMBERS = ((2, "zero point", one_zero), (3, "input width", one_width))


def _one_scale(node, ctx, index: int) -> np.float32:
    scale = np.unique(ctx.constant(node, index, "scale"))
    if not (scale > 0).all():
        raise node.model_error("a scale is not positive")
    if scale.size != 1:
        raise node.unsupported("a scale per channel of Trunc", "a tensor has one scale for all its channels")
    return np.float32(scale[0])


def _case(label, bits, *, out=None, domain=DOMAINS[1], **attrs):
    """x -> 6 bits -> fewer bits -> a dense layer of ternary weights -> fewer bits."""
    constants = {"s": np.float32(0.05), "z": np.float32(0), "six": np.float32(6), "b": np.float32(bits)}
    constants |= {"w": np.rint(random(label, 4, 10) * 1.4), "t": np.float32(0.8), "o": np.float32(out or 0)}
    scales, b = (["o"], "b") if out else ([], "b")
    nodes = [
        ("Quant", ["x", "s", "z", "six"], ["q"], {"signed": attrs.get("signed", 1)}, domain),
        ("Trunc", ["q", "s", "z", "six", *scales, b], ["n"], attrs, domain),
        ("Gemm", ["n", "w"], ["h"], {"transB": 1}), ("Quant", ["h", "t", "z", "b"], ["y"], {"signed": 1}, domain),
    ]  # fmt: skip
    return case(
        label, nodes, {"x": (1, 10)}, constants if out else {k: v for k, v in constants.items() if k != "o"}, opset=11
    )
