"""The Graph: tensors and nodes in topological order. Immutable; passes build new ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from hwcomp.errors import ModelError
from hwcomp.types import Node, Tensor


@dataclass(frozen=True)
class Graph:
    """`inputs` and `outputs` are tensor names in the model's order. `batched`: axis 0 of every non-constant is the batch."""

    tensors: dict[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batched: bool = True

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {out: n for n in self.nodes for out in n.outputs if out}

    @cached_property
    def _consumers(self) -> dict[str, list[Node]]:
        users: dict[str, list[Node]] = {}
        for n in self.nodes:
            for name in n.inputs:
                if name:
                    users.setdefault(name, []).append(n)
        return users

    def producer(self, tensor: str) -> Node | None:
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> list[Node]:
        """Nodes that read `tensor`, once per use (Add(x, x) is listed twice)."""
        return self._consumers.get(tensor, [])

    def sole_consumer(self, tensor: str) -> Node | None:
        """The only reader of `tensor`, or None where there are several or it is a graph output."""
        users = self.consumers(tensor)
        return users[0] if len(users) == 1 and tensor not in self.outputs else None

    def data_inputs(self, node: Node) -> list[str]:
        """Inputs of `node` that are neither absent nor constant."""
        return [n for n in node.inputs if n and not self.tensors[n].is_constant]

    def nx(self) -> nx.MultiDiGraph:
        """Node-to-node edges (by node index), one per use of a tensor."""
        g = nx.MultiDiGraph()
        g.add_nodes_from(range(len(self.nodes)))
        made_by = {out: i for i, n in enumerate(self.nodes) for out in n.outputs if out}
        for i, n in enumerate(self.nodes):
            for name in n.inputs:
                if name in made_by:
                    g.add_edge(made_by[name], i, tensor=name)
        return g

    def with_(self, **changes) -> Graph:
        return replace(self, **changes)

    def rebuilt(self, nodes: Iterable[Node], tensors: dict[str, Tensor] | None = None, outputs=None) -> Graph:
        """The same graph with other nodes (sorted topologically) and with the tensors that are still used."""
        nodes = topological(tuple(nodes))
        pool = self.tensors if tensors is None else tensors
        outputs = self.outputs if outputs is None else outputs
        used = {*self.inputs, *outputs, *(t for n in nodes for t in (*n.inputs, *n.outputs) if t)}
        return replace(self, nodes=nodes, outputs=outputs, tensors={k: v for k, v in pool.items() if k in used})

    def check(self) -> None:
        """Raise ModelError unless the graph is well formed: one producer per tensor, order topological, all known."""
        ready = {*self.inputs, *(t.name for t in self.tensors.values() if t.is_constant)}
        for n in self.nodes:
            for name in n.inputs:
                if name and name not in ready:
                    raise ModelError(f"tensor '{name}' is used before it is made", node=origin_of(n))
            for name in n.outputs:
                if not name:
                    continue
                if name in ready:
                    raise ModelError(f"tensor '{name}' is made twice", node=origin_of(n))
                if name not in self.tensors:
                    raise ModelError(f"tensor '{name}' has no type", node=origin_of(n))
                ready.add(name)
        for name in self.outputs:
            if name not in ready:
                raise ModelError(f"graph output '{name}' is never made")


def origin_of(node: Node) -> str:
    """The name that a message cites for a node: its ONNX node's, or the operator where that has none."""
    return next((o for o in node.origin if o), node.name or node.op)


def topological(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Nodes in a stable topological order (ties by the given order). ModelError on a cycle."""
    made_by = {out: i for i, n in enumerate(nodes) for out in n.outputs if out}
    g = nx.DiGraph()
    g.add_nodes_from(range(len(nodes)))
    g.add_edges_from((made_by[t], i) for i, n in enumerate(nodes) for t in n.inputs if t in made_by)
    try:
        order = list(nx.lexicographical_topological_sort(g))
    except nx.NetworkXUnfeasible:
        loop = nx.find_cycle(g)
        raise ModelError("the graph has a cycle", node=origin_of(nodes[loop[0][0]]), fix="export the model again") from None
    return tuple(nodes[i] for i in order)
