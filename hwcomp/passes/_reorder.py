"""Another order of channels, carried through all layers that they reach: the same function, at no cost when it runs.

Units (passes._units) that appear in the same places of every tensor, but for a shift, can stand for each other: rows of the
layers that make them, columns of those that read them and constants per channel in between change places.
"""

from __future__ import annotations

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._units import Units, base_of
from hwcomp.passes.base import DOT, constant
from hwcomp.types import Node, Tensor


class Channels:
    """`units` of a float graph, and `classes`: the sets of those that can change places, int64 [n >= 2] each, ascending."""

    def __init__(self, graph: Graph):
        units = Units(graph)
        self.units = Units(graph, _bound(graph, units))
        self.count = 1 + max(int(a.max()) for a in self.units.of.values())
        found: dict[tuple, list[int]] = {}
        for unit, places in self._places().items():
            found.setdefault(tuple(places), []).append(unit)
        self.classes = [np.array(sorted(c), np.int64) for c in found.values() if len(c) > 1]

    def _places(self) -> dict[int, list]:
        """By free unit: [(tensor, its places less the first one)]."""
        u = self.units
        found: dict[int, list] = {int(unit): [] for unit in u.free}
        views = [base_of(a) for a in u.of.values()] + [*u.rows.values(), *u.columns.values()]
        for number, view in enumerate(views):
            flat = view.ravel()
            order = np.argsort(flat, kind="stable")
            names, starts = np.unique(flat[order], return_index=True)
            for name, places in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
                if name in found:
                    found[name].append((number, (places - places[0]).tobytes()))
        return found

    def moves(self, members: np.ndarray, order: np.ndarray) -> np.ndarray:
        """int64: the unit that comes to each unit's places when member i of a class gives way to member order[i]."""
        to = np.arange(self.count)
        to[members] = members[order]
        return to

    def reordered(self, graph: Graph, to: np.ndarray) -> Graph:
        """`graph`, the one of __init__ or another order of it, with its units moved."""
        tensors = dict(graph.tensors)
        return graph.rebuilt([self._changed(n, set(graph.data_inputs(n)), to, tensors) for n in graph.nodes], tensors)

    def _changed(self, node: Node, data: set[str], to: np.ndarray, tensors: dict[str, Tensor]) -> Node:
        u = self.units

        def take(name: str, source: np.ndarray, axis: int) -> str:
            if (source == np.arange(len(source))).all():
                return name
            return constant(tensors, f"{name}__ordered", np.take(tensors[name].data, source, axis=axis)).name

        if node.op in DOT:
            rows, weight = source(u.rows[node.outputs[0]], to), node.inputs[1]
            weight = take(weight, rows, 0)
            columns = u.columns.get(node.outputs[0])
            if columns is not None and (node.op == "Dense" or tensors[weight].shape[1] > 1):
                weight = take(weight, source(columns, to)[: tensors[weight].shape[1]], 1)
            return node.with_(
                inputs=(node.inputs[0], weight, *(take(n, rows, 0) if n else "" for n in node.inputs[2:]))
            )
        if node.op == "BatchNormalization":
            channels = source(_planes(u.of[node.outputs[0]]), to)
            return node.with_(inputs=(node.inputs[0], *(take(n, channels, 0) for n in node.inputs[1:])))
        if (
            len(node.outputs) != 1
            or not any(n and n not in data for n in node.inputs)
            or _still(u.of[node.outputs[0]], to)
        ):
            return node
        shape = u.of[node.outputs[0]].shape
        moved = source(np.ascontiguousarray(u.of[node.outputs[0]]).ravel(), to)
        return node.with_(
            inputs=tuple(n if not n or n in data else _moved(n, shape, moved, tensors) for n in node.inputs)
        )


def source(units: np.ndarray, to: np.ndarray) -> np.ndarray:
    """int64 [n]: where what comes to each place was, for places of `units` [n] that give way to to[unit]."""
    order = np.argsort(units, kind="stable")
    ranked = units[order]
    nth = np.empty(len(units), np.int64)
    nth[order] = np.arange(len(units)) - np.searchsorted(ranked, ranked)
    return order[np.searchsorted(ranked, to[units]) + nth]


def _bound(graph: Graph, units: Units) -> np.ndarray:
    """Units that stay besides: integers that the model states, and affine functions per channel of what has no planes."""
    stay = [np.empty(0, np.int64)]
    for node in graph.nodes:
        out = node.outputs[0]
        if node.op in DOT and (
            graph.tensors[node.inputs[1]].given is not None or graph.tensors[node.inputs[1]].qtype is not None
        ):
            stay += [units.rows[out], units.columns.get(out, stay[0])]
        elif node.op == "BatchNormalization":
            planes = _planes(units.of[out])
            if not (units.of[out] == planes.reshape(1, -1, *[1] * (units.of[out].ndim - 2))).all():
                stay.append(units.of[out].ravel())
    return np.unique(np.concatenate(stay))


def _planes(units: np.ndarray) -> np.ndarray:
    return units[(slice(0, 1), slice(None), *[slice(0, 1)] * (units.ndim - 2))].ravel()


def _still(units: np.ndarray, to: np.ndarray) -> bool:
    base = np.unique(base_of(units))
    return bool((to[base] == base).all())


def _moved(name: str, shape: tuple[int, ...], moved: np.ndarray, tensors: dict[str, Tensor]) -> str:
    """A constant that broadcasts to `shape`, with its elements where `moved` says; as small as it was where that is possible."""
    old = tensors[name].data
    whole = np.broadcast_to(old, shape).ravel()[moved].reshape(shape)
    one = (1,) * (len(shape) - old.ndim) + old.shape
    small = whole[tuple(slice(0, 1) if n == 1 else slice(None) for n in one)]
    same = (np.broadcast_to(small, shape) == whole).all()
    return constant(tensors, f"{name}__ordered", (small.reshape(old.shape) if same else whole).copy()).name
