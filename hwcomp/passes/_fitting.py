"""Layer by layer: dot products on other weights, each fitted to what the float layer gives, from what it really gets.

What a layer gets comes from the layers in front of it, changed already (asymmetric reconstruction, Nagel et al., "AdaRound",
ICML 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import evaluated
from hwcomp.passes._moments import Moments, float_layer
from hwcomp.passes.base import PassContext, constant
from hwcomp.quantize.rounding import damped
from hwcomp.types import Codes, Given, Node, Tensor


@dataclass(frozen=True)
class Problem:
    """`own` float64 [G, M, K]: the weights; `target`: those that make the layer's inputs into what the float layer gives, in
    the metric `gram` [G, K, K], positive definite. `shape`: of the weights; `bias` [G * M]."""

    own: np.ndarray
    target: np.ndarray
    gram: np.ndarray
    shape: tuple[int, ...]
    bias: np.ndarray
    moments: Moments

    def node(
        self, node: Node, tensors: dict[str, Tensor], label: str, integers: np.ndarray, scales: np.ndarray, codes: Codes | None = None
    ) -> Node:  # fmt: skip
        """The node on weights integers [G, M, K] * scales (of a shape that broadcasts), with the bias that keeps the mean."""
        scales = np.broadcast_to(scales, self.own.shape).astype(np.float32)
        real = (integers * scales.astype(np.float64)).reshape(self.own.shape)
        moved = self.moments.residual + ((self.own - real) @ self.moments.mean.transpose(0, 2, 1)).ravel()
        made = constant(tensors, f"{node.outputs[0]}__weight_{label}", real.reshape(self.shape).astype(np.float32))
        given = Given(integers.reshape(self.shape).astype(np.int8), scales.reshape(self.shape))
        tensors[made.name] = made.with_(given=given, codes=codes)
        added = constant(tensors, f"{node.outputs[0]}__bias_{label}", (self.bias + moved).astype(np.float32))
        return node.with_(inputs=(node.inputs[0], made.name, added.name))


def problem(node: Node, tensors: dict[str, Tensor], x: np.ndarray, xq: np.ndarray) -> Problem:
    """What to fit: `x` is what the float layer gets, `xq` what the layer gets now."""
    layer = float_layer(node, tensors, x, xq)
    m = layer.moments
    gram, own = damped(m.gram), layer.weight.reshape(m.cross.shape)
    target = own + np.linalg.solve(gram, m.cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    return Problem(own, target, gram, layer.weight.shape, layer.bias, m)


Fit = Callable[[Node, dict[str, Tensor], Problem], Node]


def layers(graph: Graph, ctx: PassContext, label: str, data: dict[str, np.ndarray], names: set[str], fit: Fit) -> Graph:
    """The graph with the dot products `names` made anew by `fit`, in order of execution, on samples `data` of the inputs."""
    tensors, nodes = dict(graph.tensors), []
    values, mine = dict(data), dict(data)
    last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            made = node
            if node.name in names:
                ctx.progress(label, len(nodes), len(graph.nodes))
                made = fit(node, tensors, problem(node, tensors, values[node.inputs[0]], mine[node.inputs[0]]))
            nodes.append(made)
            values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
            mine[node.outputs[0]] = evaluated(made, tensors, mine, graph.batched)
            for name in node.inputs:
                if last.get(name, i) <= i:
                    values.pop(name, None)
                    mine.pop(name, None)
    return graph.rebuilt(nodes, tensors)
