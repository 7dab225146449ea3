"""Leave out a final Softmax or LogSoftmax where the user asked for logits, and one that only an ArgMax reads."""

from __future__ import annotations

from typing import ClassVar

from hwcomp.graph import Editor, Graph, origin_of
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass


@graph_pass
class DropSoftmax(Pass):
    """A final one goes with `--logits` only. The output keeps its name and then carries the logits; the order of classes stays."""

    name: ClassVar[str] = "drop_softmax"
    kind: ClassVar[str] = "lossy"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            if node.op not in ("Softmax", "LogSoftmax"):
                continue
            source, target = node.inputs[0], node.outputs[0]
            reader = edit.sole_consumer(target)
            if (
                reader is not None
                and edit.nodes[reader].op == "ArgMax"
                and edit.nodes[reader].attrs.axis in node.attrs.axes
            ):
                edit.put(i, None)
                edit.put(reader, edit.nodes[reader].with_(inputs=(source,)))
                ctx.note(
                    self.name, f"{node.op} '{origin_of(node)}' does not change the largest, which is all that is read"
                )
            elif ctx.logits and target in graph.outputs and not graph.consumers(target):
                index = edit.producer(source)
                if index is not None and edit.sole_consumer(source) == i:
                    edit.put(i, None)
                    edit.put(index, edit.nodes[index].with_(outputs=(target,)))
                else:
                    edit.put(i, node.with_(op="Identity", attrs=None))
                ctx.note(self.name, f"output '{target}' carries the logits: {node.op} '{origin_of(node)}' is left out")
        return edit.done()
