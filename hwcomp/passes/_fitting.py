"""Layer by layer: dot products on other weights, each fitted to what the float layer gives, from what it really gets.

What a layer gets comes from the layers in front of it, changed already (asymmetric reconstruction, Nagel et al., "AdaRound",
ICML 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import Values, in_order
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

    def on(self, node: Node, tensors: dict[str, Tensor], label: str, real: np.ndarray) -> Node:
        """The node on weights `real` [G, M, K], with the bias that keeps the mean; its constants are called `label`."""
        moved = self.moments.residual + ((self.own - real) @ self.moments.mean.transpose(0, 2, 1)).ravel()
        weight = constant(tensors, f"{node.outputs[0]}__weight_{label}", real.reshape(self.shape).astype(np.float32))
        bias = constant(tensors, f"{node.outputs[0]}__bias_{label}", (self.bias + moved).astype(np.float32))
        return node.with_(inputs=(node.inputs[0], weight.name, bias.name, *node.inputs[3:]))

    def on_integers(
        self, node: Node, tensors: dict[str, Tensor], label: str, integers: np.ndarray, scales: np.ndarray, codes: Codes | None = None
    ) -> Node:  # fmt: skip
        """The same on weights integers [G, M, K] * scales (of a shape that broadcasts), which `quantize` keeps."""
        scales = np.broadcast_to(scales, self.own.shape).astype(np.float32)
        made = self.on(node, tensors, label, (integers * scales.astype(np.float64)).reshape(self.own.shape))
        given = Given(integers.reshape(self.shape).astype(np.int8), scales.reshape(self.shape))
        tensors[made.inputs[1]] = tensors[made.inputs[1]].with_(given=given, codes=codes)
        return made


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
    tensors, done = dict(graph.tensors), []

    def change(node: Node, values: Values, mine: Values) -> list[Node]:
        if node.name not in names:
            return [node]
        ctx.progress(label, len(done), len(names))
        done.append(node.name)
        return [fit(node, tensors, problem(node, tensors, values[node.inputs[0]], mine[node.inputs[0]]))]

    return graph.rebuilt(in_order(graph, data, change, tensors), tensors)
