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
    """`inputs` and `outputs` are tensor names in the model's order. `batched`: axis 0 of every non-constant is the batch.

    `input_axes`, `output_axes`: where the model itself has the batch of these, if not all of them on axis 0.
    """

    tensors: dict[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batched: bool = True
    input_axes: tuple[int, ...] = ()
    output_axes: tuple[int, ...] = ()

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
        nodes = tuple(nodes)
        nodes = nodes if _sorted(nodes) else topological(nodes)
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


class Editor:
    """A graph being rewritten: local changes at a cost of their own size, one new Graph at the end.

    Nodes are named by their index in the original order; a removed one is None.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes: list[Node | None] = list(graph.nodes)
        self.tensors = dict(graph.tensors)
        self._made_by = {out: i for i, n in enumerate(graph.nodes) for out in n.outputs if out}
        self._users: dict[str, list[int]] = {}
        for i, n in enumerate(graph.nodes):
            for name in n.inputs:
                self._users.setdefault(name, []).append(i)

    def producer(self, tensor: str) -> int | None:
        return self._made_by.get(tensor)

    def sole_consumer(self, tensor: str) -> int | None:
        """The only reader of `tensor`, or None where there are several or it is a graph output."""
        users = self._users.get(tensor, [])
        return users[0] if len(users) == 1 and tensor not in self.graph.outputs else None

    def put(self, index: int, node: Node | None) -> None:
        """Replace a node, or remove it with None."""
        old = self.nodes[index]
        if old is not None:
            for name in old.inputs:
                self._users[name].remove(index)
            for name in old.outputs:
                if self._made_by.get(name) == index:
                    del self._made_by[name]
        self.nodes[index] = node
        if node is not None:
            for name in node.inputs:
                self._users.setdefault(name, []).append(index)
            self._made_by.update((name, index) for name in node.outputs if name)

    def done(self) -> Graph:
        return self.graph.rebuilt((n for n in self.nodes if n is not None), self.tensors)


def _sorted(nodes: tuple[Node, ...]) -> bool:
    """Whether no node reads what a later one makes."""
    later = {out for n in nodes for out in n.outputs if out}
    for n in nodes:
        if not later.isdisjoint(n.inputs):
            return False
        later.difference_update(n.outputs)
    return True


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
        raise ModelError(
            "the graph has a cycle", node=origin_of(nodes[loop[0][0]]), fix="export the model again"
        ) from None
    return tuple(nodes[i] for i in order)
