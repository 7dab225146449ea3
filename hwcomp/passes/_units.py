"""Units: the channels that vanish together when one of them does, through every layer that they reach.

Every element of every tensor carries the number of a unit. Dot products make new ones, a row of weights each; a depthwise
convolution hands on those that it reads; elementwise operators on two tensors join theirs; whatever selects, orders or
pools elements carries them along. What the graph gives and takes stays, and so does what an operator reads whose work
depends on the place of its channels. Source: Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, with
elements for its dependency groups.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops._unary import Unary
from hwcomp.passes.base import DOT, constant
from hwcomp.registry import OPS
from hwcomp.types import Node

_SELECTS = ("Reshape", "Transpose", "ChannelShuffle", "Slice", "Identity", "Concat", "Repeat")
_OF_PLANES = ("MaxPool", "AveragePool", "Pad")
_ELEMENTWISE = ("Add", "Sub", "Mul", "Clip", "BatchNormalization")


class Mixed(Exception):  # noqa: N818 (it reads as a sentence)
    """Without these units a tensor would not be a block any more: one of them has to stay."""

    def __init__(self, units: np.ndarray):
        super().__init__(f"{len(units)} units")
        self.units = units


class Units:
    """`of`: int64 units of each tensor that is no constant, in its shape. `rows`: those of the weight rows of each dot
    product, by the name of its output; `columns`: of the channels that it reads, [C] or the features of a Dense layer, where
    these are planes. `free`: units that may go, ascending. `fixed`: units that stay besides."""

    def __init__(self, graph: Graph, fixed: np.ndarray | None = None):
        self.graph = graph
        self.of: dict[str, np.ndarray] = {}
        self.rows: dict[str, np.ndarray] = {}
        self.columns: dict[str, np.ndarray] = {}
        self._parent: list[int] = []
        self._stay: list[int] = []
        for name in graph.inputs:
            self._opaque(name)
        for node in graph.nodes:
            self._follow(node)
        for name in graph.outputs:
            self._keep(self.of[name])
        root = np.array([self._root(u) for u in range(len(self._parent))], np.int64)
        self.of = {name: _looked_up(root, units) for name, units in self.of.items()}
        self.rows = {name: root[units] for name, units in self.rows.items()}
        self.columns = {name: root[units] for name, units in self.columns.items()}
        stay = {*root[self._stay], *(() if fixed is None else root[fixed])}
        made = {int(u) for units in self.rows.values() for u in units}
        self.free = np.array(sorted(made - stay), np.int64)

    def _fresh(self, count: int) -> np.ndarray:
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _root(self, unit: int) -> int:
        while self._parent[unit] != unit:
            self._parent[unit] = unit = self._parent[self._parent[unit]]
        return unit

    def _join(self, a: np.ndarray, b: np.ndarray) -> None:
        for x, y in np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T.tolist():
            low, high = sorted((self._root(x), self._root(y)))
            self._parent[high] = low

    def _keep(self, units: np.ndarray) -> None:
        self._stay.extend(np.unique(units).tolist())

    def _opaque(self, name: str) -> None:
        self.of[name] = np.broadcast_to(self._fresh(1), self.graph.tensors[name].shape)
        self._keep(self.of[name])

    def _planes(self, name: str) -> np.ndarray | None:
        """[channels] of a tensor [N, C, ..] all of whose channels are one unit; None, and they stay, where they are not."""
        units = self.of[name]
        first = units[:1, :, *[slice(0, 1)] * (units.ndim - 2)]
        if units.ndim >= 2 and (units == first).all():
            return first.reshape(-1)
        self._keep(units)
        return None

    def _follow(self, node: Node) -> None:
        out, shape = node.outputs[0], self.graph.tensors[node.outputs[0]].shape
        data = self.graph.data_inputs(node)
        known = len(node.outputs) == 1 and bool(data)
        if known and node.op in DOT and data == [node.inputs[0]]:
            units = self._dot(node)
        elif known and node.op in _SELECTS and data == list(node.inputs) and getattr(node.attrs, "step", 1) == 1:
            units = OPS[node.op].evaluate(node, [self.of[n] for n in data])[0]
        elif known and node.op in _OF_PLANES and len(data) == 1 and len(shape) >= 2:
            planes = self._planes(data[0])
            same = planes is not None and len(planes) == shape[1]
            units = planes.reshape(1, -1, *[1] * (len(shape) - 2)) if same else None
        elif known and (node.op in _ELEMENTWISE or isinstance(OPS[node.op], Unary)):
            units = self._elementwise(data)
        else:
            units = None
        if units is None or units.size > np.prod(shape):
            for name in data:
                self._keep(self.of[name])
            for name in node.outputs:
                self._opaque(name)
        else:
            self.of[out] = np.broadcast_to(units, shape)

    def _elementwise(self, data: list[str]) -> np.ndarray:
        both = np.broadcast_arrays(*(self.of[n] for n in data))
        for other in both[1:]:
            self._join(both[0], other)
        return both[0]

    def _dot(self, node: Node) -> np.ndarray:
        """The units of the result, one for each row of the weights."""
        weight = self.graph.tensors[node.inputs[1]].data
        if node.op == "Dense":
            units = self.of[node.inputs[0]]
            if (units == units.reshape(-1, units.shape[-1])[0]).all():
                self.columns[node.outputs[0]] = units.reshape(-1, units.shape[-1])[0]
            else:
                self._keep(units)
            rows = self._fresh(len(weight))
            self.rows[node.outputs[0]] = rows
            return rows
        groups, planes = node.attrs.groups, self._planes(node.inputs[0])
        if planes is not None:
            self.columns[node.outputs[0]] = planes
        if groups == 1:
            rows = self._fresh(len(weight))
        elif planes is None:
            rows = self._fresh(len(weight))
            self._keep(rows)
        elif weight.shape[1] == 1 and groups == len(planes):
            rows = np.repeat(planes, len(weight) // groups)
        else:  # all groups lose the same ones of theirs
            planes = planes.reshape(groups, -1)
            self._join(np.broadcast_to(planes[0], planes.shape), planes)
            rows = np.tile(self._fresh(len(weight) // groups), groups)
        self.rows[node.outputs[0]] = rows
        return rows.reshape(1, -1, 1, 1)

    def without(self, gone: np.ndarray) -> Graph:
        """The graph without these units; Mixed where tensors would lose more than whole rows, columns or planes."""
        lost = np.zeros(len(self._parent), bool)
        lost[gone] = True
        kept = {name: _kept(units, lost) for name, units in self.of.items()}
        tensors = dict(self.graph.tensors)
        for name, axes in kept.items():
            tensors[name] = tensors[name].with_(shape=tuple(int(a.sum()) for a in axes), range=None)
        nodes = [self._smaller(node, kept, tensors) for node in self.graph.nodes]
        return self.graph.rebuilt(nodes, tensors)

    def _smaller(self, node: Node, kept: dict[str, list[np.ndarray]], tensors: dict) -> Node:
        out = node.outputs[0]

        def take(name: str, *axes: np.ndarray) -> str:
            data = tensors[name].data
            axes = (*[np.ones(1, bool)] * (data.ndim - len(axes)), *axes)[-data.ndim :] if data.ndim else ()
            cut = [a if size > 1 else np.ones(1, bool) for a, size in zip(axes, data.shape, strict=True)]
            if all(a.all() for a in cut):
                return name
            return constant(tensors, f"{name}__kept", np.ascontiguousarray(data[np.ix_(*cut)])).name

        if node.op in DOT:
            return self._smaller_dot(node, kept, tensors, take)
        data = set(self.graph.data_inputs(node))
        if node.op == "BatchNormalization":
            vectors = [take(n, kept[out][1]) for n in node.inputs[1:]]
            return node.with_(inputs=(node.inputs[0], *vectors))
        if node.op in _ELEMENTWISE:
            return node.with_(inputs=tuple(n if not n or n in data else take(n, *kept[out]) for n in node.inputs))
        if node.op == "Reshape":
            return node.with_(attrs=replace(node.attrs, shape=tensors[out].shape))
        if node.op == "Slice":
            along = kept[node.inputs[0]][node.attrs.axis]
            start, stop = (int(along[:end].sum()) for end in (node.attrs.start, node.attrs.stop))
            return node.with_(attrs=replace(node.attrs, start=start, stop=stop))
        if node.op == "ChannelShuffle":
            place = np.cumsum(kept[node.inputs[0]][1]) - 1
            order = place[np.array(node.attrs.order)[kept[out][1]]]
            return node.with_(attrs=replace(node.attrs, order=tuple(order.tolist())))
        return node

    def _smaller_dot(self, node: Node, kept, tensors, take) -> Node:
        shape, attrs = tensors[node.inputs[1]].shape, node.attrs
        conv = node.op == "Conv"
        rows, columns = (kept[n][1 if conv else -1] for n in (node.outputs[0], node.inputs[0]))
        if conv and attrs.groups > 1 and shape[1] == 1 and attrs.groups == len(columns):
            attrs, columns = replace(attrs, groups=int(columns.sum())), np.ones(1, bool)
        elif conv:
            columns = columns[: shape[1]]
        full = [np.ones(n, bool) for n in shape[2:]]
        vectors = [take(n, rows) if n else "" for n in node.inputs[2:]]
        return node.with_(inputs=(node.inputs[0], take(node.inputs[1], rows, columns, *full), *vectors), attrs=attrs)


def base_of(units: np.ndarray) -> np.ndarray:
    """One element along the axes that broadcasting made."""
    return units[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in units.strides)]


def _looked_up(table: np.ndarray, units: np.ndarray) -> np.ndarray:
    return np.broadcast_to(table[base_of(units)], units.shape)


def _kept(units: np.ndarray, lost: np.ndarray) -> list[np.ndarray]:
    """bool [size] per axis: what stays of a tensor of these units."""
    base = base_of(units)
    stays = ~lost[base]
    axes = [stays.any(axis=tuple(a for a in range(stays.ndim) if a != axis)) for axis in range(stays.ndim)]
    block = stays[np.ix_(*axes)]
    if not block.size or not block.all():
        raise Mixed(np.unique(base[~stays]))
    return [np.broadcast_to(a, size) if len(a) == 1 else a for a, size in zip(axes, units.shape, strict=True)]
