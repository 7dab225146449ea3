"""Reshape to a constant shape. Source: ONNX operator specification, Reshape (from version 5 on)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import bad, result
from hwcomp.ops._limits import MAX_RANK
from hwcomp.ops.base import Op
from hwcomp.registry import op


@dataclass(frozen=True)
class ReshapeAttrs:
    """`shape`: the whole output shape, with the batch axis of 1 where the graph has one."""

    shape: tuple[int, ...]


@op("Reshape")
class Reshape(Op):
    """Input (x), any shape. Flatten, Squeeze and Unsqueeze become Reshape."""

    keeps_type = True
    kernels = ("reshape",)

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        allow_zero = node.opset >= 14 and node.attr.flag("allowzero", False)
        target = ctx.integers(node, 1, "shape")
        attrs = ReshapeAttrs(resolve(node, ctx.tensor(node, 0).shape, target, allow_zero))
        return [ctx.node(node, "Reshape", (node.input(0),), attrs)]

    def infer(self, node, inputs):
        x, shape = inputs[0], node.attrs.shape
        if math.prod(x.shape) != math.prod(shape):
            raise bad(
                node,
                f"a tensor of shape {list(x.shape)} can't be reshaped to {list(shape)}",
                "the sizes differ",
                "keep the batch as axis 0, and use -1 for one of the others",
            )
        return result(node, shape, x.dtype)

    def evaluate(self, node, inputs):
        x, shape = inputs[0], node.attrs.shape
        samples = x.size // math.prod(shape)  # above 1 only in a batch, which is on axis 0
        return [x.reshape(samples * shape[0], *shape[1:]) if shape else x.reshape(shape)]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        ctx.alias(node)

    def export(self, node, writer):
        shape = writer.program.edges[node.outputs[0]].shape
        return writer.emit("Reshape", writer.data(), writer.batch_shape(shape))

    def cases(self):
        yield _case("reshape flat", (1, 2, 3, 4), [1, 24])
        yield _case("reshape minus one", ("N", 2, 3, 4), [-1, 24], opset=7)
        yield _case("reshape zero copies", (1, 4, 6), [0, 2, -1])
        yield _case("reshape allowzero", (1, 12), [1, 3, 2, 2], allowzero=1)


def _case(label, shape, target, *, opset=17, **attrs):
    return case(label, [("Reshape", ["x", "s"], ["y"], attrs)], {"x": shape}, {"s": np.array(target)}, opset=opset)


def resolve(node, shape, target, allow_zero):
    """The output shape: 0 copies the input's size (unless allowzero), one -1 is what remains."""
    if len(target) > MAX_RANK:
        raise node.model_error(f"the shape to reshape to has {len(target)} dimensions", f"at most {MAX_RANK} are taken")
    sizes = []
    for axis, size in enumerate(target):
        if size < -1 or (size == 0 and allow_zero) or (size == 0 and axis >= len(shape)):
            raise node.model_error(f"the shape to reshape to, {target}, has an impossible size {size}")
        sizes.append(shape[axis] if size == 0 else size)
    if sizes.count(-1) > 1:
        raise node.model_error(f"the shape to reshape to, {target}, has more than one -1")
    if -1 in sizes:
        known = -math.prod(sizes)
        if math.prod(shape) % known:
            raise node.model_error(
                f"a tensor of shape {list(shape)} can't be reshaped to {target}",
                "the sizes differ",
                "keep the batch as axis 0, and use -1 for one of the others",
            )
        sizes[sizes.index(-1)] = math.prod(shape) // known
    return tuple(sizes)
