"""Relu and Clip become the clamp limits of the dot product, sum or product in front of them, through max-pools and reshapes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from hwcomp.graph import Editor, Graph
from hwcomp.passes.base import Pass, PassContext, free_name
from hwcomp.registry import OPS, graph_pass

TAKES_CLAMP = {"Add", "Conv", "Dense", "MatrixProduct", "Mul", "Sub"}
_LONGEST_PATH = 64  # nodes between a dot product and its clip: keeps the pass linear on absurd chains


@graph_pass
class FuseActivation(Pass):
    """Clip(MaxPool(x)) = MaxPool(Clip(x)) exactly, because a clip is monotone: so one clamp at the dot product serves.

    A clip behind a clip intersects. Only where every tensor on the way has a single reader.
    """

    name: ClassVar[str] = "fuse_activation"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, clip in enumerate(graph.nodes):
            if clip.op == "Clip" and (path := _path(edit, i)):
                head = edit.nodes[path[-1]]
                _fuse(edit, i, path)
                ctx.note(self.name, f"Clip '{clip.name}' is the output range of {head.op} '{head.name}'")
        return edit.done()


def _path(edit: Editor, i: int) -> list[int]:
    """Nodes from the clip's producer back to a node that takes the clamp; empty where there is none."""
    path, reader = [], i
    while len(path) < _LONGEST_PATH:
        source = edit.nodes[reader].inputs[0]
        index = edit.producer(source)
        if index is None or edit.sole_consumer(source) != reader:
            return []
        path.append(index)
        node = edit.nodes[index]
        if node.op in TAKES_CLAMP or node.op == "Clip":
            return path
        if not OPS[node.op].keeps_type:
            return []
        reader = index
    return []


def _fuse(edit: Editor, i: int, path: list[int]) -> None:
    clip, head = edit.nodes[i], edit.nodes[path[-1]]
    dot = head.op in TAKES_CLAMP
    old = head.attrs.clamp if dot else (head.attrs.lo, head.attrs.hi)
    lo, hi = intersect(old, (clip.attrs.lo, clip.attrs.hi))
    attrs = replace(head.attrs, clamp=(lo, hi)) if dot else replace(head.attrs, lo=lo, hi=hi)
    # The tensor in front of the clip takes the clip's name. Tensors further up now hold clipped values, which no ONNX
    # value names: they get an inserted name.
    rename = {clip.inputs[0]: clip.outputs[0]}
    for p in path[1:]:
        inner = edit.nodes[p].outputs[0]
        rename[inner] = free_name(edit.tensors, f"{inner}__clamp")
    for before, after in rename.items():
        edit.tensors[after] = edit.tensors[before].with_(name=after)
    edit.put(i, None)
    for p in path:
        node = edit.nodes[p]
        if p == path[-1]:
            node = node.with_(attrs=attrs, origin=(*head.origin, *clip.origin))
        inputs = tuple(rename.get(n, n) for n in node.inputs)
        edit.put(p, node.with_(inputs=inputs, outputs=tuple(rename.get(n, n) for n in node.outputs)))


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
