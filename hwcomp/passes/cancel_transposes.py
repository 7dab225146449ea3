"""Transposes that exporters wrap around operators cancel; a channel shuffle becomes one node.

tf2onnx writes every Keras layer as Transpose (to channels first), the operator, Transpose back. Here a Transpose waits:
operators that do not care about the order of the axes work in front of it, until its inverse comes or somebody needs
the transposed values.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops.channelshuffle import ChannelShuffleAttrs
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.ops.transpose import TransposeAttrs
from hwcomp.passes._deferral import Deferral
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.registry import graph_pass
from hwcomp.types import Node, Tensor

Perm = tuple[int, ...]
_ANY_ORDER = {"Clip", "Identity", "QuantizeLinear", "Retype"}


@graph_pass
class CancelTransposes(Pass):
    """A Transpose in front of Reshape to a vector and Dense moves into the order of the weights.

    Transposes that do not cancel stay; where none does, the graph stays as it is.
    """

    name: ClassVar[str] = "cancel_transposes"
    kind: ClassVar[str] = "algebraic"  # another order of the weights is another order of the sum

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        graph = _shuffles(graph, self, ctx)
        before = _count(graph)
        if not before:
            return graph
        new = _Canceller(graph).run()
        if _count(new) >= before:
            return graph
        ctx.note(self.name, f"{before - _count(new)} of {before} Transposes are gone")
        return new


def _count(graph: Graph) -> int:
    return sum(n.op == "Transpose" for n in graph.nodes)


def _shuffles(graph: Graph, this: Pass, ctx: PassContext) -> Graph:
    """Reshape, Transpose, Reshape that only exchange channels of a feature map become ChannelShuffle."""
    dropped: set[str] = set()
    made: dict[str, Node] = {}
    for node in graph.nodes:
        first = graph.producer(node.inputs[0]) if node.op == "Transpose" else None
        last = graph.sole_consumer(node.outputs[0]) if first is not None and first.op == "Reshape" else None
        if last is None or last.op != "Reshape":
            continue
        x, y = (graph.tensors[n] for n in (first.inputs[0], last.outputs[0]))
        order = _channel_order(x.shape, graph.tensors[node.inputs[0]].shape, node.attrs.perm) if graph.batched else None
        if order is None or y.shape != x.shape:
            continue
        origin = (*first.origin, *node.origin, *last.origin)
        made[last.name] = Node("ChannelShuffle", last.name, (x.name,), (y.name,), ChannelShuffleAttrs(order), origin)
        dropped.add(node.name)
        if graph.sole_consumer(first.outputs[0]) is node:
            dropped.add(first.name)
        ctx.note(this.name, f"'{node.name}' and the reshapes around it are a channel shuffle")
    return graph.rebuilt(made.get(n.name, n) for n in graph.nodes if n.name not in dropped) if made else graph


def _channel_order(shape: tuple[int, ...], split: tuple[int, ...], perm: Perm) -> tuple[int, ...] | None:
    """The order of the channels of [1, C, H, W] = `shape`, seen as `split`, under `perm`; None where more moves."""
    if len(shape) != 4 or split[:1] != shape[:1] or perm[0] != 0:
        return None
    moved = max((i for i, axis in enumerate(perm) if i != axis), default=0)  # axes up to this one change places
    least = moved + 1
    if math.prod(split[1:least]) > shape[1]:
        return None
    while least < len(split) and math.prod(split[1:least]) < shape[1]:
        least += 1
    if math.prod(split[1:least]) != shape[1]:
        return None
    channels = np.arange(shape[1]).reshape(split[1:least])
    return tuple(channels.transpose([axis - 1 for axis in perm[1:least]]).ravel().tolist())


class _Canceller:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.wait = Deferral(graph, _made, "transposed")
        self._flat: dict[str, tuple[str, Perm, Node]] = {}  # a vector -> what it is, and of which order, the values of
        self._vectors: dict[str, str] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if not self._moved(node):
                for name in node.inputs:
                    self._unflatten(name)
                self.wait.keep(node)
        for name in self.graph.outputs:
            self._unflatten(name)
        return self.wait.done()

    def _moved(self, node: Node) -> bool:
        """Handle a node that need not see the transposed values; False where it must."""
        if node.op == "Dense":
            return self._dense(node)
        views = [self.wait.view(n) for n in self.graph.data_inputs(node)]
        perms = {how for _, how in views}
        if node.op == "Transpose":
            self.wait.defer(node, views[0][0], _composed(views[0][1], node.attrs.perm))
            return True
        if len(perms) != 1 or perms == {None}:
            return False
        perm: Perm = perms.pop()
        if node.op == "Reshape":
            return self._reshape(node, views[0][0], perm)
        attrs, inputs = node.attrs, tuple(source for source, _ in views)
        if node.op in ("Concat", "Slice"):
            attrs = replace(attrs, axis=perm[attrs.axis])
        elif node.op in ("Softmax", "LogSoftmax"):
            attrs = replace(attrs, axes=tuple(sorted(perm[axis] for axis in attrs.axes)))
        elif node.op == "BatchNormalization" and perm[1] == 1:
            inputs = (*inputs, *node.inputs[1:])
        elif node.op == "Add":
            shapes = [self.graph.tensors[n].shape for n in self.graph.data_inputs(node)]
            if len({len(s) for s in shapes}) > 1:
                return False
            if len(inputs) == 1:
                addend = self.graph.tensors[node.inputs[1]]
                if len(addend.shape) > len(perm):
                    return False
                inputs = (*inputs, self._constant(addend, perm))
        elif node.op not in _ANY_ORDER:
            return False
        self.wait.moved(node, inputs, attrs, _before(self.graph.tensors[node.outputs[0]].shape, perm), perm)
        return True

    def _constant(self, tensor: Tensor, perm: Perm) -> str:
        """The constant in the order that the values have in front of the Transpose."""
        data = tensor.data.reshape((1,) * (len(perm) - tensor.data.ndim) + tensor.data.shape)
        moved = np.ascontiguousarray(data.transpose(np.argsort(perm)))
        made = constant(self.wait.tensors, f"{tensor.name}__transposed", moved)
        if tensor.given is not None:
            given = tensor.given.moved(lambda a: a.reshape(data.shape).transpose(np.argsort(perm)))
            self.wait.tensors[made.name] = made.with_(given=given)
        return made.name

    def _reshape(self, node: Node, source: str, perm: Perm) -> bool:
        """Reshapes that only add or leave out axes of size 1, and those to a vector."""
        x, y = self.graph.tensors[node.inputs[0]].shape, self.graph.tensors[node.outputs[0]].shape
        ends = _renumbered(x, y, perm)
        if ends is not None:
            how = None if ends == tuple(range(len(ends))) else ends
            shape = _before(y, ends)
            self.wait.moved(node, (source,), ReshapeAttrs(shape), shape, how)
            return True
        if len(y) == 2 and self.graph.batched:
            self._flat[node.outputs[0]] = (source, perm, node)
            return True
        return False

    def _unflatten(self, name: str) -> None:
        """Make a vector whose making waits."""
        if name in self._flat:
            self.wait.keep(self._flat.pop(name)[2])

    def _dense(self, node: Node) -> bool:
        if node.inputs[0] not in self._flat:
            return False
        source, perm, reshape = self._flat[node.inputs[0]]
        shape, weight = self.wait.tensors[source].shape, self.graph.tensors[node.inputs[1]]
        order = np.arange(math.prod(shape)).reshape(shape).transpose(perm).ravel()
        back = np.argsort(order)
        w = constant(self.wait.tensors, f"{node.outputs[0]}__weight", np.ascontiguousarray(weight.data[:, back]))
        if weight.given is not None:
            self.wait.tensors[w.name] = w.with_(given=weight.given.moved(lambda a: a[:, back]))
        vector = self._vectors.get(node.inputs[0])
        if vector is None:
            y = self.graph.tensors[reshape.outputs[0]]
            vector = free_name(self.wait.tensors, f"{y.name}__transposed")
            self.wait.tensors[vector] = y.with_(name=vector)
            self._vectors[node.inputs[0]] = vector
            self.wait.nodes.append(
                reshape.with_(inputs=(source,), outputs=(vector,), name=f"{reshape.name}__transposed")
            )
        self.wait.nodes.append(node.with_(inputs=(vector, w.name, *node.inputs[2:])))
        return True


def _made(perm: Perm, tensor: Tensor) -> tuple[str, TransposeAttrs | ReshapeAttrs]:
    """A Transpose, or a Reshape where it moves no element."""
    source = _before(tensor.shape, perm)
    large = [axis for axis in perm if source[axis] != 1]
    if large == sorted(large):
        return "Reshape", ReshapeAttrs(tensor.shape)
    return "Transpose", TransposeAttrs(perm)


def _composed(first: Perm | None, then: Perm) -> Perm | None:
    perm = then if first is None else tuple(first[axis] for axis in then)
    return None if perm == tuple(range(len(perm))) else perm


def _before(shape: tuple[int, ...], perm: Perm) -> tuple[int, ...]:
    """The shape that `perm` turns into `shape`."""
    return tuple(shape[i] for i in np.argsort(perm))


def _renumbered(x: tuple[int, ...], y: tuple[int, ...], perm: Perm) -> Perm | None:
    """The order `p` such that Reshape(T(s, perm)) of shape `y` is T(Reshape(s), p), or None where values regroup.

    Axes above 1 keep their place in s; a new axis of size 1 goes in front of the axis that follows it in `y`.
    """
    large = [axis for axis, size in enumerate(x) if size != 1 and axis > 0]
    if [x[axis] for axis in large] != [size for size in y[1:] if size != 1] or x[:1] != y[:1] or perm[0] != 0:
        return None
    places: list[tuple[float, int]] = []  # (place in s, axis of y), from the last axis to the first
    nearest = float(len(perm))
    for axis in range(len(y) - 1, 0, -1):
        if y[axis] != 1:
            nearest = float(perm[large.pop()])
        places.append((nearest, axis))
    order = [0, *(axis for _, axis in sorted(places))]
    return tuple(int(i) for i in np.argsort(order))
