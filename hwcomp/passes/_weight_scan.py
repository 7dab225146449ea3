"""How much a network's results suffer when one layer alone gets zeros: what decides between layers.

Source: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.2, with the error of the results in place of
the accuracy, and what is left of the layer fitted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import spread
from hwcomp.passes._mixed import distance, outputs
from hwcomp.passes._refit import Refit
from hwcomp.passes.base import PassContext, constant
from hwcomp.samples import operands
from hwcomp.types import Node

_FRACTIONS = (0.25, 0.5, 0.75, 0.9, 0.97)  # of a layer's units that go on trial; the others stay
_SAMPLES = 256


class Scan:
    """`judge(node, masks)` gives the error of the results for each mask of that layer, masks in the shape of its weights."""

    def __init__(self, graph: Graph, ctx: PassContext, refit: Refit):
        self._graph, self._refit = graph, refit
        self._data = operands(spread(ctx.calibration, _SAMPLES, graph), ctx.input_types)
        self._want = outputs(graph, self._data)

    def judge(self, node: Node, mask: np.ndarray) -> float:
        weight, bias = self._refit.alone(node, mask)
        tensors = dict(self._graph.tensors)
        made = constant(tensors, f"{node.outputs[0]}__weight_trial", weight.astype(np.float32))
        add = constant(tensors, f"{node.outputs[0]}__bias_trial", bias.astype(np.float32))
        new = node.with_(inputs=(node.inputs[0], made.name, add.name, *node.inputs[3:]))
        nodes = [new if n is node else n for n in self._graph.nodes]
        with np.errstate(all="ignore"):
            return distance(outputs(self._graph.rebuilt(nodes, tensors), self._data), self._want)


def slopes(order: np.ndarray, saved: Callable[[np.ndarray], float], error: Callable[[np.ndarray], float]) -> np.ndarray:
    """float64 [units]: error per cost that is saved of each unit, never less than that of those which go before it; infinite
    for the last of them, which stay, and where nothing is saved. What saves nothing yet goes with those that follow.

    `order`: units, the first one goes first; `saved` cost, and `error` of the results, without these units.
    """
    found, least, done, before, spared = np.full(len(order), np.inf), 0.0, 0, 0.0, 0.0
    for count in sorted({min(max(1, round(f * len(order))), len(order) - 1) for f in _FRACTIONS} - {0}):
        now = saved(order[:count])
        if now <= spared:
            continue
        lost = error(order[:count])
        least = max(least, (lost - before) / (now - spared))
        found[order[done:count]], done, before, spared = least, count, lost, now
    return found
