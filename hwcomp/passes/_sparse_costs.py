"""What a float graph costs where some of its weights are zero: for passes that weigh a layer with zeros against something else."""

from __future__ import annotations

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._costs import cost, spent
from hwcomp.passes._places import places, split
from hwcomp.passes.base import DOT, PassContext
from hwcomp.types import Node


def sparse_cost(graph: Graph, of: str, ctx: PassContext) -> int:
    """One of hwcomp.passes._costs.COSTS, of one sample, without what zeros save."""
    return cost(graph, of) - sum(_saved(n, graph, of, ctx) for n in graph.nodes)


def layer_cost(node: Node, graph: Graph, of: str, ctx: PassContext) -> int:
    """That of a dot product."""
    return spent([node], graph, of) - _saved(node, graph, of, ctx)


def zeros(node: Node, graph: Graph) -> int:
    """Weights of a node that are zero."""
    weight = graph.tensors[node.inputs[1]].data if node.op in DOT else None
    return 0 if weight is None else int(weight.size - np.count_nonzero(weight))


def _saved(node: Node, graph: Graph, of: str, ctx: PassContext) -> int:
    """Of parameters and multiply-accumulates each zero is one less; else what the target makes of them."""
    if not (count := zeros(node, graph)):
        return 0
    if of in ("parameters", "macs"):
        return count * (places(graph, node) if of == "macs" else 1)
    if of not in ctx.zeros:
        return 0
    mask = split(graph, node, graph.tensors[node.inputs[1]].data) != 0
    return spent([node], graph, of) - round(ctx.zeros[of](graph).layer(node.outputs[0], mask))
