"""LogSoftmax. Source: ONNX operator specification, LogSoftmax (before version 13 it flattens to a matrix)."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.ops import _interval
from hwcomp.ops.base import Op
from hwcomp.ops.softmax import Softmax
from hwcomp.registry import op


@op("LogSoftmax")
class LogSoftmax(Softmax):
    """Input (x), any shape; attributes as Softmax."""

    kernels = ()
    note = "at an output, left out under --logits"

    def output_type(self, scheme):
        return None

    def lower(self, node, ctx):
        raise UnsupportedError(
            f"{self.name} can't be compiled", node=origin_of(node), why="a logarithm has no integer form here",
            fix="compile with --logits, if this is an output: the largest stays the largest; or export the model with Softmax",
        )  # fmt: skip

    def export(self, node, writer):
        return Op.export(self, node, writer)

    def evaluate(self, node, inputs):
        d = inputs[0] - inputs[0].max(axis=node.attrs.axes, keepdims=True)
        return [d - np.log(np.exp(d).sum(axis=node.attrs.axes, keepdims=True))]

    def interval(self, node, inputs, graph):
        lo, hi = _interval.of_input(node, 0, inputs, graph)
        shape = graph.tensors[node.inputs[0]].shape
        count = math.prod(shape[a] for a in node.attrs.axes)
        low, _ = _interval.outward(lo - hi - math.log(count), 0.0, (hi - lo) * 2.0**-50)
        return low, 0.0

    def cases(self):
        return (c for c in super().cases() if "between" not in c.label)
