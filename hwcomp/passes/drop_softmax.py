"""Leave out a final Softmax or LogSoftmax where the user asked for logits."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Graph, origin_of
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass


@graph_pass
class DropSoftmax(Pass):
    """Does nothing without `--logits`. The output keeps its name and then carries the logits; the order of classes stays."""

    name: ClassVar[str] = "drop_softmax"
    kind: ClassVar[str] = "lossy"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if not ctx.logits:
            return graph
        for node in graph.nodes:
            source, target = node.inputs[0], node.outputs[0]
            final = target in graph.outputs and not graph.consumers(target)
            if node.op not in ("Softmax", "LogSoftmax") or not final:
                continue
            if graph.sole_consumer(source) is node and graph.producer(source) is not None:
                producer = graph.producer(source)
                renamed = producer.with_(outputs=tuple(target if o == source else o for o in producer.outputs))
                nodes = [renamed if n is producer else n for n in graph.nodes if n is not node]
                graph = graph.rebuilt(nodes)
            else:
                same = node.with_(op="Identity", attrs=None)
                graph = graph.rebuilt([same if n is node else n for n in graph.nodes])
            ctx.note(self.name, f"output '{target}' carries the logits: {node.op} '{origin_of(node)}' is left out")
        return graph
