"""Relu and Clip become the clamp limits of the dot product in front of them, through max-pools and reshapes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node

_TAKES_CLAMP = {"Conv", "Dense"}


@graph_pass
class FuseActivation(Pass):
    """Clip(MaxPool(x)) = MaxPool(Clip(x)) exactly, because a clip is monotone: so one clamp at the dot product serves.

    A clip behind a clip intersects. Only where every tensor on the way has a single reader.
    """

    name: ClassVar[str] = "fuse_activation"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        for clip in graph.nodes:
            if clip.op != "Clip":
                continue
            path = self._path(graph, clip)
            if path is not None:
                graph = _fuse(graph, clip, path)
                ctx.note(self.name, f"Clip '{clip.name}' is the output range of {path[-1].op} '{path[-1].name}'")
        return graph

    def _path(self, graph: Graph, clip: Node) -> list[Node] | None:
        """Nodes from the clip's producer back to a node that takes the clamp, or None."""
        path, reader = [], clip
        while True:
            node = graph.producer(reader.inputs[0])
            if node is None or graph.sole_consumer(node.outputs[0]) is not reader:
                return None
            path.append(node)
            if node.op in _TAKES_CLAMP or node.op == "Clip":
                return path
            if not OPS[node.op].keeps_type:
                return None
            reader = node


def _fuse(graph: Graph, clip: Node, path: list[Node]) -> Graph:
    head = path[-1]
    dot = head.op in _TAKES_CLAMP
    old = head.attrs.clamp if dot else (head.attrs.lo, head.attrs.hi)
    lo, hi = intersect(old, (clip.attrs.lo, clip.attrs.hi))
    attrs = replace(head.attrs, clamp=(lo, hi)) if dot else replace(head.attrs, lo=lo, hi=hi)
    # The tensor in front of the clip takes the clip's name. Tensors further up now hold clipped values, which no ONNX
    # value names: they get an inserted name.
    rename = {path[0].outputs[0]: clip.outputs[0]}
    rename |= {node.outputs[0]: f"{node.outputs[0]}__clamp" for node in path[1:]}
    tensors = dict(graph.tensors)
    for before, after in rename.items():
        tensors[after] = tensors[before].with_(name=after)
    nodes = []
    for node in graph.nodes:
        if node is clip:
            continue
        if node is head:
            node = node.with_(attrs=attrs, origin=(*head.origin, *clip.origin))
        elif not any(node is step for step in path):
            nodes.append(node)
            continue
        inputs = tuple(rename.get(n, n) for n in node.inputs)
        nodes.append(node.with_(inputs=inputs, outputs=tuple(rename.get(n, n) for n in node.outputs)))
    return graph.rebuilt(nodes, tensors)


def intersect(a, b) -> tuple[float | None, float | None]:
    """Clip by `a`, then by `b`, as one clip; None is an absent bound."""
    (alo, ahi), (blo, bhi) = a or (None, None), b
    if ahi is not None and blo is not None and ahi < blo:
        return blo, blo
    if alo is not None and bhi is not None and alo > bhi:
        return bhi, bhi
    los = [v for v in (alo, blo) if v is not None]
    his = [v for v in (ahi, bhi) if v is not None]
    return max(los, default=None), min(his, default=None)
