"""Transpose: another order of the axes. Source: ONNX operator specification, Transpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, result
from hwcomp.ops.base import Op
from hwcomp.registry import op


@dataclass(frozen=True)
class TransposeAttrs:
    """Axis i of the output is axis `perm[i]` of the input; the batch axis is counted, and stays first."""

    perm: tuple[int, ...]


@op("Transpose")
class Transpose(Op):
    """Input (x), any shape."""

    keeps_type = True
    kernels = ("transpose",)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        x = ctx.tensor(node, 0)
        rank = len(x.shape)
        perm = node.axes(node.attr.integers("perm", tuple(range(rank))[::-1]), rank)
        if len(perm) != rank:
            raise node.model_error(f"perm has {len(perm)} axes", f"the tensor has {rank} dimensions")
        if ctx.batched and not x.is_constant:
            perm = _keep_batch(perm)
        if perm == tuple(range(rank)):
            return [ctx.node(node, "Identity", node.inputs)]
        return [ctx.node(node, "Transpose", node.inputs, TransposeAttrs(perm))]

    def infer(self, node, inputs):
        x, perm = inputs[0], node.attrs.perm
        if sorted(perm) != list(range(len(x.shape))):
            raise bad(node, f"a tensor of shape {list(x.shape)} has no axes {list(perm)}")
        return result(node, tuple(x.shape[axis] for axis in perm), x.dtype)

    def evaluate(self, node, inputs):
        return [np.transpose(inputs[0], node.attrs.perm)]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        ctx.transpose(node)

    def export(self, node, writer):
        return writer.emit("Transpose", writer.data(), perm=node.attrs.perm)

    def cases(self):
        yield _case("transpose", (1, 2, 3, 4), [0, 3, 1, 2])
        yield _case("transpose reversed", (1, 5), [0, 1], opset=7)
        yield _case("transpose rank 3", ("N", 3, 5), [0, 2, 1], opset=25)
        yield _case("transpose a batch of one", (1, 1, 4), [1, 0, 2])
        pair = [("Transpose", ["x"], ["h"], {"perm": [0, 2, 3, 1]}), ("Relu", ["h"], ["r"], {})]
        pair.append(("Transpose", ["r"], ["y"], {"perm": [0, 3, 1, 2]}))
        yield case("transpose there and back", pair, {"x": (1, 3, 4, 5)})
        weight = [("Transpose", ["w"], ["t"], {}), ("MatMul", ["x", "t"], ["y"], {})]
        yield case("transpose weight", weight, {"x": (1, 4)}, {"w": random("transpose weight", 3, 4)})


def _case(label, shape, perm, *, opset=17):
    return case(label, [("Transpose", ["x"], ["y"], {"perm": perm})], {"x": shape}, opset=opset)


def _keep_batch(perm):
    """The same order of the elements of one sample, with axis 0 left in its place: it changed places with an axis of 1
    (other places of the batch: frontend/batch_axis.py).
    """
    at = perm.index(0)
    swapped = list(perm)
    swapped[at], swapped[0] = perm[0], 0
    return tuple(swapped)
