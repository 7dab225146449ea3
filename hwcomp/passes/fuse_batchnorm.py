"""BatchNormalization into a neighbouring dot product, in float, before quantization.

Behind a Conv or Dense, also through what only moves elements: weights and bias are scaled per output channel. In front
of one (and nowhere else read): per input channel; not in front of a padded convolution, where the padding is zero behind
the normalization but the folded weights would see the zero in front of it (docs/numerics.md, "Zero points and padding").
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from hwcomp.graph import Editor, Graph
from hwcomp.ops.batchnormalization import affine_of
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Given, Node

_DOT_RANK = {"Conv": 4, "Dense": 2}  # rank at which a dot product's channels are on BatchNormalization's axis 1

# What only moves elements: the blocks of a transposed convolution or of a DepthToSpace, the map of a decoder's first layer.
_MOVES = {"Identity", "Repeat", "Reshape", "Slice", "Transpose"}
_LONGEST_PATH = 64  # moves: keeps the pass linear on absurd chains
_FOLLOWED = 1 << 24  # elements of a tensor whose moves are followed


@graph_pass
class FuseBatchnorm(Pass):
    name: ClassVar[str] = "fuse_batchnorm"
    kind: ClassVar[str] = "algebraic"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            if node.op == "BatchNormalization" and not self._behind(edit, i, ctx):
                self._in_front(edit, i, ctx)
        return edit.done()

    def _behind(self, edit: Editor, i: int, ctx: PassContext) -> bool:
        bn, path = edit.nodes[i], _path(edit, i)
        if not path:
            return False
        *moves, index = path
        dot = edit.nodes[index]
        rank = len(edit.tensors[dot.outputs[0]].shape)
        if _DOT_RANK.get(dot.op) != rank or dot.attrs.clamp is not None:
            return False
        gain, shift = affine_of(bn, edit.graph)
        gamma = np.abs(edit.tensors[bn.inputs[1]].data.astype(np.float64))
        weight, bias = _weights(edit, dot)
        if moves:
            channel = _channels(edit, moves, dot.outputs[0])
            if channel is None:
                return False
            gain, shift, gamma = (np.append(a, end)[channel] for a, end in ((gain, 1.0), (shift, 0.0), (gamma, 0.0)))
        column = gain.reshape(-1, *[1] * (weight.ndim - 1))
        given = edit.tensors[dot.inputs[1]].given
        given = given.times(column) if given is not None else None
        edit.put(i, None)
        merged = dot.with_(outputs=_renamed(edit, moves, dot, bn), origin=(*dot.origin, *bn.origin))
        ctx.gamma[_put(edit, index, merged, weight * column, bias * gain + shift, given)] = gamma
        ctx.note(self.name, f"BatchNormalization '{bn.name}' is folded into {dot.op} '{dot.name}' in front of it")
        return True

    def _in_front(self, edit: Editor, i: int, ctx: PassContext) -> bool:
        bn = edit.nodes[i]
        index = edit.sole_consumer(bn.outputs[0])
        rank = len(edit.tensors[bn.inputs[0]].shape)
        if index is None or _DOT_RANK.get(edit.nodes[index].op) != rank:
            return False
        dot = edit.nodes[index]
        if dot.op == "Conv" and any(dot.attrs.pads):
            ctx.note(self.name, f"BatchNormalization '{bn.name}' stays: Conv '{dot.name}' behind it pads")
            return False
        gain, shift = affine_of(bn, edit.graph)
        weight, bias = _weights(edit, dot)
        groups = dot.attrs.groups if dot.op == "Conv" else 1
        per = weight.shape[1]
        # Input channel of weight[m, c]: the group of m, times the channels of a group, plus c.
        channel = (np.arange(weight.shape[0]) // (weight.shape[0] // groups))[:, None] * per + np.arange(per)
        row = gain[channel].reshape(*channel.shape, *[1] * (weight.ndim - 2))
        moved = shift[channel].reshape(row.shape)
        total = bias + (weight * moved).sum(axis=tuple(range(1, weight.ndim)))
        edit.put(i, None)
        merged = dot.with_(inputs=(bn.inputs[0], *dot.inputs[1:]), origin=(*bn.origin, *dot.origin))
        _put(edit, index, merged, weight * row, total)
        ctx.note(self.name, f"BatchNormalization '{bn.name}' is folded into {dot.op} '{dot.name}' behind it")
        return True


def _path(edit: Editor, i: int) -> list[int]:
    """Nodes from the producer of node `i`'s input back to one that is no move; empty where a tensor has other readers."""
    path, reader = [], i
    while len(path) < _LONGEST_PATH:
        source = edit.nodes[reader].inputs[0]
        reader, only = edit.producer(source), edit.sole_consumer(source) == reader
        if reader is None or not only:
            return []
        path.append(reader)
        if edit.nodes[reader].op not in _MOVES:
            return path
    return []


def _channels(edit: Editor, moves: list[int], source: str) -> np.ndarray | None:
    """Which channel behind the moves (the last one first) each channel of `source` becomes a part of; -1: cut off.

    None where one becomes a part of several.
    """
    shape = edit.tensors[source].shape
    if math.prod(shape) > _FOLLOWED:
        return None
    held = np.broadcast_to(np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2)), shape)
    for index in reversed(moves):
        held = OPS[edit.nodes[index].op].evaluate(edit.nodes[index], [held])[0]
    if held.ndim < 2:
        return None
    target = np.broadcast_to(np.arange(held.shape[1]).reshape(1, -1, *[1] * (held.ndim - 2)), held.shape)
    found = np.full(shape[1], -1)
    found[held.ravel()] = target.ravel()
    return found if (found[held] == target).all() else None


def _renamed(edit: Editor, moves: list[int], dot: Node, bn: Node) -> tuple[str, ...]:
    """The moves on normalized values: the last one has the name of the result, the others new ones; those of `dot`."""
    names = {bn.inputs[0]: bn.outputs[0]}
    for index in moves:
        inner = edit.nodes[index].inputs[0]
        names[inner] = free_name(edit.tensors, f"{inner}__normalized")
        edit.tensors[names[inner]] = edit.tensors[inner].with_(name=names[inner])
    for index in moves:
        node = edit.nodes[index]
        edit.put(index, node.with_(inputs=(names[node.inputs[0]],), outputs=(names[node.outputs[0]],)))
    return (names[dot.outputs[0]],)


def _weights(edit: Editor, dot: Node) -> tuple[np.ndarray, np.ndarray]:
    weight = edit.tensors[dot.inputs[1]].data.astype(np.float64)
    bias = edit.tensors[dot.inputs[2]].data.astype(np.float64) if dot.inputs[2] else np.zeros(weight.shape[0])
    return weight, bias


def _put(
    edit: Editor, index: int, merged: Node, weight: np.ndarray, bias: np.ndarray, given: Given | None = None
) -> str:
    """The new weights' name."""
    w = constant(edit.tensors, f"{merged.outputs[0]}__weight", weight.astype(np.float32))
    edit.tensors[w.name] = w.with_(given=given)
    b = constant(edit.tensors, f"{merged.outputs[0]}__bias", bias.astype(np.float32))
    edit.put(index, merged.with_(inputs=(merged.inputs[0], w.name, b.name)))
    return w.name
