"""Layers of a float graph as chains of smaller ones, one after the other, each fitted behind the chains in front of it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._factored import chained, window
from hwcomp.passes._layerwise import Values, evaluated, in_order, spread
from hwcomp.passes._moments import Moments, float_layer
from hwcomp.passes._repair import refilled
from hwcomp.passes.base import PassContext, constant
from hwcomp.quantize.low_rank_fit import LowRank
from hwcomp.quantize.rounding import damped
from hwcomp.samples import operands
from hwcomp.types import Node, Tensor

_ELEMENTS = 1 << 25  # of one tensor, all samples together
Form = tuple[str, tuple[int, ...]]  # and its ranks


@dataclass(frozen=True)
class Layer:
    """`fit`: chains for it; `m`: moments of its inputs; `bias`: float64 [M], so that the mean of its results is kept."""

    node: Node
    fit: LowRank
    m: Moments
    bias: np.ndarray


class Factoring:
    """`names` of the layers that may be factored; `metric` outputs: what is lost there counts, and layers behind make up for it;
    weights: what is lost of the weights themselves (the textbook's SVD), without corrections."""

    def __init__(self, graph: Graph, ctx: PassContext, names: set[str], samples: int, metric: str):
        self.graph, self._ctx, self._names, self._guided = graph, ctx, names, metric == "outputs"
        data = operands(spread(ctx.calibration, samples, graph, _ELEMENTS), ctx.input_types)
        self._data = {n: a.astype(np.float32) for n, a in data.items()}

    def layers(self) -> list[Layer]:
        """Each as it is in the whole network."""
        found = []

        def seen(layer: Layer) -> None:
            found.append(layer)

        self._walk(seen)
        return found

    def run(self, decide: Callable[[Layer], Form | None]) -> Graph:
        """The graph with chains of the form that is decided for each layer, None: it stays."""
        return self._walk(decide)

    def nodes(self, layer: Layer, form: Form, tensors: dict[str, Tensor]) -> list[Node]:
        return chained(layer.node, tensors, form[0], layer.fit.at(*form), layer.m, layer.bias, self._guided)

    def errors(self, data: dict[str, np.ndarray]) -> Callable[[Layer, Form], float]:
        """(layer, form) -> error of the outputs on `data`, as a part of their variance, with that layer alone factored."""
        graph, values = self.graph, dict(data)
        with np.errstate(all="ignore"):
            for node in graph.nodes:
                values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
        outputs = [n for n in graph.outputs if graph.tensors[n].dtype == "float"]

        def error(layer: Layer, form: Form) -> float:
            tensors = dict(graph.tensors)
            made: dict[str, np.ndarray] = {}
            mixed = ChainMap(made, values)
            at = next(i for i, n in enumerate(graph.nodes) if n.name == layer.node.name)
            with np.errstate(all="ignore"):
                for node in self.nodes(layer, form, tensors):
                    made[node.outputs[0]] = evaluated(node, tensors, mixed, graph.batched)
                for node in graph.nodes[at + 1 :]:
                    if any(n in made for n in node.inputs):
                        made[node.outputs[0]] = evaluated(node, graph.tensors, mixed, graph.batched)
            lost = (mixed[n].astype(np.float64) - values[n] for n in outputs)
            return sum(
                float((d * d).mean()) / (float(values[n].var()) or 1.0) for n, d in zip(outputs, lost, strict=True)
            )

        return error

    def _walk(self, decide: Callable[[Layer], Form | None]) -> Graph:
        graph, tensors, done = self.graph, dict(self.graph.tensors), []

        def change(node: Node, values: Values, mine: Values) -> list[Node]:
            x = node.inputs[0]
            if node.name not in self._names:
                return [node]
            self._ctx.progress("low_rank", len(done), len(self._names))
            done.append(node.name)
            layer = self._layer(node, values[x], mine[x])
            if form := decide(layer):
                return self.nodes(layer, form, tensors)
            return [_repaired(layer, graph.tensors, tensors)] if self._guided and mine[x] is not values[x] else [node]

        return graph.rebuilt(in_order(graph, self._data, change, tensors), tensors)

    def _layer(self, node: Node, x: np.ndarray, mine: np.ndarray) -> Layer:
        layer = float_layer(node, self.graph.tensors, x, mine)
        m, rows, bias = layer.moments, layer.weight.reshape(len(layer.weight), -1), layer.bias
        gram = damped(m.gram)[0]
        if self._guided:
            bias = bias + rows @ m.mean[0, 0] + m.residual
            if layer.xq is not layer.x:
                rows = rows + np.linalg.solve(gram, m.cross[0].T).T
        else:
            gram = np.eye(len(gram))
        return Layer(node, LowRank(rows, gram, window(node, self.graph.tensors)), m, bias)


def _repaired(layer: Layer, old: dict[str, Tensor], tensors: dict[str, Tensor]) -> Node:
    """A layer that stays, on the weights that make up best for what is lost in front of it; those that are zero stay so."""
    node, m = layer.node, layer.m
    own = old[node.inputs[1]].data.astype(np.float64)
    weight = refilled(own.reshape(m.cross.shape), m.gram, m.cross).reshape(own.shape)
    bias = layer.bias - weight.reshape(len(weight), -1) @ m.mean[0, 0]
    names = (
        constant(tensors, f"{node.outputs[0]}__{what}", a.astype(np.float32)).name
        for what, a in (("weight_behind", weight), ("bias_behind", bias))
    )
    return node.with_(inputs=(node.inputs[0], *names, *node.inputs[3:]))
