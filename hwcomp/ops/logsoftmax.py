"""LogSoftmax. Source: ONNX operator specification, LogSoftmax (before version 13 it flattens to a matrix)."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops.base import Op
from hwcomp.ops.softmax import Softmax
from hwcomp.registry import op


@op("LogSoftmax")
class LogSoftmax(Softmax):
    """Input (x), any shape; attributes as Softmax."""

    kernels = ("maxpool2d", "repeat", "add", "lut", "dense")

    def output_type(self, scheme):
        return None

    def takes_type(self, qtype):
        return True

    lower, export = Op.lower, Op.export  # the pass `logarithms` replaces it

    def evaluate(self, node, inputs):
        d = inputs[0] - inputs[0].max(axis=node.attrs.axes, keepdims=True)
        return [d - np.log(np.exp(d).sum(axis=node.attrs.axes, keepdims=True))]

    def interval(self, node, inputs, graph):
        lo, hi = _interval.of_input(node, 0, inputs, graph)
        shape = graph.tensors[node.inputs[0]].shape
        count = math.prod(shape[a] for a in node.attrs.axes)
        low, _ = _interval.outward(lo - hi - math.log(count), 0.0, (hi - lo) * 2.0**-50)
        return low, 0.0
