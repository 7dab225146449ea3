"""What the passes leave of the weights, step by step: the upper part of the report's waterfall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph, origin_of
from hwcomp.registry import OPS


@dataclass(frozen=True)
class Stage:
    """A network behind the pass `name` ("float": as it was). `macs`: of the layers with weights, `flops` and `parameters` of all
    nodes. `layers`: (weights, of these zero) by the node of the model that a layer comes from."""

    name: str
    macs: int
    flops: int
    parameters: int
    layers: dict[str, tuple[int, int]]

    @property
    def weights(self) -> int:
        return sum(count for count, _ in self.layers.values())

    @property
    def zeros(self) -> int:
        return sum(zeros for _, zeros in self.layers.values())


def measured(name: str, graph: Graph) -> Stage:
    macs, layers = 0, {}
    costs = [OPS[node.op].cost(node, graph) for node in graph.nodes]
    for node, cost in zip(graph.nodes, costs, strict=True):
        data = [graph.tensors[n].data for n in node.inputs[1:3] if n]  # weights, of recurrent layers those of the state
        found = [a for a in data if a is not None and a.ndim > 1]
        if found and cost.macs:
            count, zeros = layers.get(origin_of(node), (0, 0))
            size = sum(a.size for a in found)
            nonzero = sum(int(np.count_nonzero(a)) for a in found)
            layers[origin_of(node)] = count + size, zeros + size - nonzero
            macs += cost.macs
    return Stage(name, macs, sum(2 * c.macs + c.ops for c in costs), sum(c.params for c in costs), layers)
