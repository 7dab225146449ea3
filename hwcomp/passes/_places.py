"""Weights of dot products by their place: [groups, rows, taps, channels], neighbours as they lie in memory."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._refit import by_channel
from hwcomp.types import Node


def places(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of a sample with each weight."""
    made = graph.tensors[node.outputs[0]].shape
    return math.prod(made[2:]) if node.op == "Conv" else math.prod(made[1:-1])


def shape(graph: Graph, node: Node) -> tuple[int, ...]:
    """(groups, rows, kernel rows, kernel columns, channels)."""
    weight = graph.tensors[node.inputs[1]].shape
    if node.op == "Dense":
        return 1, weight[0], 1, 1, weight[1]
    groups = node.attrs.groups
    return groups, weight[0] // groups, *weight[2:], weight[1]


def split(graph: Graph, node: Node, weight: np.ndarray) -> np.ndarray:
    """[G, rows, taps, channels] of weights as the node has them: neighbours in a window of a channels-last map."""
    groups, rows, high, wide, channels = shape(graph, node)
    if node.op == "Dense":
        near = by_channel(graph, node)  # features of maps: in memory all channels of a pixel come first
        return weight.reshape(rows, -1, near).swapaxes(1, 2).reshape(1, rows, 1, channels)
    return weight.reshape(groups, rows, channels, high * wide).swapaxes(2, 3)


def stored(graph: Graph, node: Node, values: np.ndarray) -> np.ndarray:
    """What `split` was given."""
    weight = graph.tensors[node.inputs[1]].shape
    if node.op == "Dense":
        return values.reshape(len(values[0]), by_channel(graph, node), -1).swapaxes(1, 2).reshape(weight)
    return values.swapaxes(2, 3).reshape(weight)
