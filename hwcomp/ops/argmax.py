"""ArgMax: index of the largest element, the lowest on ties. Source: ONNX operator specification, ArgMax."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._checks import need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op
from hwcomp.types import QType
from sw_ref.program import Layout


@dataclass(frozen=True)
class ArgMaxAttrs:
    """`axis` counts from 0 and includes the batch axis where the graph has one."""

    axis: int
    keepdims: bool


@op("ArgMax")
class ArgMax(Op):
    """Input (x), any shape; output int64."""

    kernels = ("argmax",)
    reads_integers = True

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        axis = node.attr.axis("axis", 0, rank=len(ctx.tensor(node, 0).shape))
        keepdims = node.attr.flag("keepdims", True)
        if node.opset >= 12 and node.attr.flag("select_last_index", False):
            raise node.unsupported(
                "select_last_index=1", "on ties the lowest index is taken", "export it with select_last_index=0"
            )
        if ctx.batched and axis == 0:
            raise node.unsupported("ArgMax over the batch axis", "it mixes the samples of a batch", "set its axis")
        return [ctx.node(node, "ArgMax", node.inputs, ArgMaxAttrs(axis, keepdims))]

    def infer(self, node, inputs):
        need_float(node, inputs[0])
        shape, axis = inputs[0].shape, node.attrs.axis
        return result(node, (*shape[:axis], *((1,) if node.attrs.keepdims else ()), *shape[axis + 1 :]), "int64")

    def evaluate(self, node, inputs):
        return [np.argmax(inputs[0], axis=node.attrs.axis, keepdims=node.attrs.keepdims).astype(np.int64)]

    def interval(self, node, inputs, graph):
        return 0.0, float(graph.tensors[node.inputs[0]].shape[node.attrs.axis] - 1)

    def lower(self, node, ctx):
        size = ctx.graph.tensors[node.inputs[0]].shape[node.attrs.axis]
        out = node.outputs[0]
        index = QType(max(1, (size - 1).bit_length()), False, "affine", (1.0,))
        ctx.add_edge(out, 0, size - 1, Layout.row_major(ctx.sample_shape(out)), index)
        axis = node.attrs.axis - ctx.graph.batched
        ctx.add_kernel("argmax", node, {"axis": axis, "keepdims": node.attrs.keepdims})

    def export(self, node, writer):
        return writer.emit("ArgMax", writer.data(), axis=node.attrs.axis, keepdims=int(node.attrs.keepdims))

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.inputs[0]].shape))

    def cases(self):
        index = ("y", "int64")
        yield case("argmax", [("ArgMax", ["x"], ["y"], {"axis": 1})], {"x": (1, 10)}, output=index)
        flat = [("ArgMax", ["x"], ["y"], {"axis": -1, "keepdims": 0})]
        yield case("argmax without axis", flat, {"x": ("N", 7)}, output=index, opset=11)
        yield case(
            "argmax channels", [("ArgMax", ["x"], ["y"], {"axis": 1})], {"x": (1, 4, 3, 2)}, output=index, opset=13
        )
