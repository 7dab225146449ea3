"""Leave out a final Softmax or LogSoftmax where the user asked for logits."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Editor, Graph, origin_of
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
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            source, target = node.inputs[0], node.outputs[0]
            if node.op not in ("Softmax", "LogSoftmax") or target not in graph.outputs or graph.consumers(target):
                continue
            index = edit.producer(source)
            if index is not None and edit.sole_consumer(source) == i:
                edit.put(i, None)
                edit.put(index, edit.nodes[index].with_(outputs=(target,)))
            else:
                edit.put(i, node.with_(op="Identity", attrs=None))
            ctx.note(self.name, f"output '{target}' carries the logits: {node.op} '{origin_of(node)}' is left out")
        return edit.done()
