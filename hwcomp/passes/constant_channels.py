"""Sums with a constant that is no value per channel: the axes along which it varies become the channels."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops._affine import broadcasts, channel_axis
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.ops.transpose import TransposeAttrs
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.registry import graph_pass
from hwcomp.types import Node, Tensor, per_channel


@graph_pass
class ConstantChannels(Pass):
    """Behind fuse_bias, which takes a constant along the last axis as the bias of a matrix product.

    A constant along the last axis gets transposes around the sum; of one that varies along several axes every element is
    a channel.
    """

    name: ClassVar[str] = "constant_channels"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        nodes, tensors = [], dict(graph.tensors)
        for node in graph.nodes:
            found = _axis(node, graph) if graph.batched and node.op == "Add" else 1
            if found == 1:
                nodes.append(node)
                continue
            nodes += _around(node, tensors, found)
            ctx.note(self.name, f"Add '{node.name}': {'the last axis' if found else 'every element'} as channels")
        return graph.rebuilt(nodes, tensors)


def _axis(node: Node, graph: Graph) -> int | None:
    """Along which axis the constant of an Add varies (1 too where there is nothing to do); None: along several."""
    x, c = (graph.tensors[n] for n in node.inputs)
    if not c.is_constant or len(x.shape) < 2 or not broadcasts(c.shape, x.shape):
        return 1
    return channel_axis(x, c)


def _around(node: Node, tensors: dict[str, Tensor], axis: int | None) -> list[Node]:
    x, c, y = (tensors[n] for n in (*node.inputs, node.outputs[0]))
    rank = len(x.shape)
    if axis is None:
        values = np.broadcast_to(c.data, (1, *x.shape[1:])).reshape(-1)
        inner, op = (x.shape[0], math.prod(x.shape[1:])), "Reshape"
        forth, back = ReshapeAttrs(inner), ReshapeAttrs(y.shape)
    else:
        values, op = per_channel(c, x, axis), "Transpose"
        perm = (0, rank - 1, *range(1, rank - 1))
        inner = tuple(x.shape[a] for a in perm)
        forth, back = TransposeAttrs(perm), TransposeAttrs(tuple(map(int, np.argsort(perm))))
    vector = constant(tensors, f"{y.name}__channels", values.reshape(-1, *[1] * (len(inner) - 2)).astype(np.float32))
    names = []
    for what in ("apart", "sum"):
        names.append(free_name(tensors, f"{y.name}__{what}"))
        tensors[names[-1]] = Tensor(names[-1], inner)
    return [
        Node(op, f"{node.name}__forth", (x.name,), (names[0],), forth, node.origin),
        node.with_(inputs=(names[0], vector.name), outputs=(names[1],)),
        Node(op, f"{node.name}__back", (names[1],), (y.name,), back, node.origin),
    ]
