"""Rebuilds a graph while nodes that only rearrange elements wait until somebody needs their result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwcomp.graph import Graph
from hwcomp.passes.base import free_name
from hwcomp.types import Node, Tensor

# (source, how): a tensor is `source`, rearranged by `how`; None: it is the same tensor.
View = tuple[str, Any]


class Deferral:
    """Call `defer`, `moved` or `keep` once for every node in order, then `done`.

    `make(how, tensor)` gives operator and attributes of the node that rearranges something into `tensor`.
    """

    def __init__(self, graph: Graph, make: Callable[[Any, Tensor], tuple[str, Any]], suffix: str):
        self.graph, self.tensors = graph, dict(graph.tensors)
        self.nodes: list[Node] = []
        self._make, self._suffix = make, suffix
        self._views: dict[str, View] = {}
        self._waiting: dict[str, Node] = {}  # tensor -> the node of the given graph that made it
        self._inserted: set[str] = set()
        self._rename: dict[str, str] = {}

    def view(self, name: str) -> View:
        return self._views.get(name, (name, None))

    def defer(self, node: Node, source: str, how: Any) -> None:
        """The output of `node` is `source`, rearranged by `how`."""
        name = node.outputs[0]
        self._views[name], self._waiting[name] = (source, how), node
        if how is None and source in self._inserted:
            self._rename.setdefault(source, name)  # an ONNX value after all

    def moved(self, node: Node, inputs: tuple[str, ...], attrs: Any, shape: tuple[int, ...], how: Any) -> None:
        """`node` works on what its inputs are rearranged from; its output is the new result, rearranged by `how`."""
        name = node.outputs[0]
        if how is None:
            self.nodes.append(node.with_(inputs=inputs, attrs=attrs))
            return
        new = free_name(self.tensors, f"{name}__{self._suffix}")
        self.tensors[new] = Tensor(new, shape, self.tensors[name].dtype)
        self._inserted.add(new)
        self.nodes.append(node.with_(inputs=inputs, outputs=(new,), attrs=attrs))
        self.defer(node, new, how)

    def keep(self, node: Node) -> None:
        self.nodes.append(node.with_(inputs=tuple(self.real(n) if n else "" for n in node.inputs)))

    def real(self, name: str) -> str:
        """The tensor of the new graph that equals `name`; what waits is made now."""
        source, how = self.view(name)
        if how is None:
            return source
        self._emit(name, *self._make(how, self.tensors[name]), source)
        del self._views[name]
        return name

    def _emit(self, name: str, op: str, attrs: Any, source: str) -> None:
        node = self._waiting[name]
        label = node.name if node.op == op else f"{node.name}__{op.lower()}"
        self.nodes.append(Node(op, label, (source,), (name,), attrs, node.origin))

    def done(self) -> Graph:
        taken = {*self.graph.inputs, *self.graph.outputs}
        for name in self.graph.outputs:
            source, how = self.view(name)
            if how is not None:
                self.real(name)
            elif source != name and self._rename.get(source) != name:
                if source in taken or self._rename.get(source) in taken:
                    self._emit(name, "Identity", None, source)
                else:
                    self._rename[source] = name
        for old, new in self._rename.items():
            self.tensors[new] = self.tensors[old].with_(name=new)
        return self.graph.rebuilt((self._renamed(n) for n in self.nodes), self.tensors)

    def _renamed(self, node: Node) -> Node:
        inputs, outputs = (tuple(self._rename.get(n, n) for n in names) for names in (node.inputs, node.outputs))
        return node.with_(inputs=inputs, outputs=outputs)
