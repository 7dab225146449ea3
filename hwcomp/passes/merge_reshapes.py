"""Reshapes meet and become one, or none: those that the front end puts around one-dimensional operators above all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.passes._deferral import Deferral
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.registry import graph_pass
from hwcomp.types import Node, Tensor, per_channel

_PER_CHANNEL = {"BatchNormalization", "Slice"}


@graph_pass
class MergeReshapes(Pass):
    """A Reshape waits while operators on single elements or channels work in front of it, until another Reshape comes.

    Where none goes away and nothing per channel has moved in front of one, the graph stays as it is.
    """

    name: ClassVar[str] = "merge_reshapes"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        before = _count(graph)
        if not before:
            return graph
        merger = _Merger(graph)
        new = merger.run()
        gone = before - _count(new)
        if gone < 1 and (gone < 0 or not merger.useful):
            return graph
        ctx.note(self.name, f"{gone} of {before} Reshapes are gone")
        return new


def _count(graph: Graph) -> int:
    return sum(n.op == "Reshape" for n in graph.nodes)


def _made(how: str, tensor: Tensor) -> tuple[str, ReshapeAttrs]:
    return "Reshape", ReshapeAttrs(tensor.shape)


class _Merger:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.wait = Deferral(graph, _made, "reshaped")
        self.useful = False  # an operator that a dot product may take in is now beside it

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if not self._moved(node):
                self.wait.keep(node)
        return self.wait.done()

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.wait.tensors[name].shape

    def _moved(self, node: Node) -> bool:
        data = self.graph.data_inputs(node)
        sources = [self.wait.view(n)[0] for n in data]
        if node.op == "Reshape":
            same = self._shape(sources[0]) == node.attrs.shape
            self.wait.defer(node, sources[0], None if same else "reshaped")
            return True
        if any(self.wait.view(n)[1] is None for n in data):
            return False
        inputs, shape = tuple(sources), self._shape(sources[0])
        # Whether axes 0 and 1 of all inputs are the same in front of the Reshape.
        channels = all(self._shape(n)[:2] == self._shape(s)[:2] and len(self._shape(n)) > 1
                       for n, s in zip(data, sources, strict=True))  # fmt: skip
        if node.op == "Add" and len(data) == 2:
            if len({self._shape(n) for n in (*data, node.outputs[0])}) > 1 or self._shape(sources[1]) != shape:
                return False
        elif node.op == "Add" and channels:
            values = per_channel(self.graph.tensors[node.inputs[1]], self.graph.tensors[data[0]], 1)
            if values is None:
                return False
            column = np.ascontiguousarray(values.reshape(-1, *[1] * (len(shape) - 2)))
            inputs = (*inputs, constant(self.wait.tensors, f"{node.inputs[1]}__reshaped", column).name)
            self.useful = True
        elif node.op in _PER_CHANNEL and channels and (node.op != "Slice" or node.attrs.axis == 1):
            inputs = (*inputs, *node.inputs[1:])
            self.useful |= node.op == "BatchNormalization"
            shape = (shape[0], self._shape(node.outputs[0])[1], *shape[2:])
        elif node.op == "Concat" and channels and node.attrs.axis == 1:
            if len({self._shape(s)[2:] for s in sources}) > 1:
                return False
            shape = (shape[0], self._shape(node.outputs[0])[1], *shape[2:])
        elif node.op not in ("Clip", "Identity", "QuantizeLinear", "Retype"):
            return False
        self.wait.moved(node, inputs, node.attrs, shape, "reshaped")
        return True
