"""Pad becomes the padding of the convolution or pool behind it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Graph, origin_of
from hwcomp.ops._window import Window, window_in_padding
from hwcomp.ops.averagepool import AveragePoolAttrs
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node


@graph_pass
class FusePad(Pass):
    """Zeros in front of a Conv. Values below all others, or zeros under values that are never negative, in front of a
    MaxPool. Zeros in front of an AveragePool whose own padding then means the same.

    Values below all others that no MaxPool takes in are refused: no type holds them beside the others.
    """

    name: ClassVar[str] = "fuse_pad"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if not any(n.op == "Pad" for n in graph.nodes):
            return graph
        least = _least(graph)
        nodes: list[Node] = []
        taken: dict[str, int] = {}  # the output of a Pad -> readers that no longer read it
        for node in graph.nodes:
            pad = graph.producer(node.inputs[0]) if node.inputs else None
            attrs = _fused(graph, pad, node, least) if pad is not None and pad.op == "Pad" else None
            if attrs is None:
                nodes.append(node)
                continue
            inputs = (pad.inputs[0], *node.inputs[1:])
            nodes.append(node.with_(inputs=inputs, attrs=attrs, origin=(*node.origin, *pad.origin)))
            taken[pad.outputs[0]] = taken.get(pad.outputs[0], 0) + 1
            ctx.note(self.name, f"Pad '{pad.name}' is padding of {node.op} '{node.name}'")
        kept = [n for n in nodes if n.op != "Pad" or not _unread(graph, n.outputs[0], taken)]
        for node in kept:
            if node.op == "Pad" and node.attrs.value != 0:
                why = "only a MaxPool behind it whose windows all see other values can take it in"
                raise UnsupportedError("Pad with values below all others", node=origin_of(node), why=why)
        return graph.rebuilt(kept)


def _unread(graph: Graph, name: str, taken: dict[str, int]) -> bool:
    return name in taken and name not in graph.outputs and taken[name] == len(graph.consumers(name))


def _least(graph: Graph) -> dict[str, float]:
    """A lower bound of every tensor that holds whatever the inputs are."""
    ranges: dict[str, tuple[float, float]] = {}
    for node in graph.nodes:
        given = [ranges.get(n, (-math.inf, math.inf)) if n else None for n in node.inputs]
        ranges[node.outputs[0]] = OPS[node.op].interval(node, given, graph)
    return {name: low for name, (low, _) in ranges.items()}


def _fused(graph: Graph, pad: Node, node: Node, least: dict[str, float]):
    """The attributes of `node` with the padding of `pad` taken in, or None where that would not be the same."""
    if node.op not in ("Conv", "MaxPool", "AveragePool"):
        return None
    pads = tuple(a + b for a, b in zip(pad.attrs.pads, node.attrs.pads, strict=True))
    if node.op == "Conv":
        return replace(node.attrs, pads=pads) if pad.attrs.value == 0 else None
    if node.op == "AveragePool":
        return _average(node.attrs, pads) if pad.attrs.value == 0 else None
    a, source = node.attrs, graph.tensors[pad.inputs[0]]
    if pad.attrs.value == 0 and not least.get(source.name, -math.inf) >= 0:
        return None
    merged = replace(a, pads=pads)
    size = source.shape[2:]
    out = Window(a.kernel, a.strides, a.dilations, pads).out_sizes(size)
    return None if window_in_padding(merged, size, out) else merged


def _average(a: AveragePoolAttrs, pads: tuple[int, int, int, int]) -> AveragePoolAttrs | None:
    """The zeros of the Pad count in every divisor; the pool's own padding, where it does not, must come last."""
    if a.count_include_pad:
        return replace(a, pads=pads)
    top, left, bottom, right = a.pads
    return None if top or left else replace(a, pads=pads, count_include_pad=True, beyond=(bottom, right))
