"""A constant added after a dot product becomes its bias: MatMul + Add, Conv + Add."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.registry import graph_pass
from hwcomp.types import per_channel

_DOT = {"Conv", "Dense"}


@graph_pass
class FuseBias(Pass):
    """Only where the sum is the dot product's only reader and the constant is one value per output channel."""

    name: ClassVar[str] = "fuse_bias"
    kind: ClassVar[str] = "algebraic"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        while (match := next(self._matches(graph), None)) is not None:
            dot, add, channels = match
            tensors = dict(graph.tensors)
            old = tensors[dot.inputs[2]].data if len(dot.inputs) > 2 and dot.inputs[2] else np.zeros_like(channels)
            bias = constant(tensors, f"{add.outputs[0]}__bias", (old + channels).astype(np.float32))
            merged = dot.with_(
                inputs=(*dot.inputs[:2], bias.name), outputs=add.outputs, origin=(*dot.origin, *add.origin)
            )
            graph = graph.rebuilt([merged if n is dot else n for n in graph.nodes if n is not add], tensors)
            ctx.note(self.name, f"Add '{add.name}' is the bias of {dot.op} '{dot.name}'")
        return graph

    def _matches(self, graph: Graph):
        for add in graph.nodes:
            if add.op != "Add" or len(graph.data_inputs(add)) != 1:
                continue
            dot = graph.producer(graph.data_inputs(add)[0])
            if dot is None or dot.op not in _DOT or dot.attrs.clamp is not None:
                continue
            if graph.sole_consumer(dot.outputs[0]) is not add:
                continue
            addend = next(graph.tensors[n] for n in add.inputs if graph.tensors[n].is_constant)
            channels = per_channel(addend, graph.tensors[dot.outputs[0]], 1 if dot.op == "Conv" else -1)
            if channels is not None:
                yield dot, add, channels
