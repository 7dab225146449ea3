"""Cross-layer equalization: dot products behind each other share the ranges of their weights, channel by channel.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1:
with r1, r2 the largest weights of a channel on both sides, s = sqrt(r1 * r2) / r2 makes W1 / s and W2 * s equally large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.graph import Graph, origin_of
from hwcomp.passes.base import Pass, PassContext, constant, free_dot
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node

_SELECTS = ("Reshape", "Transpose", "ChannelShuffle", "Slice", "Identity")
_POOLS = ("MaxPool", "AveragePool")
_NONE = -1.0  # the label of an element that comes from elsewhere
_CONVERGED = 1e-4  # largest |log s| of a sweep that ends the iteration
_MOST_STEPS = 1000  # from a layer to its readers: keeps the pass linear on absurd graphs

Reader = tuple[Node, np.ndarray]  # a dot product, and which channel each of its weights reads (-1: none)


@graph_pass
@dataclass(frozen=True)
class Equalize(Pass):
    """Off unless asked for: it pays where uneven channels share one scale (dfp).

    What stands between two dot products must commute with a positive factor per channel: ReLU, pools, whatever only
    selects or joins elements. A ReLU6 or another limit other than zero does not, nor does a sum of two branches: such a
    layer keeps its range, and the report says so. All readers of a layer are scaled together. The bias counts as a weight,
    else a channel of tiny weights would grow one of any size.
    """

    name: ClassVar[str] = "equalize"
    kind: ClassVar[str] = "algebraic"
    enabled: bool = False
    sweeps: int = 100

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if self.sweeps < 1:
            raise UsageError(f"equalize.sweeps={self.sweeps}", fix="1 or more are needed")
        weights = _Weights(graph)
        links = []
        for node in graph.nodes:
            if free_dot(node):
                readers = _readers(graph, node)
                if isinstance(readers, str):
                    ctx.note(self.name, f"{node.op} '{origin_of(node)}' keeps its range: {readers}")
                else:
                    links.append((node, readers))
        sweeps, most = 0, np.inf if links else 0.0
        while most >= _CONVERGED and sweeps < self.sweeps:
            most = max(weights.balance(node, readers) for node, readers in links)
            sweeps += 1
        for node, readers in links:
            names = ", ".join(f"'{origin_of(r)}'" for r, _ in readers)
            factors = weights.total[node.outputs[0]]
            ctx.note(
                self.name, f"{node.op} '{origin_of(node)}' with {names}: factors {factors.min():.3g} to {factors.max():.3g}"
            )  # fmt: skip
        if links:
            ctx.note(self.name, f"{len(links)} layers, {sweeps} sweeps")
        return weights.done()


class _Weights:
    """Weights and biases of all dot products in float64, while factors move between them."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.weight: dict[str, np.ndarray] = {}
        self.bias: dict[str, np.ndarray] = {}
        self.total: dict[str, np.ndarray] = {}  # the factor that each channel of a layer was divided by
        for node in graph.nodes:
            if free_dot(node):
                y = node.outputs[0]
                self.weight[y] = graph.tensors[node.inputs[1]].data.astype(np.float64)
                bias = graph.tensors[node.inputs[2]].data if node.inputs[2] else np.zeros(len(self.weight[y]))
                self.bias[y] = bias.astype(np.float64)
                self.total[y] = np.ones(len(bias))
        self._touched: set[str] = set()

    def balance(self, node: Node, readers: list[Reader]) -> float:
        """One step of the paper's iteration; the largest |log s|."""
        y, count = node.outputs[0], len(self.bias[node.outputs[0]])
        r1 = np.maximum(np.abs(self.weight[y]).reshape(count, -1).max(axis=1), np.abs(self.bias[y]))
        r2 = np.zeros(count)
        for reader, channel in readers:
            alike = tuple(axis for axis, size in enumerate(channel.shape) if size == 1)
            largest = np.abs(self.weight[reader.outputs[0]]).max(axis=alike, keepdims=True)
            np.maximum.at(r2, channel[channel >= 0], largest[channel >= 0])
        live = (r1 > 0) & (r2 > 0)
        s = np.sqrt(np.where(live, r1, 1.0) / np.where(live, r2, 1.0))
        self.weight[y] /= s.reshape(-1, *[1] * (self.weight[y].ndim - 1))
        self.bias[y] /= s
        self.total[y] *= s
        self._touched.add(y)
        for reader, channel in readers:
            self.weight[reader.outputs[0]] *= np.where(channel >= 0, s[channel], 1.0)
            self._touched.add(reader.outputs[0])
        return float(np.abs(np.log(s)).max())

    def done(self) -> Graph:
        tensors, nodes = dict(self.graph.tensors), []
        for node in self.graph.nodes:
            y = node.outputs[0]
            if y in self._touched:
                weight = constant(tensors, f"{y}__weight", self.weight[y].astype(np.float32)).name
                bias = constant(tensors, f"{y}__bias", self.bias[y].astype(np.float32)).name if node.inputs[2] else ""
                node = node.with_(inputs=(node.inputs[0], weight, bias))
            nodes.append(node)
        return self.graph.rebuilt(nodes, tensors)


def _readers(graph: Graph, node: Node) -> list[Reader] | str:
    """All dot products that read `node`, or why its channels can't be scaled.

    The way is found by labels: a tensor of channel numbers that goes through the operators in between.
    """
    if not _passes(*(node.attrs.clamp or (None, None))):
        return f"its result is clipped to {list(node.attrs.clamp)}"
    shape = graph.tensors[node.outputs[0]].shape
    channels = np.arange(len(graph.tensors[node.inputs[1]].data), dtype=np.float32)
    labels = np.broadcast_to(channels[:, None, None] if node.op == "Conv" else channels, shape)
    found: list[Reader] = []
    ways = [(node.outputs[0], labels)]
    for _ in range(_MOST_STEPS):
        if not ways:
            return found or "nothing reads it"
        name, labels = ways.pop()
        if name in graph.outputs:
            return f"'{shown(name)}' is an output"
        for reader in {r.outputs[0]: r for r in graph.consumers(name)}.values():
            if free_dot(reader):
                channel = _channels(graph, reader, labels)
                if channel is None:
                    return f"{reader.op} '{origin_of(reader)}' reads its channels mixed"
                found.append((reader, channel))
                continue
            further = _through(graph, reader, name, labels)
            if further is None:
                return f"{reader.op} '{origin_of(reader)}' reads it"
            ways.append((reader.outputs[0], further))
    return "too many nodes read it"


def _passes(lo: float | None, hi: float | None) -> bool:
    return lo in (None, 0) and hi in (None, 0)


def _through(graph: Graph, node: Node, name: str, labels: np.ndarray) -> np.ndarray | None:
    """Labels of the node's result; None where it does not commute with factors per channel."""
    if node.op == "Clip":
        return labels if _passes(node.attrs.lo, node.attrs.hi) else None
    if node.op in _SELECTS:
        return OPS[node.op].evaluate(node, [labels])[0]
    if node.op in _POOLS:
        shape = graph.tensors[node.outputs[0]].shape
        return np.broadcast_to(labels[..., :1, :1], shape) if (labels == labels[..., :1, :1]).all() else None
    if node.op == "Concat":
        parts = [labels if n == name else np.full(graph.tensors[n].shape, _NONE, np.float32) for n in node.inputs]
        return OPS["Concat"].evaluate(node, parts)[0]
    return None


def _channels(graph: Graph, node: Node, labels: np.ndarray) -> np.ndarray | None:
    """int64, of a shape that broadcasts to the weights of `node`: the label that each is multiplied with."""
    if node.op == "Dense":
        first = labels.reshape(-1, labels.shape[-1])[:1]
        return first.astype(np.int64) if (labels == first[0]).all() else None
    if not (labels == labels[..., :1, :1]).all():
        return None
    rows, per = graph.tensors[node.inputs[1]].data.shape[:2]
    group = np.arange(rows) // (rows // node.attrs.groups)
    return labels[0, :, 0, 0].astype(np.int64)[group[:, None] * per + np.arange(per)][..., None, None]
