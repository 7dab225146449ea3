"""BatchNormalization into a neighbouring dot product, in float, before quantization.

Behind a Conv or Dense: weights and bias are scaled per output channel. In front of one (and nowhere else read): per
input channel; not in front of a padded convolution, where the padding is zero behind the normalization but the folded
weights would see the zero in front of it (docs/numerics.md, "Zero points and padding").
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops.batchnormalization import affine_of
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.registry import graph_pass
from hwcomp.types import Node

_DOT = {"Conv", "Dense"}


@graph_pass
class FuseBatchnorm(Pass):
    name: ClassVar[str] = "fuse_batchnorm"
    kind: ClassVar[str] = "algebraic"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        for node in graph.nodes:
            if node.op == "BatchNormalization":
                graph = self._behind(graph, node, ctx) or self._in_front(graph, node, ctx) or graph
        return graph

    def _behind(self, graph: Graph, bn: Node, ctx: PassContext) -> Graph | None:
        dot = graph.producer(bn.inputs[0])
        if dot is None or dot.op not in _DOT or dot.attrs.clamp is not None:
            return None
        if graph.sole_consumer(dot.outputs[0]) is not bn or len(graph.tensors[bn.inputs[0]].shape) not in (2, 4):
            return None
        gain, shift = affine_of(bn, graph)
        weight, bias = _weights(graph, dot)
        column = gain.reshape(-1, *[1] * (weight.ndim - 1))
        merged = dot.with_(outputs=bn.outputs, origin=(*dot.origin, *bn.origin))
        ctx.note(self.name, f"BatchNormalization '{bn.name}' is folded into {dot.op} '{dot.name}' in front of it")
        return _replace(graph, dot, bn, merged, weight * column, bias * gain + shift)

    def _in_front(self, graph: Graph, bn: Node, ctx: PassContext) -> Graph | None:
        dot = graph.sole_consumer(bn.outputs[0])
        if dot is None or dot.op not in _DOT or dot.inputs[0] != bn.outputs[0]:
            return None
        if dot.op == "Conv" and any(dot.attrs.pads):
            ctx.note(self.name, f"BatchNormalization '{bn.name}' stays: Conv '{dot.name}' behind it pads")
            return None
        gain, shift = affine_of(bn, graph)
        weight, bias = _weights(graph, dot)
        groups = dot.attrs.groups if dot.op == "Conv" else 1
        per = weight.shape[1]
        # Input channel of weight[m, c]: the group of m, times the channels of a group, plus c.
        channel = (np.arange(weight.shape[0]) // (weight.shape[0] // groups))[:, None] * per + np.arange(per)
        row = gain[channel].reshape(*channel.shape, *[1] * (weight.ndim - 2))
        moved = shift[channel].reshape(row.shape)
        merged = dot.with_(inputs=(bn.inputs[0], *dot.inputs[1:]), origin=(*bn.origin, *dot.origin))
        ctx.note(self.name, f"BatchNormalization '{bn.name}' is folded into {dot.op} '{dot.name}' behind it")
        total = bias + (weight * moved).sum(axis=tuple(range(1, weight.ndim)))
        return _replace(graph, dot, bn, merged, weight * row, total)


def _weights(graph: Graph, dot: Node) -> tuple[np.ndarray, np.ndarray]:
    weight = graph.tensors[dot.inputs[1]].data.astype(np.float64)
    has_bias = len(dot.inputs) > 2 and dot.inputs[2]
    bias = graph.tensors[dot.inputs[2]].data.astype(np.float64) if has_bias else np.zeros(weight.shape[0])
    return weight, bias


def _replace(graph: Graph, dot: Node, bn: Node, merged: Node, weight: np.ndarray, bias: np.ndarray) -> Graph:
    tensors = dict(graph.tensors)
    w = constant(tensors, f"{merged.outputs[0]}__weight", weight.astype(np.float32))
    b = constant(tensors, f"{merged.outputs[0]}__bias", bias.astype(np.float32))
    merged = merged.with_(inputs=(merged.inputs[0], w.name, b.name))
    return graph.rebuilt([merged if n is dot else n for n in graph.nodes if n is not bn], tensors)
