"""Retype: the same integers under another scale and zero point. An operator of hwcomp only.

A model may dequantize integers with another scale than the one it quantized them with.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops.base import Op
from hwcomp.registry import op
from hwcomp.types import Tensor


@op("Retype")
class Retype(Op):
    """Input (x); the attributes hold both types."""

    kernels = ("reshape",)
    reads_integers = True

    def infer(self, node, inputs):
        return [Tensor(node.outputs[0], inputs[0].shape, qtype=node.attrs.qtype, stored=node.attrs.stored)]

    def evaluate(self, node, inputs):
        old, new = node.attrs.source, node.attrs.qtype
        q = np.rint(inputs[0] / np.float32(old.scale[0])) + np.float32(old.zero)
        return [((q - np.float32(new.zero)) * np.float32(new.scale[0])).astype(np.float32)]

    def interval(self, node, inputs, graph):
        new = node.attrs.qtype
        return (new.lo - new.zero) * new.scale[0], (new.hi - new.zero) * new.scale[0]

    def lower(self, node, ctx):
        ctx.alias(node)

    def export(self, node, writer):
        return writer.retyped()
