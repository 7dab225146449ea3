"""Shape inference: the type of every tensor from the types of the inputs, by each operator's own rule."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass


@graph_pass
class InferShapes(Pass):
    """Recomputes every shape, so that a pass which changed a node can't leave a stale one behind."""

    name: ClassVar[str] = "infer_shapes"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        tensors = dict(graph.tensors)
        for node in graph.nodes:
            inputs = [tensors[n] if n else None for n in node.inputs]
            for tensor in OPS[node.op].infer(node, inputs):
                old = tensors[tensor.name]
                tensors[tensor.name] = tensor.with_(qtype=old.qtype, stored=old.stored)
        return graph.rebuilt(graph.nodes, tensors)
