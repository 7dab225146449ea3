"""A dot product as a chain of smaller ones in the graph: shapes, strides, pads, and the constants that keep the mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops._window import out_size
from hwcomp.passes._costs import spent
from hwcomp.passes._moments import Moments
from hwcomp.passes.base import constant, free_dot, free_name
from hwcomp.quantize.low_rank_fit import FORMS, Chain, order
from hwcomp.quantize.rounding import damped
from hwcomp.types import Node, Tensor

_NONE = (0, 0, 0, 0)


def possible(node: Node, graph: Graph) -> bool:
    if not free_dot(node):
        return False
    weight = graph.tensors[node.inputs[1]]
    return weight.data is not None and weight.given is None and (node.op == "Dense" or node.attrs.groups == 1)


def window(node: Node, tensors: dict[str, Tensor]) -> tuple[int, ...]:
    """(C, KH, KW), or (C,) of a dense layer."""
    return tensors[node.inputs[1]].shape[1:]


def forms(node: Node, tensors: dict[str, Tensor], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `wanted` that differ for this layer's kernel and whose pads an inner layer can have."""
    if node.op == "Dense" or window(node, tensors)[1:] == (1, 1):
        return tuple(f for f in wanted if f == "svd")
    high, wide = (k > 1 for k in window(node, tensors)[1:])
    top, left, bottom, right = node.attrs.pads
    inner = {"rows": (left, right), "columns": (top, bottom), "channels": node.attrs.pads, "tucker": node.attrs.pads}
    found = [f for f in wanted if f not in ("rows", "columns") or (high and wide)]
    return tuple(f for f in found if node.attrs.pad_value == 0 or not any(inner.get(f, ())))


@dataclass(frozen=True)
class _Link:
    """A layer of a chain: shape of its weights, attributes, shape of its result."""

    weight: tuple[int, ...]
    attrs: object
    result: tuple[int, ...]


def _links(node: Node, tensors: dict[str, Tensor], form: str, ranks: tuple[int, ...]) -> list[_Link]:
    y, m = tensors[node.outputs[0]].shape, tensors[node.inputs[1]].shape[0]
    inner = replace(node.attrs, clamp=None)
    if node.op == "Dense":
        (rank,), k = ranks, tensors[node.inputs[1]].shape[1]
        return [_Link((rank, k), inner, (*y[:-1], rank)), _Link((m, rank), node.attrs, y)]
    (channels, *kernel), seen = window(node, tensors), FORMS[form]
    # A direction belongs to the layer whose kernel reaches along it; one along which none does, to the first.
    mine = tuple(axis in seen or k == 1 for axis, k in zip((1, 2), kernel, strict=True))
    first = _along(inner, mine)
    behind = _along(inner, tuple(not a for a in mine))
    shapes = [(ranks[0], channels, *(k if a else 1 for k, a in zip(kernel, mine, strict=True)))]
    shapes += [
        (ranks[1] if form == "tucker" else m, ranks[0], *(1 if a else k for k, a in zip(kernel, mine, strict=True)))
    ]
    attrs = [first, behind]
    if form == "tucker":
        shapes.append((m, ranks[1], 1, 1))
        attrs.append(_along(inner, (False, False)))
    attrs[-1] = replace(attrs[-1], clamp=node.attrs.clamp)
    size, links = tensors[node.inputs[0]].shape[2:], []
    for shape, a in zip(shapes, attrs, strict=True):
        size = out_size(node, size, shape[2:], a, shape[1])
        links.append(_Link(shape, a, (y[0], shape[0], *size)))
    return links


def _along(attrs, directions: tuple[bool, bool]):
    """Attributes of a convolution in some directions only: in others it neither steps nor pads."""
    strides, dilations = (
        tuple(v if a else 1 for v, a in zip(values, directions, strict=True))
        for values in (attrs.strides, attrs.dilations)
    )
    pads = tuple(v if a else 0 for v, a in zip(attrs.pads, (*directions, *directions), strict=True))
    return replace(
        attrs, strides=strides, dilations=dilations, pads=pads, pad_value=attrs.pad_value if any(pads) else 0.0
    )


def price(node: Node, graph: Graph, form: str, ranks: tuple[int, ...], of: str) -> int:
    """What the chain costs; () is the layer itself."""
    if not ranks:
        return spent([node], graph, of)
    tensors, nodes = {}, []
    for i, link in enumerate(_links(node, graph.tensors, form, ranks)):
        tensors |= {f"w{i}": Tensor(f"w{i}", link.weight), f"y{i}": Tensor(f"y{i}", link.result)}
        bias = "b" if node.inputs[2] or i == 0 else ""
        nodes.append(Node(node.op, f"{i}", (f"y{i - 1}", f"w{i}", bias), (f"y{i}",), link.attrs, node.origin))
    return spent(nodes, replace(graph, tensors={**tensors, "y-1": graph.tensors[node.inputs[0]]}), of)


def chained(
    node: Node, tensors: dict[str, Tensor], form: str, chain: Chain, m: Moments, bias: np.ndarray, guided: bool
) -> list[Node]:
    """The nodes in place of `node`; `tensors` gets their constants and results.

    What lies between has mean 0, where it isn't padded, and variance 1, so that one scale fits all its channels. `guided`: the
    mean of the results stays `bias` plus what the layer's own weights make of the mean input, whatever the chain loses; else
    the chain's weights alone say what it gives.
    """
    rank, size = chain.first.shape
    places = order(window(node, tensors), form)
    mean = m.mean[0, 0][places]  # [B, A]
    links = _links(node, tensors, form, (rank,) if chain.last is None else (rank, len(chain.behind)))
    centre = np.zeros(size) if any(getattr(links[1].attrs, "pads", ())) else mean.mean(axis=0)
    gram = damped(m.gram)[0][np.ix_(places.ravel(), places.ravel())].reshape(*places.shape, *places.shape)
    away = mean - centre
    second = (np.einsum("bibj->ij", gram) + away.T @ away) / len(places)
    lower = np.linalg.cholesky(damped((chain.first @ second @ chain.first.T)[None])[0])
    first, behind = np.linalg.solve(lower, chain.first), chain.behind @ lower
    shift, between = -first @ centre, away @ first.T  # between [B, r]: mean of what the first layer gives
    given = np.einsum("mbr,br->m", behind, between)
    plain = np.einsum("mbr,r->m", behind, shift)
    parts = [(first, shift)]
    if chain.last is not None:
        parts.append((behind, -given))
        given, plain, behind = np.zeros(len(chain.last)), chain.last @ (plain - given), chain.last
    parts.append((behind, bias - (given if guided else plain)))
    return _made(node, tensors, links, parts)


def _made(node: Node, tensors: dict[str, Tensor], links: list[_Link], parts) -> list[Node]:
    nodes, source, out = [], node.inputs[0], node.outputs[0]
    for i, (link, (weight, bias)) in enumerate(zip(links, parts, strict=True)):
        place = ("first", "second", "third")[i]
        if weight.ndim == 3:  # [M, B, r]
            weight = weight.transpose(0, 2, 1)
        names = [
            constant(tensors, f"{out}__{place}{what}", a.astype(np.float32)).name
            for what, a in (("", weight.reshape(link.weight)), ("_bias", bias))
        ]
        last = i == len(links) - 1
        made = out if last else free_name(tensors, f"{out}__rank")
        if not last:
            tensors[made] = Tensor(made, link.result)
        nodes.append(
            node.with_(name=node.name if last else made, inputs=(source, *names), outputs=(made,), attrs=link.attrs)
        )
        source = made
    return nodes
