"""Weights that are zero in given places, fitted layer by layer to the float network's results on calibration data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import evaluated, spread
from hwcomp.passes._moments import Moments, float_layer
from hwcomp.passes._patterns import refitted
from hwcomp.passes.base import PassContext, constant
from hwcomp.quantize.obs import fitted_where
from hwcomp.quantize.rounding import damped
from hwcomp.samples import operands
from hwcomp.types import Node

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

        def seen(node: Node, x: np.ndarray, _: np.ndarray) -> Node:
            if node.outputs[0] in names:
                m = self._moments(node, x, x)
                self._inputs[node.outputs[0]] = replace(m, gram=damped(m.gram))
            return node

        if names:
            self._walk(seen)
        return self._inputs

    def alone(self, node: Node, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(weights, bias) of one layer with the others as they are, nearly the best: a trial's."""
        weight, bias = self._operands(node)
        m = self.inputs([node])[node.outputs[0]]
        before, kept = weight.reshape(m.cross.shape), mask.reshape(m.cross.shape)
        made = fitted_where(before * kept, before, m.gram, kept)
        moved = ((before - made) @ m.mean.swapaxes(1, 2)).ravel()
        return made.reshape(weight.shape), bias + moved

    def run(self, masks: dict[str, np.ndarray]) -> Graph:
        """The graph with weights that are zero where the mask of a layer's result says so."""
        tensors = dict(self._graph.tensors)

        def fit(node: Node, x: np.ndarray, mine: np.ndarray) -> Node:
            mask = masks.get(node.outputs[0])
            if mask is None:
                return node
            self._ctx.progress(self._name, list(masks).index(node.outputs[0]), len(masks))
            m = self._moments(node, x, mine)
            weight, bias = self._operands(node)
            gram, before = damped(m.gram), weight.reshape(m.cross.shape)
            target = before + np.linalg.solve(gram, m.cross.swapaxes(1, 2)).swapaxes(1, 2)
            made = refitted(target, gram, mask.reshape(m.cross.shape))
            moved = m.residual + ((before - made) @ m.mean.swapaxes(1, 2)).ravel()
            name = node.outputs[0]
            new = constant(tensors, f"{name}__weight_sparse", made.reshape(weight.shape).astype(np.float32))
            add = constant(tensors, f"{name}__bias_sparse", (bias + moved).astype(np.float32))
            return node.with_(inputs=(node.inputs[0], new.name, add.name, *node.inputs[3:]))

        return self._graph.rebuilt(self._walk(fit, tensors), tensors)

    def _walk(self, change, tensors=None) -> list[Node]:
        """`change(node, x, x of the changed network)` gives the new dot product; all nodes as they are then."""
        graph, values, mine = self._graph, dict(self._data), dict(self._data)
        last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
        nodes = []
        with np.errstate(all="ignore"):
            for i, node in enumerate(graph.nodes):
                new = node
                if node.op in ("Conv", "Dense") and not node.attrs.steps:
                    new = change(node, values[node.inputs[0]], mine[node.inputs[0]])
                nodes.append(new)
                values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
                same = tensors is None
                mine[node.outputs[0]] = (
                    values[node.outputs[0]] if same else evaluated(new, tensors, mine, graph.batched)
                )
                for name in node.inputs:
                    if last.get(name, i) <= i:
                        values.pop(name, None)
                        mine.pop(name, None)
        return nodes

    def _operands(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        weight = self._graph.tensors[node.inputs[1]].data.astype(np.float64)
        bias = self._graph.tensors[node.inputs[2]].data if node.inputs[2] else np.zeros(len(weight))
        return weight, bias.astype(np.float64)

    def _moments(self, node: Node, x: np.ndarray, mine: np.ndarray) -> Moments:
        return float_layer(node, self._graph.tensors, x, mine).moments


def by_channel(graph: Graph, node: Node) -> int:
    """How many neighbouring features of a dense layer's input are one channel's: what a Reshape made of maps. Else 1."""
    made = graph.producer(node.inputs[0])
    if node.op == "Conv" or made is None or made.op != "Reshape":
        return 1
    maps, flat = (graph.tensors[n].shape for n in (made.inputs[0], node.inputs[0]))
    return math.prod(maps[2:]) if len(maps) == 4 and len(flat) == 2 and maps[0] == flat[0] else 1
