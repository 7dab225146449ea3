"""x times a function of x becomes one function, so one table: HardSwish, Swish and Mish as exporters write them out."""

from __future__ import annotations

from typing import Any, ClassVar

from hwcomp.graph import Editor, Graph
from hwcomp.ops.swish import SwishAttrs
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass
from hwcomp.types import Node

# Operators from the product back to x -> (the function of x, its attributes from those of the last operator).
_GATES = {
    ("HardSigmoid",): ("HardSwish", lambda attrs: attrs),
    ("Sigmoid",): ("Swish", lambda attrs: SwishAttrs()),
    ("Tanh", "Softplus"): ("Mish", lambda attrs: None),
}


@graph_pass
class FuseGates(Pass):
    """Mul(x, HardSigmoid(x)) is HardSwish, Mul(x, Sigmoid(x)) Swish, Mul(x, Tanh(Softplus(x))) Mish: the same float operations.

    Only where nothing else reads the function of x.
    """

    name: ClassVar[str] = "fuse_gates"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            if node.op == "Mul" and (found := _found(edit, i)):
                path, x, op, attrs = found
                origin = (*node.origin, *(o for p in path for o in edit.nodes[p].origin))
                for p in path:
                    edit.put(p, None)
                edit.put(i, Node(op, node.name, (x,), node.outputs, attrs, origin))
                ctx.note(self.name, f"Mul '{node.name}' and what it multiplies by are {op}")
        return edit.done()


def _found(edit: Editor, i: int) -> tuple[list[int], str, str, Any] | None:
    """(nodes of the gate, x, operator, attributes) of the product `i`, or None."""
    node = edit.nodes[i]
    for x, gate in (node.inputs, node.inputs[::-1]):
        for chain, (op, attrs) in _GATES.items():
            path, name, reader = [], gate, i
            for wanted in chain:
                index = edit.producer(name)
                if index is None or edit.sole_consumer(name) != reader or edit.nodes[index].op != wanted:
                    break
                path.append(index)
                name, reader = edit.nodes[index].inputs[0], index
            if len(path) == len(chain) and name == x and node.attrs.clamp is None:
                return path, x, op, attrs(edit.nodes[path[0]].attrs)
    return None
