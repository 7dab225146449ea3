"""Gemm with constant B and C; becomes Dense. Source: ONNX operator specification, Gemm (from version 7 on)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops.base import Op
from hwcomp.ops.dense import DenseAttrs
from hwcomp.registry import op


@op("Gemm")
class Gemm(Op):
    """y = alpha * A . B + beta * C.

    Inputs (A [N, K], B [K, M] or, with transB, [M, K], optional C that broadcasts to [N, M]).
    """

    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 3))
        alpha, beta = node.attr.real("alpha", 1.0), node.attr.real("beta", 1.0)
        trans_a, trans_b = node.attr.flag("transA", False), node.attr.flag("transB", False)
        x = ctx.tensor(node, 0)
        if trans_a:
            raise node.unsupported(
                "transA=1", "it mixes the samples of a batch", "transpose the input before the export"
            )
        if len(x.shape) != 2:
            raise node.model_error(f"Gemm of a tensor of shape {list(x.shape)}", "it must have two dimensions")
        b = ctx.constant(node, 1, "matrix B")
        if b.ndim != 2:
            raise node.model_error(f"matrix B of Gemm has shape {list(b.shape)}", "it must have two dimensions")
        weight = node.input(1)
        if not trans_b or alpha != 1:
            key, move = ("gemm", weight, trans_b, alpha), np.asarray if trans_b else np.transpose
            weight = ctx.moved(key, node, weight, b.shape if trans_b else b.shape[::-1], move, alpha)
        m = b.shape[0 if trans_b else 1]
        bias = self._bias(node, ctx, x.shape[0], m, beta) if node.input(2) else ""
        return [ctx.node(node, "Dense", (node.input(0), weight, bias), DenseAttrs())]

    def _bias(self, node, ctx, rows, m, beta):
        """Name of a constant [M] that stands for beta * C."""
        c = ctx.constant(node, 2, "matrix C")
        fits = c.ndim <= 2 and all(have in (1, want) for have, want in zip(c.shape[::-1], (m, rows), strict=False))
        if not fits:
            raise node.model_error(f"matrix C of Gemm has shape {list(c.shape)}", f"it must broadcast to {[rows, m]}")
        if c.ndim == 2 and c.shape[0] > 1:
            raise node.unsupported(
                "matrix C of Gemm differs from row to row", "only one bias per column is available", "add it with Add"
            )
        if c.shape == (m,) and beta == 1:
            return node.input(2)
        key = ("gemm bias", node.input(2), m, beta)
        return ctx.moved(key, node, node.input(2), (m,), lambda a: np.broadcast_to(a.reshape(-1), (m,)), beta)

    def cases(self):
        w, b = random("gemm", 6, 5), random("gemm bias", 5)
        x = {"x": (1, 6)}
        yield case("gemm plain", [("Gemm", ["x", "w", "b"], ["y"], {})], x, {"w": w, "b": b})
        yield case(
            "gemm transB", [("Gemm", ["x", "w", "b"], ["y"], {"transB": 1})], x, {"w": w.T.copy(), "b": b}, opset=7
        )
        yield case(
            "gemm scaled", [("Gemm", ["x", "w", "b"], ["y"], {"alpha": 0.5, "beta": -2.0})], x, {"w": w, "b": b[None]}
        )
        yield case("gemm without C", [("Gemm", ["x", "w"], ["y"], {"alpha": -1.5, "transB": 1})], x, {"w": w.T.copy()})
        yield case(
            "gemm scalar C", [("Gemm", ["x", "w", "b"], ["y"], {})], {"x": ("N", 6)}, {"w": w, "b": b[:1].reshape(())}
        )
