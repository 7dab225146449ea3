"""Dead code: nodes that reach no output, and nodes that do nothing at inference (Identity, Dropout, DequantizeLinear)."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass
from hwcomp.types import Node

_NOTHING = {"DequantizeLinear", "Dropout", "Identity"}


@graph_pass
class EliminateDead(Pass):
    """Keeps every graph input, used or not, and every graph output under its own name."""

    name: ClassVar[str] = "eliminate_dead"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        graph = self._bypass(graph, ctx)
        live = set(graph.outputs)
        kept: list[Node] = []
        for node in reversed(graph.nodes):
            if live.intersection(node.outputs):
                live.update(n for n in node.inputs if n)
                kept.append(node)
            else:
                ctx.note(self.name, f"{node.op} '{node.name}' reaches no output")
        return graph.rebuilt(reversed(kept))

    def _bypass(self, graph: Graph, ctx: PassContext) -> Graph:
        source_of: dict[str, str] = {}  # a bypassed tensor -> the one that stands for it
        kept: list[Node] = []
        for node in graph.nodes:
            node = node.with_(inputs=tuple(source_of.get(n, n) for n in node.inputs))
            if node.op in _NOTHING and node.outputs[0] not in graph.outputs:
                source_of[node.outputs[0]] = node.inputs[0]
                ctx.note(self.name, f"{node.op} '{node.name}' does nothing at inference")
            else:
                kept.append(node)
        return self._bypass_outputs(graph.rebuilt(kept), ctx)

    def _bypass_outputs(self, graph: Graph, ctx: PassContext) -> Graph:
        """An output's name must stay: its producer takes it, unless that value is wanted under its own name too."""
        target_of: dict[str, str] = {}
        dropped: set[int] = set()
        for node in graph.nodes:
            source = node.inputs[0] if node.inputs else ""
            movable = graph.producer(source) is not None and source not in graph.outputs and source not in target_of
            if node.op in _NOTHING and node.outputs[0] in graph.outputs and movable:
                target_of[source] = node.outputs[0]
                dropped.add(id(node))
                ctx.note(self.name, f"{node.op} '{node.name}' does nothing at inference")

        def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(target_of.get(n, n) for n in names)

        kept = (n for n in graph.nodes if id(n) not in dropped)
        return graph.rebuilt(n.with_(inputs=renamed(n.inputs), outputs=renamed(n.outputs)) for n in kept)
