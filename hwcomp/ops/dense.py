"""Dense: y = x . weight^T + bias. An operator of hwcomp only; Gemm and MatMul become it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval, _steps
from hwcomp.ops._checks import bad, need_float, need_rank, need_shape, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class DenseAttrs:
    """`clamp` is a fused (lo, hi) on the result, None for an open end; `steps` what is fused behind it otherwise."""

    clamp: tuple[float | None, float | None] | None = None
    steps: tuple[_steps.Step, ...] = ()


@op("Dense")
class Dense(Op):
    """Inputs (x [..., K], weight [M, K] constant, bias [M] constant or "", constants of the steps), output [..., M]."""

    kernels = ("dense",)

    def infer(self, node, inputs):
        x, weight, bias, *constants = inputs
        need_float(node, x, weight, bias)
        need_rank(node, weight, 2)
        m, k = weight.shape
        if not x.shape or x.shape[-1] != k:
            why = f"the input is {list(x.shape)}, the weight takes {k} values"
            raise bad(node, "input and weight of the matrix product do not fit", why)
        for vector in (bias, *constants):
            need_shape(node, vector, (m,))
        return result(node, (*x.shape[:-1], m))

    def evaluate(self, node, inputs):
        x, weight, bias, *constants = inputs
        y = x @ weight.T
        if bias is not None:
            y = y + bias
        if node.attrs.clamp:
            y = np.clip(y, *node.attrs.clamp)
        return [_steps.run(node.attrs.steps, y, constants, y.ndim - 1)]

    def interval(self, node, inputs, graph):
        weight = graph.tensors[node.inputs[1]].data
        bias = graph.tensors[node.inputs[2]].data if node.inputs[2] else None
        x = _interval.of_input(node, 0, inputs, graph)
        y = _interval.clamped(_interval.linear(weight, bias, x), node.attrs.clamp)
        return _steps.interval(node.attrs.steps, [graph.tensors[n].data for n in node.inputs[3:]], y)

    def lower(self, node, ctx):
        ctx.dot("dense", node, {})

    def export(self, node, writer):
        if len(writer.graph.tensors[node.inputs[0]].shape) == 2:
            y = writer.emit("Gemm", writer.data(), *writer.weights(), transB=1)
        else:
            weight, bias = writer.weights(transposed=True)
            y = writer.emit("Add", writer.emit("MatMul", writer.data(), weight), bias)
        return writer.clamp(y, node.attrs.clamp)

    def cost(self, node, graph):
        (m, k), out = graph.tensors[node.inputs[1]].shape, graph.tensors[node.outputs[0]].shape
        return Cost(macs=math.prod(out) * k, ops=0, params=m * k + (m if node.inputs[2] else 0))
