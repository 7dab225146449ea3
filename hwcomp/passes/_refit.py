"""Weights that are zero in given places, fitted layer by layer to the float network's results on calibration data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._fitting import Problem
from hwcomp.passes._fitting import layers as fitted_layers
from hwcomp.passes._layerwise import Values, in_order, spread
from hwcomp.passes._moments import Moments, float_layer
from hwcomp.passes._patterns import refitted
from hwcomp.passes.base import PassContext, weight_and_bias
from hwcomp.quantize.obs import fitted_where
from hwcomp.quantize.rounding import damped
from hwcomp.samples import operands
from hwcomp.types import Node, Tensor

_ELEMENTS = 1 << 25  # of one tensor, all samples together


class Refit:
    """At most `samples` of the calibration data, spread evenly, for a pass `name`."""

    def __init__(self, graph: Graph, ctx: PassContext, name: str, samples: int):
        self._graph, self._ctx, self._name = graph, ctx, name
        self._inputs: dict[str, Moments] = {}
        self._data = operands(spread(ctx.calibration, samples, graph, _ELEMENTS), ctx.input_types)

    def inputs(self, layers: list[Node]) -> dict[str, Moments]:
        """By the name of a layer's result: the moments of its inputs in the float network, positive definite."""
        names = {n.outputs[0] for n in layers} - self._inputs.keys()

        def seen(node: Node, values: Values, _: Values) -> list[Node]:
            if node.outputs[0] in names:
                x = values[node.inputs[0]]
                m = float_layer(node, self._graph.tensors, x, x).moments
                self._inputs[node.outputs[0]] = replace(m, gram=damped(m.gram))
            return [node]

        if names:
            in_order(self._graph, self._data, seen)
        return self._inputs

    def alone(self, node: Node, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(weights, bias) of one layer with the others as they are, nearly the best: a trial's."""
        weight, bias = weight_and_bias(node, self._graph.tensors)
        m = self.inputs([node])[node.outputs[0]]
        before, kept = weight.reshape(m.cross.shape), mask.reshape(m.cross.shape)
        made = fitted_where(before * kept, before, m.gram, kept)
        moved = ((before - made) @ m.mean.swapaxes(1, 2)).ravel()
        return made.reshape(weight.shape), bias + moved

    def run(self, masks: dict[str, np.ndarray]) -> Graph:
        """The graph with weights that are zero where the mask of a layer's result says so."""

        def fit(node: Node, tensors: dict[str, Tensor], p: Problem) -> Node:
            mask = masks[node.outputs[0]].reshape(p.own.shape)
            return p.on(node, tensors, "sparse", refitted(p.target, p.gram, mask))

        names = {n.name for n in self._graph.nodes if n.outputs[0] in masks}
        return fitted_layers(self._graph, self._ctx, self._name, self._data, names, fit)


def by_channel(graph: Graph, node: Node) -> int:
    """How many neighbouring features of a dense layer's input are one channel's: what a Reshape made of maps. Else 1."""
    made = graph.producer(node.inputs[0])
    if node.op == "Conv" or made is None or made.op != "Reshape":
        return 1
    maps, flat = (graph.tensors[n].shape for n in (made.inputs[0], node.inputs[0]))
    return math.prod(maps[2:]) if len(maps) == 4 and len(flat) == 2 and maps[0] == flat[0] else 1
