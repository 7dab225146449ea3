"""A constant added after a dot product becomes its bias: MatMul + Add, Conv + Add."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.graph import Editor, Graph
from hwcomp.passes.base import DOT, Pass, PassContext, constant
from hwcomp.registry import graph_pass
from hwcomp.types import per_channel


@graph_pass
class FuseBias(Pass):
    """Only where the sum is the dot product's only reader and the constant is one value per output channel."""

    name: ClassVar[str] = "fuse_bias"
    kind: ClassVar[str] = "algebraic"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, add in enumerate(graph.nodes):
            if add.op == "Add" and add.attrs.clamp is None and (index := self._dot(edit, i)) is not None:
                dot, addend = edit.nodes[index], edit.tensors[add.inputs[1]]
                channels = per_channel(addend, edit.tensors[dot.outputs[0]], 1 if dot.op == "Conv" else -1)
                if channels is None:
                    continue
                old = edit.tensors[dot.inputs[2]].data if dot.inputs[2] else np.zeros_like(channels)
                bias = constant(edit.tensors, f"{add.outputs[0]}__bias", (old + channels).astype(np.float32))
                if addend.given is not None and not dot.inputs[2]:
                    size = len(channels)
                    given = addend.given.moved(lambda a, size=size: np.broadcast_to(a.reshape(-1), (size,)))
                    edit.tensors[bias.name] = bias.with_(given=given)
                edit.put(i, None)
                origin = (*dot.origin, *add.origin)
                edit.put(index, dot.with_(inputs=(*dot.inputs[:2], bias.name), outputs=add.outputs, origin=origin))
                ctx.note(self.name, f"Add '{add.name}' is the bias of {dot.op} '{dot.name}'")
        return edit.done()

    def _dot(self, edit: Editor, i: int) -> int | None:
        """The dot product in front of the Add `i` of a constant (which stands second), if it is its only reader."""
        x, c = edit.nodes[i].inputs
        index = edit.producer(x)
        if index is None or not edit.tensors[c].is_constant or edit.sole_consumer(x) != i:
            return None
        dot = edit.nodes[index]
        return index if dot.op in DOT and dot.attrs.clamp is None else None
