"""Reverse-mode differentiation of the float graph: what first-order pruning criteria need.

Every operator here gives the gradient of its inputs from that of its output. Functions of single elements are
differentiated numerically in float64, what only moves elements by following them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwcomp.errors import UnsupportedError, UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph, origin_of
from hwcomp.ops._unary import Unary
from hwcomp.ops._window import taps
from hwcomp.ops.batchnormalization import affine_of
from hwcomp.registry import OPS
from hwcomp.types import Node

_STEP = 1e-5  # of central differences in float64, relative to the larger of 1 and the argument
_MOVES = ("Reshape", "Transpose", "ChannelShuffle", "Slice", "Identity", "Concat", "Repeat", "Pad")
_LIMITED = ("Conv", "Dense", "Add")  # these take a clamp


class Tape:
    """One forward run over arrays [N, *shape of a sample] by input name; `values` holds every tensor."""

    def __init__(self, graph: Graph, inputs: dict[str, np.ndarray]):
        self.graph, self.values = graph, {}
        run_float(graph, inputs, observe=self.values.__setitem__)

    def back(self, name: str, gradient: np.ndarray) -> dict[str, np.ndarray]:
        """Gradients of all tensors that `name` depends on, from its own; those of one sample do not mix with others.

        UnsupportedError at an operator without a derivative here.
        """
        found = {name: gradient.astype(np.float64)}
        for node in reversed(self.graph.nodes):
            out = node.outputs[0]
            if out not in found:
                continue
            for source, value in self._through(node, found[out]):
                found[source] = found[source] + value if source in found else value
        return found

    def _given(self, node: Node) -> list[np.ndarray | None]:
        constants = self.graph.tensors
        return [None if not n else self.values[n] if n in self.values else constants[n].data for n in node.inputs]

    def _through(self, node: Node, dy: np.ndarray) -> list[tuple[str, np.ndarray]]:
        given, y = self._given(node), self.values[node.outputs[0]]
        if node.op in _LIMITED and node.attrs.clamp:
            dy = dy * inside(y, node.attrs.clamp)
        if node.op in _MOVES:
            return _moved(node, self.graph, given, dy)
        if isinstance(OPS[node.op], Unary):
            made = [dy * _slope(lambda x: OPS[node.op].function(x, node.attrs), given[0])]
        elif node.op == "BatchNormalization":
            gain, _ = affine_of(node, self.graph)
            made = [dy * gain.reshape(-1, *[1] * (dy.ndim - 2))]
        elif node.op in _RULES and not getattr(node.attrs, "steps", ()):
            made = _RULES[node.op](node, given, y, dy)
        else:
            raise UnsupportedError(
                f"no gradient of {node.op} is available", node=origin_of(node), fix="take another criterion"
            )
        return [(n, a) for n, a in zip(node.inputs, made, strict=False) if n in self.values]


def logits_of(graph: Graph) -> str:
    """The tensor in front of a final softmax, or the output. UsageError where the graph has several outputs."""
    if len(graph.outputs) != 1 or not graph.batched:
        raise UsageError(
            "the loss needs a network with one output of classes and a batch axis", fix="take another criterion"
        )
    last = graph.producer(graph.outputs[0])
    return last.inputs[0] if last is not None and last.op in ("Softmax", "LogSoftmax") else graph.outputs[0]


def loss_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the cross entropy of each sample: softmax minus one at its class; [N, ...] as the logits."""
    flat = logits.reshape(len(logits), -1).astype(np.float64)
    within(labels, flat.shape[1])
    e = np.exp(flat - flat.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    e[np.arange(len(e)), labels] -= 1
    return e.reshape(logits.shape)


def within(labels: np.ndarray, classes: int) -> None:
    """UsageError for labels that are no classes of the network."""
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(f"labels go from {labels.min()} to {labels.max()}", why=f"the network has {classes} classes")


def inside(y: np.ndarray, clamp: tuple[float | None, float | None]) -> np.ndarray:
    lo, hi = clamp
    return (y > (-np.inf if lo is None else lo)) & (y < (np.inf if hi is None else hi))


def _slope(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    h = _STEP * np.maximum(1.0, np.abs(x))
    return (function(x + h) - function(x - h)) / (2 * h)


def _moved(node: Node, graph: Graph, given: list, dy: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Elements are numbered from 1, and the gradient of each is added up where it came from; 0 is what a Pad puts."""
    inputs = [(n, a) for n, a in zip(node.inputs, given, strict=True) if n and not graph.tensors[n].is_constant]
    labels, first = {}, 1
    for name, a in inputs:
        size = a[0].size
        labels.setdefault(name, np.arange(first, first + size).reshape(1, *a.shape[1:]))
        first += size
    numbered = [labels[n] if n in labels else 0 * a for n, a in zip(node.inputs, given, strict=True)]
    held = OPS[node.op].evaluate(node, numbered)[0].ravel()
    flat = dy.reshape(len(dy), -1)
    sums = np.stack([np.bincount(held, weights=row, minlength=first) for row in flat])
    return [(n, sums[:, a.ravel()].reshape(len(dy), *a.shape[1:])) for n, a in labels.items()]


def _unbroadcast(dy: np.ndarray, like: np.ndarray) -> np.ndarray:
    dy = dy.sum(axis=tuple(range(dy.ndim - like.ndim)))
    axes = tuple(i for i, n in enumerate(like.shape) if n == 1 and dy.shape[i] > 1)
    return dy.sum(axis=axes, keepdims=True)


def _conv(node, given, y, dy):
    x, weight, a = given[0], given[1].astype(np.float64), node.attrs
    (n, channels, height, width), (m, per, kh, kw), g = x.shape, weight.shape, a.groups
    top, left, bottom, right = a.pads
    dx = np.zeros((n, g, per, height + top + bottom, width + left + right))
    high, wide = dy.shape[2:]
    rows = dy.reshape(n, g, m // g, -1)
    matrix = weight.reshape(g, m // g, per, kh, kw)
    for i in range(kh):
        for j in range(kw):
            part = np.matmul(matrix[..., i, j].swapaxes(1, 2), rows).reshape(n, g, per, high, wide)
            line = taps(dx, 3, i, high, a.strides[0], a.dilations[0])
            taps(line, 4, j, wide, a.strides[1], a.dilations[1])[...] += part
    dx = dx.reshape(n, channels, *dx.shape[3:])
    return [dx[:, :, top : top + height, left : left + width]]


def _windows(node, x, fill, each):
    """Go through the taps of a pool on x padded with `fill`; `each` gives the gradient of what a tap sees."""
    a, (high, wide) = node.attrs, x.shape[2:]
    top, left, bottom, right = a.pads
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    dx = np.zeros_like(padded)
    for i in range(a.kernel[0]):
        for j in range(a.kernel[1]):
            views = []
            for source in (padded, dx):
                count = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in
                         zip(source.shape[2:], a.kernel, a.dilations, a.strides, strict=True)]  # fmt: skip
                line = taps(source, 2, i, count[0], a.strides[0], a.dilations[0])
                views.append(taps(line, 3, j, count[1], a.strides[1], a.dilations[1]))
            views[1][...] += each(views[0])
    return [dx[:, :, top : top + high, left : left + wide]]


def _maxpool(node, given, y, dy):
    taken = np.zeros(y.shape, bool)

    def each(seen):
        nonlocal taken
        hit = (seen == y) & ~taken
        taken |= hit
        return np.where(hit, dy, 0.0)

    return _windows(node, given[0], -np.inf, each)


def _averagepool(node, given, y, dy):
    share = dy / node.attrs.divisors(given[0].shape[2:])
    return _windows(node, given[0], 0.0, lambda seen: share)


def _softmax(node, given, y, dy):
    return [y * (dy - (y * dy).sum(axis=node.attrs.axes, keepdims=True))]


_RULES: dict[str, Callable] = {
    "Conv": _conv,
    "Dense": lambda node, given, y, dy: [dy @ given[1].astype(np.float64)],
    "Add": lambda node, given, y, dy: [_unbroadcast(dy, a) for a in given],
    "Sub": lambda node, given, y, dy: [_unbroadcast(dy, given[0]), -_unbroadcast(dy, given[1])],
    "Mul": lambda node, given, y, dy: [_unbroadcast(dy * b, a) for a, b in (given, given[::-1])],
    "Clip": lambda node, given, y, dy: [dy * inside(given[0], (node.attrs.lo, node.attrs.hi))],
    "MaxPool": _maxpool,
    "AveragePool": _averagepool,
    "Softmax": _softmax,
}  # fmt: skip
