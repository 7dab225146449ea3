"""Residual branches: one side of a sum with all that only it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops.clip import ClipAttrs
from hwcomp.passes.base import DOT, constant
from hwcomp.types import Node


@dataclass(frozen=True)
class Branch:
    """`add`: the sum; `side`: which of its inputs goes; `nodes`: those that only make it."""

    add: Node
    side: int
    nodes: tuple[Node, ...]

    @property
    def kept(self) -> str:
        return self.add.inputs[1 - self.side]


def branches(graph: Graph) -> list[Branch]:
    """All sides of sums of two computed tensors that hold a dot product of their own."""
    found = []
    for add in graph.nodes:
        if add.op == "Add" and len(set(graph.data_inputs(add))) == 2:
            for side in (0, 1):
                nodes = _only_for(graph, add, add.inputs[side])
                if any(n.op in DOT for n in nodes):
                    found.append(Branch(add, side, nodes))
    return found


def _only_for(graph: Graph, add: Node, name: str) -> tuple[Node, ...]:
    """Nodes from which every way leads through `name` into `add`."""
    mine: set[str] = set()
    for node in reversed(graph.nodes):
        out = node.outputs
        readers = [r for n in out for r in graph.consumers(n)]
        if any(n in graph.outputs for n in out) or not readers:
            continue
        if all((r is add and out == (name,)) or r.outputs[0] in mine for r in readers):
            mine.add(out[0])
    return tuple(n for n in graph.nodes if n.outputs[0] in mine)


def silenced(graph: Graph, branch: Branch) -> Graph:
    """The same nodes with zeros for the branch: node by node comparable with `graph`."""
    tensors = dict(graph.tensors)
    rank = len(tensors[branch.kept].shape)
    zero = constant(tensors, f"{branch.add.outputs[0]}__nothing", np.zeros([1] * rank, np.float32)).name
    nodes = [n.with_(inputs=(branch.kept, zero)) if n is branch.add else n for n in graph.nodes]
    return graph.rebuilt(nodes, tensors)


def removed(graph: Graph, branch: Branch) -> Graph:
    """A silenced graph without the nodes of the branch; the sum becomes its limits, or nothing where it has none."""
    gone, out = {n.outputs[0] for n in branch.nodes}, branch.add.outputs[0]
    limits, nodes = branch.add.attrs.clamp, []
    for node in graph.nodes:
        if node.outputs[0] in gone:
            continue
        if node.outputs[0] == out:
            if limits is None and out not in graph.outputs:
                continue
            node = node.with_(op="Clip", inputs=(branch.kept,), attrs=ClipAttrs(*(limits or (None, None))))
        elif limits is None and out not in graph.outputs:
            node = node.with_(inputs=tuple(branch.kept if n == out else n for n in node.inputs))
        nodes.append(node)
    return graph.rebuilt(nodes)
