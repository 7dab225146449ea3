"""Repeat: every element several times along an axis. An operator of hwcomp only; Resize, Expand and broadcasts become it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._checks import bad, result
from hwcomp.ops.base import Op
from hwcomp.registry import op


@dataclass(frozen=True)
class RepeatAttrs:
    """Element i along `axis` (counted with the batch axis) of the output is element i // `times` of the input."""

    axis: int
    times: int


@op("Repeat")
class Repeat(Op):
    """Input (x), any shape."""

    keeps_type = True
    kernels = ("repeat",)

    def infer(self, node, inputs):
        x, a = inputs[0], node.attrs
        if a.axis >= len(x.shape):
            raise bad(node, f"a tensor of shape {list(x.shape)} has no axis {a.axis} to repeat along")
        return result(node, (*x.shape[: a.axis], x.shape[a.axis] * a.times, *x.shape[a.axis + 1 :]), x.dtype)

    def evaluate(self, node, inputs):
        return [np.repeat(inputs[0], node.attrs.times, axis=node.attrs.axis)]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        ctx.repeat(node, ctx.sample_axis(node.attrs.axis), node.attrs.times)

    def export(self, node, writer):
        a = node.attrs
        size = writer.graph.tensors[node.inputs[0]].shape[a.axis]
        return writer.emit("Gather", writer.data(), np.repeat(np.arange(size), a.times), axis=a.axis)
