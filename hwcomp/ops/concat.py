"""Concat: tensors one after the other along an axis. Source: ONNX operator specification, Concat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, result
from hwcomp.ops.base import Op
from hwcomp.registry import op


@dataclass(frozen=True)
class ConcatAttrs:
    """`axis` counts from 0 and includes the batch axis where the graph has one."""

    axis: int


@op("Concat")
class Concat(Op):
    """Inputs (two or more tensors): shapes alike but for the axis."""

    ties_types = True
    kernels = ("concat",)

    def convert(self, node, ctx):
        node.expect(inputs=(max(1, len(node.inputs)), len(node.inputs)))
        shape = ctx.tensor(node, 0).shape
        axis = node.attr.axis("axis", rank=len(shape))
        constant = [name for name in node.inputs if ctx.is_constant(name)]
        if constant and len(constant) < len(node.inputs):
            why = f"'{constant[0]}' is a constant, other inputs depend on the network's"
            raise node.unsupported(
                "Concat of a constant and a computed tensor", why, "feed the constant as an input of the network"
            )
        if ctx.batched and not constant and axis == 0 and len(node.inputs) > 1:
            raise node.unsupported(
                "Concat along the batch axis", "it mixes the samples of a batch", "leave it to the caller"
            )
        if len(node.inputs) == 1:
            return [ctx.node(node, "Identity", node.inputs)]
        return [ctx.node(node, "Concat", node.inputs, ConcatAttrs(axis))]

    def infer(self, node, inputs):
        first, axis = inputs[0], node.attrs.axis
        if axis >= len(first.shape):
            raise bad(node, f"Concat of tensors of shape {list(first.shape)} along axis {axis}")
        for other in inputs[1:]:
            alike = other.shape[:axis] + other.shape[axis + 1 :] == first.shape[:axis] + first.shape[axis + 1 :]
            if len(other.shape) != len(first.shape) or not alike:
                raise bad(node, f"shapes {list(first.shape)} and {list(other.shape)} do not join along axis {axis}")
            if other.dtype != first.dtype:
                raise bad(node, f"Concat of {first.dtype} and {other.dtype} values", "all must have one type")
        size = sum(t.shape[axis] for t in inputs)
        return result(node, (*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype)

    def evaluate(self, node, inputs):
        return [np.concatenate(inputs, axis=node.attrs.axis)]

    def interval(self, node, inputs, graph):
        ends = [_interval.of_input(node, i, inputs, graph) for i in range(len(node.inputs))]
        return min(lo for lo, _ in ends), max(hi for _, hi in ends)

    def lower(self, node, ctx):
        ctx.concat(node, ctx.sample_axis(node.attrs.axis))

    def export(self, node, writer):
        return writer.emit("Concat", *(writer.data(i) for i in range(len(node.inputs))), axis=node.attrs.axis)

    def cases(self):
        def after(axis, count=2):
            return [("Concat", ["x", "z", "x"][:count], ["h"], {"axis": axis}), ("Relu", ["h"], ["y"], {})]

        yield case("concat channels", after(1), {"x": (1, 3, 4, 5), "z": (1, 2, 4, 5)})
        yield case("concat three", after(1, 3), {"x": ("N", 1, 3, 3), "z": ("N", 4, 3, 3)}, opset=7)
        yield case("concat columns", after(-1), {"x": (1, 2, 3, 5), "z": (1, 2, 3, 2)}, opset=11)
        yield case("concat vectors", after(1), {"x": (1, 7), "z": (1, 4)})
        branches = [
            ("Relu", ["x"], ["a"], {}),
            ("Add", ["x", "c"], ["b"], {}),
            ("Concat", ["a", "b"], ["h"], {"axis": 1}),
        ]
        nodes = [*branches, ("Relu", ["h"], ["y"], {})]
        yield case("concat branches", nodes, {"x": (1, 3, 2, 3)}, {"c": random("concat branches", 3, 1, 1)})
        one = [("Concat", ["x"], ["h"], {"axis": 1}), ("Relu", ["h"], ["y"], {})]
        yield case("concat one", one, {"x": (1, 3)})
