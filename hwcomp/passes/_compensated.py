"""Dot products on weights of few bits, one after the other, each fitted to the float network's results on calibration data.

A layer's inputs are what the layers in front of it, of few bits already, really give (asymmetric reconstruction, Nagel et
al., "AdaRound", ICML 2020), so each also takes back what it can of their errors; layers that stay int8 do that with float
weights. Biases take the mean of what is left. Without calibration data weights are rounded one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops import _steps
from hwcomp.ops.steps import StepsAttrs
from hwcomp.passes._k_map import KMap, possible
from hwcomp.passes._layerwise import Values, in_order, spread
from hwcomp.passes._moments import float_layer, moments
from hwcomp.passes._patterns import refitted
from hwcomp.passes._refit import by_channel
from hwcomp.passes.base import PassContext, constant, free_dot, free_name
from hwcomp.quantize.few_fit import fitted
from hwcomp.quantize.few_weights import ZERO, few
from hwcomp.quantize.rounding import damped
from hwcomp.samples import operands
from hwcomp.types import Node, QType, Tensor

_SWEEPS = 8
_HELD = 32  # fewer samples than these to check on: all are used for both
_ELEMENTS = 1 << 25  # of one tensor, all samples together
_LEAST = 1024  # samples, where there are as many
_TIMES = 5  # windows for each element of one
_LLOYD = 12  # steps towards the threshold of least squared error
_BIT = QType(1, True, "bipolar", (1.0,))


@dataclass(frozen=True)
class Fit:
    """`weight` float32 as the node has it, of few bits times a scale per channel, or free where the layer stays int8; `bias`
    float64 [M]. `threshold` float32 [C]: the layer reads +-1, the sign of x - threshold."""

    weight: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray | None = None


class Compensated:
    """At most `samples` of the calibration data, spread evenly: `fitted_to` holds all but every fourth, `check` the others.

    `k_maps`: with `xnor_k`, what the K map of a layer costs, by node name.
    """

    def __init__(self, graph: Graph, ctx: PassContext, samples: int, xnor_k: bool = False):
        self._xnor_k, self.k_maps = xnor_k, {}
        self._graph, self._ctx, self._guided = graph, ctx, ctx.calibration is not None
        samples = min(samples, _needed(graph))
        data = spread(_samples(graph, ctx, samples), samples, graph, _ELEMENTS)
        held = np.arange(len(next(iter(data.values())))) % 4 == 3
        used = ~held if held.sum() >= _HELD else np.ones(len(held), bool)
        self.check = {n: a[held if held.sum() >= _HELD else used] for n, a in data.items()}
        self.fitted_to = {n: a[used] for n, a in data.items()}
        self._found: dict[tuple, Fit] = {}

    def network(self, chosen: dict[str, str], signs: set[str]) -> Graph:
        """The graph on weights of scheme `chosen` by node name, dot products `signs` on inputs of one bit."""
        graph, tensors = self._graph, dict(self._graph.tensors)
        done: list[str] = []
        bits: dict[str, str] = {}

        def change(node: Node, values: Values, mine: Values) -> list[Node]:
            if not (kind := chosen.get(node.name, "")):
                return [node]
            self._ctx.progress("few_bits", len(done), len(chosen))
            done.append(kind)
            if kind == "int8" and not (self._guided and set(done) != {"int8"}):
                return [node]
            x, xq = values[node.inputs[0]], mine[node.inputs[0]]
            mapped = self._xnor_k and node.name in signs and possible(node, graph)
            key = (node.name, *done, node.name in signs)
            if key not in self._found:
                self._found[key] = self._fits(node, (kind,), x, xq, node.name in signs and not mapped)[kind]
            fit = self._found[key]
            return self._mapped(node, tensors, fit, xq) if mapped else converted(node, tensors, fit, kind, bits)

        return graph.rebuilt(in_order(graph, self.fitted_to, change, tensors), tensors)

    def _mapped(self, node: Node, tensors: dict[str, Tensor], fit: Fit, xq: np.ndarray) -> list[Node]:
        """The nodes of a layer with a K map; its weights are fitted to inputs whose size is known place by place."""
        rows = fit.weight.reshape(len(fit.weight), -1)
        bias = self._graph.tensors[node.inputs[2]].data if node.inputs[2] else 0.0
        mean = float(xq.mean(dtype=np.float64))
        found = np.where(rows >= 0, 1, -1), np.abs(rows[:, 0]), fit.bias - bias
        k = KMap(node, tensors, found, mean, float(np.abs(xq - mean).max()) or 1.0)
        made, self.k_maps[node.name] = k.build()
        if k.unlimited:
            self._ctx.observed[k.unlimited] = self._ctx.observed[node.outputs[0]]
        return made

    def alone(self, kinds: tuple[str, ...]) -> dict[str, dict[str, Fit]]:
        """Fits by node name and scheme, each as if only that layer were of few bits."""
        found, names = {}, {n.name for n in dots(self._graph)}

        def seen(node: Node, values: Values, _: Values) -> list[Node]:
            if node.name in names:
                self._ctx.progress("few_bits", len(found), len(names))
                x = values[node.inputs[0]]
                found[node.name] = self._fits(node, kinds, x, x, False)
            return [node]

        in_order(self._graph, self.fitted_to, seen)
        return found

    def _fits(self, node: Node, kinds: tuple[str, ...], x: np.ndarray, xq: np.ndarray, sign: bool) -> dict[str, Fit]:
        """By scheme: weights for the inputs `xq` (sign: for what one bit leaves of them) that give what the layer makes of x."""
        plain, weight, bias, x, xq, y = float_layer(node, self._graph.tensors, x, xq)
        threshold, start = None, weight
        if sign:
            threshold, sizes = _thresholds(node, xq, by_channel(self._graph, node))
            start = _times(weight, sizes, node)
            xq = np.where(xq >= (threshold.reshape(-1, 1, 1) if node.op == "Conv" else threshold), 1, -1).astype(
                np.float32
            )
            plain = plain.with_(attrs=_padded(plain.attrs, threshold))
        m = moments(plain, y, xq, start, bias)
        shape, gram, found = m.cross.shape, damped(m.gram), {}
        target, kept = start.reshape(shape), None
        if self._guided:
            target = target + np.linalg.solve(gram, m.cross.transpose(0, 2, 1)).transpose(0, 2, 1)
            if (start == 0).any() and ZERO & set(kinds):  # zeros that a pass or the model made stay
                kept = (start != 0).reshape(shape)
                sparse = refitted(target, gram, kept)
        for kind in kinds:
            mask = kept if kind in ZERO else None
            aim = target if mask is None else sparse
            real = aim.astype(np.float32)
            if kind != "int8":
                q, scales = (
                    fitted(aim, gram, kind, _SWEEPS, mask) if self._guided else _plain(target, kind)
                )  # fmt: skip
                real = (q * scales.astype(np.float64)[..., None]).astype(np.float32)
            away = start.reshape(shape) - real.astype(np.float64)
            moved = m.residual + (away @ m.mean.transpose(0, 2, 1)).ravel() if self._guided or sign else 0.0
            found[kind] = Fit(real.reshape(weight.shape), bias + moved, threshold)
        return found


def dots(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if free_dot(n)]


def _plain(target: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    q, scales = few(target.reshape(-1, target.shape[2]), kind)
    return q.reshape(target.shape), scales.reshape(target.shape[:2])


def converted(node: Node, tensors: dict[str, Tensor], fit: Fit, kind: str, bits: dict[str, str]) -> list[Node]:
    """The dot product on the weights of `fit`, behind a quantizer of its input where that has a threshold and `bits`, names
    by source, does not know of one yet."""
    weight = constant(tensors, f"{node.outputs[0]}__weight_few", fit.weight)
    bias = constant(tensors, f"{node.outputs[0]}__bias_few", fit.bias.astype(np.float32))
    if kind == "int8":
        return [node.with_(inputs=(node.inputs[0], weight.name, bias.name))]
    made, source, attrs = [], node.inputs[0], node.attrs
    if fit.threshold is not None:
        x, attrs = tensors[source], _padded(attrs, fit.threshold)
        if source not in bits:
            bits[source] = free_name(tensors, f"{source}__sign")
            tensors[bits[source]] = x.with_(name=bits[source], qtype=_BIT, range=(-1.0, 1.0))
            shift = constant(tensors, f"{bits[source]}__threshold", -fit.threshold)
            axis = 1 if node.op == "Conv" else len(x.shape) - 1
            steps = StepsAttrs((_steps.Sum(), _steps.Quantizer(_BIT)), axis)
            made = [Node("Steps", bits[source], (source, shift.name), (bits[source],), steps, node.origin)]
        source = bits[source]
    limits = (_steps.Limit(*attrs.clamp),) if attrs.clamp else ()
    attrs = replace(attrs, steps=(_steps.Sum(), *limits), clamp=None)
    return [*made, node.with_(inputs=(source, weight.name, "", bias.name), attrs=attrs)]


def _padded(attrs, threshold: np.ndarray):
    """Attributes of a convolution whose padded 0.0 is what the quantizer makes of it."""
    if not any(getattr(attrs, "pads", ())):
        return attrs
    return replace(attrs, pad_value=-1.0 if threshold[0] > 0 else 1.0)


def _thresholds(node: Node, x: np.ndarray, alike: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 t [C] and float64 sizes [C]: x [..., C] or [samples, C, H, W] is about mean + size * sign(x - t), with the
    least squared error (Lloyd, 1957). `alike` neighbours have one t. One t for all where borders of real 0.0 would differ.
    """
    axis = 1 if node.op == "Conv" else x.ndim - 1
    channels = x.shape[axis]
    rows = np.moveaxis(x, axis, 0).reshape(channels // alike, -1).astype(np.float64)
    t, size = _two_levels(rows)
    if node.op == "Conv" and any(node.attrs.pads) and (t > 0).any() and (t <= 0).any():
        t, size = (np.broadcast_to(a, channels) for a in _two_levels(rows.reshape(1, -1)))
    return np.repeat(t, channels // len(t)).astype(np.float32), np.repeat(size, channels // len(size))


def _two_levels(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(threshold, half the distance of the means beside it) of each row."""
    t = rows.mean(axis=1)
    for _ in range(_LLOYD):
        high = rows >= t[:, None]
        count = high.sum(axis=1)
        total, upper = rows.sum(axis=1), (rows * high).sum(axis=1)
        above = np.where(count > 0, upper / np.maximum(count, 1), t)
        rest = rows.shape[1] - count
        below = np.where(rest > 0, (total - upper) / np.maximum(rest, 1), t)
        t = (above + below) / 2
    return t, (above - below) / 2


def _times(weight: np.ndarray, sizes: np.ndarray, node: Node) -> np.ndarray:
    """Weights of a layer whose inputs are counted in `sizes` [C]."""
    if node.op == "Dense":
        return weight * sizes
    groups = node.attrs.groups
    parts = weight.reshape(groups, -1, *weight.shape[1:]) * sizes.reshape(groups, 1, -1, 1, 1)
    return parts.reshape(weight.shape)


def _needed(graph: Graph) -> int:
    """Samples with which the inputs of each dot product have several times as many windows as a window has elements."""
    most = _LEAST
    for node in dots(graph):
        windows = math.prod(graph.tensors[node.outputs[0]].shape[1 if node.op == "Dense" else 2 :])
        windows = windows // graph.tensors[node.outputs[0]].shape[-1] if node.op == "Dense" else windows
        most = max(most, -(-_TIMES * graph.tensors[node.inputs[1]].data[0].size // max(1, windows)))
    return most


def _samples(graph: Graph, ctx: PassContext, count: int) -> dict[str, np.ndarray]:
    """The user's samples, or random ones in the observed ranges of the inputs."""
    if ctx.calibration is not None:
        return operands(ctx.calibration, ctx.input_types)
    rng = np.random.default_rng(0)
    shapes = {n: graph.tensors[n].shape[1:] if graph.batched else graph.tensors[n].shape for n in graph.inputs}
    return {n: rng.uniform(*ctx.observed[n], (count, *s)).astype(np.float32) for n, s in shapes.items()}
