"""MatrixProduct: of two computed tensors. An operator of hwcomp only; MatMul becomes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class MatrixProductAttrs:
    """`clamp` is a fused (lo, hi) on the result, None for an open end."""

    clamp: tuple[float | None, float | None] | None = None


@op("MatrixProduct")
class MatrixProduct(Op):
    """Inputs (A [..., M, K], B [..., K, N]) with the same leading axes, output [..., M, N]."""

    kernels = ("matmul",)

    def infer(self, node, inputs):
        a, b = inputs
        need_float(node, a, b)
        if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
            raise bad(node, f"shapes {list(a.shape)} and {list(b.shape)} can't be multiplied")
        return result(node, (*a.shape[:-1], b.shape[-1]))

    def evaluate(self, node, inputs):
        y = np.matmul(*inputs)
        return [np.clip(y, *node.attrs.clamp) if node.attrs.clamp else y]

    def interval(self, node, inputs, graph):
        a, b = (_interval.of_input(node, i, inputs, graph) for i in (0, 1))
        count = graph.tensors[node.inputs[0]].shape[-1]
        ends = count * np.asarray([_interval.scaled(np.float64(end), other) for end in a for other in b])
        finite = np.abs(ends[np.isfinite(ends)]).max(initial=0.0)
        return _interval.clamped(_interval.outward(ends, ends, finite * (count + 4) * 2.0**-22), node.attrs.clamp)

    def lower(self, node, ctx):
        ctx.matmul(node, node.attrs.clamp)

    def export(self, node, writer):
        return writer.clamp(writer.emit("MatMul", *writer.factors()), node.attrs.clamp)

    def cost(self, node, graph):
        out, k = graph.tensors[node.outputs[0]].shape, graph.tensors[node.inputs[0]].shape[-1]
        return Cost(macs=math.prod(out) * k)
