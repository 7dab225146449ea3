"""Softmax. Source: ONNX operator specification, Softmax (before version 13 it flattens to a matrix)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op
from hwcomp.types import Node


@dataclass(frozen=True)
class SoftmaxAttrs:
    """`axes`: what is normalized together; one axis from version 13 on, before it all axes from the given one on."""

    axes: tuple[int, ...]


def _wide(node: Node, graph: Graph) -> tuple[int, ...]:
    """The axes that are taken together and have more than one element; one of those that have, where all have one."""
    shape = graph.tensors[node.inputs[0]].shape
    return tuple(a for a in node.attrs.axes if shape[a] > 1) or node.attrs.axes[-1:]


@op("Softmax")
class Softmax(Op):
    """Input (x), any shape."""

    kernels = ("softmax",)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        rank = len(ctx.tensor(node, 0).shape)
        flattens = node.opset < 13
        axis = node.attr.axis("axis", 1 if flattens else -1, rank=rank, beyond=flattens)
        if ctx.batched and axis == 0:
            raise node.unsupported(
                f"{self.name} over the batch axis", "it mixes the samples of a batch", "set its axis"
            )
        axes = tuple(range(axis, rank)) if flattens else (axis,)
        return [ctx.node(node, self.name, node.inputs, SoftmaxAttrs(axes))]

    def infer(self, node, inputs):
        need_float(node, inputs[0])
        return result(node, inputs[0].shape)

    def evaluate(self, node, inputs):
        e = np.exp(inputs[0] - inputs[0].max(axis=node.attrs.axes, keepdims=True))
        return [e / e.sum(axis=node.attrs.axes, keepdims=True)]

    def interval(self, node, inputs, graph):
        return 0.0, 1.0

    def output_type(self, scheme):
        return scheme.probability()

    def lower(self, node, ctx):
        ctx.softmax(node, tuple(map(ctx.sample_axis, _wide(node, ctx.graph))))

    def export(self, node, writer):
        axes, shape = _wide(node, writer.graph), writer.graph.tensors[node.inputs[0]].shape
        if len(axes) == 1:
            return writer.emit("Softmax", writer.data(), axis=axes[0])
        sample, first = shape[writer.graph.batched :], axes[0] - writer.graph.batched
        rows = writer.batch_shape((*sample[:first], math.prod(sample[first:])))  # all axes from the first on
        shares = writer.emit("Softmax", writer.emit("Reshape", writer.data(), rows), axis=-1)
        return writer.emit("Reshape", shares, writer.batch_shape(sample))

    def cost(self, node, graph):
        return Cost(ops=3 * math.prod(graph.tensors[node.outputs[0]].shape))

    def cases(self):
        kind = self.name
        yield case(f"{kind} last axis", [(kind, ["x"], ["y"], {})], {"x": (1, 3, 4)}, opset=13, interval=(-4.0, 4.0))
        yield case(
            f"{kind} axis", [(kind, ["x"], ["y"], {"axis": 1})], {"x": ("N", 10)}, opset=17, interval=(-8.0, 8.0)
        )
        yield case(f"{kind} channels", [(kind, ["x"], ["y"], {"axis": 1})], {"x": (1, 5, 3, 2)}, interval=(-6.0, 6.0))
        yield case(f"{kind} version 11", [(kind, ["x"], ["y"], {})], {"x": (1, 3, 4)}, opset=11, interval=(-4.0, 4.0))
        yield case(f"{kind} version 7", [(kind, ["x"], ["y"], {"axis": 2})], {"x": (1, 2, 3, 2)}, opset=7)
        inside = [("Conv", ["x", "w"], ["h"], {}), (kind, ["h"], ["p"], {"axis": 1}), ("Conv", ["p", "v"], ["y"], {})]
        constants = {"w": random(f"{kind} w", 6, 2, 2, 2, scale=3.0), "v": random(f"{kind} v", 3, 6, 1, 1)}
        yield case(f"{kind} between layers", inside, {"x": (1, 2, 4, 4)}, constants)
