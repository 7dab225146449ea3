"""Pow with a constant exponent. Source: ONNX operator specification, Pow (from 7 on)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import broadcast
from hwcomp.ops._unary import Unary
from hwcomp.registry import op


@dataclass(frozen=True)
class PowAttrs:
    exponent: float


@op("Pow")
class Pow(Unary):
    """Inputs (x, y: a constant scalar); of two constants the power is computed."""

    def function(self, x, attrs):
        return np.power(x, attrs.exponent)

    def turns(self, attrs):
        return (0.0, -0.0)  # also the pole of negative exponents, from both sides

    def write(self, x, attrs, writer):
        return writer.emit("Pow", x, np.float32(attrs.exponent))

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        if (values := ctx.values(node)) is not None:
            shape, dtype = broadcast(node, values), values[0].dtype
            if dtype != np.float32 and np.any(np.asarray(values[1]) < 0):
                raise node.model_error("a negative power of integers", "it is no integer")
            ctx.compute(node, shape, dtype, lambda: np.power(*values))
            return []
        if not ctx.is_constant(node.input(1)):
            raise node.unsupported(
                "Pow with a computed exponent",
                "only a constant one is available",
                "write it as Exp of a product with Log, if all values are positive",
            )
        exponent = ctx.tensor(node, 1).data
        if (
            exponent.size != 1
            or len(exponent.shape) > len(ctx.tensor(node, 0).shape)
            or not np.isfinite(exponent).all()
        ):
            raise node.unsupported(
                f"Pow with {exponent.size} exponents",
                "one finite number is available",
                "split the tensor, with one Pow per exponent",
            )
        return [ctx.node(node, "Pow", node.inputs[:1], PowAttrs(float(exponent.reshape(()))))]

    def lower(self, node, ctx):
        whole = node.attrs.exponent == int(node.attrs.exponent)
        domain = (-np.inf if whole else 0.0, np.inf)
        ctx.table(node, lambda x: self.function(x, node.attrs), domain)

    def cases(self):
        pow_ = [("Pow", ["x", "e"], ["y"], {})]
        x = {"x": (1, 3, 4, 5)}
        yield case("pow square", pow_, x, {"e": np.float32(2)}, opset=13, interval=(-2.0, 3.0))
        yield case("pow cube", pow_, x, {"e": np.float32([3])}, opset=7, interval=(-2.0, 2.0))
        yield case("pow root", pow_, x, {"e": np.float32(0.5)}, opset=15, interval=(0.0, 4.0))
        constants = {"c": np.float32([1, 2, 3]), "e": np.float32([2, 3, 0.5])}
        nodes = [("Pow", ["c", "e"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("pow of constants", nodes, {"x": (1, 3)}, constants, opset=13)
