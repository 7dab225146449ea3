"""Constant folding: nodes whose inputs are all constant become constants."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass


@graph_pass
class FoldConstants(Pass):
    """Evaluates such nodes with their float semantics. Graph outputs stay nodes."""

    name: ClassVar[str] = "fold_constants"
    kind: ClassVar[str] = "algebraic"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        tensors = dict(graph.tensors)
        kept = []
        for node in graph.nodes:
            inputs = [tensors[n] if n else None for n in node.inputs]
            foldable = inputs and all(t is None or t.is_constant for t in inputs)
            if not foldable or any(o in graph.outputs for o in node.outputs):
                kept.append(node)
                continue
            values = OPS[node.op].evaluate(node, [None if t is None else t.data for t in inputs])
            for name, value in zip(node.outputs, values, strict=True):
                tensors[name] = tensors[name].with_(data=value, shape=tuple(value.shape))
            ctx.note(self.name, f"{node.op} '{node.name}' is constant")
        return graph.rebuilt(kept, tensors)
