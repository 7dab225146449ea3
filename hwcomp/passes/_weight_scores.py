"""What single weights are worth: the criteria of pruning inside layers.

Sources: Han et al., "Learning both Weights and Connections", NeurIPS 2015 (size); Sun et al., "Wanda", ICLR 2024 (activation:
size times the norm of the input); Hassibi and Stork, "Optimal Brain Surgeon", NIPS 1992 (obs: the least error of the layer's
output when a weight goes and the others answer); Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR
2019 (taylor: the square of weight x gradient of the loss, sample by sample).
"""

from __future__ import annotations

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.graph import Graph
from hwcomp.passes._gradients import Tape, inside, logits_of, loss_gradient
from hwcomp.passes._layerwise import spread
from hwcomp.passes._moments import windows
from hwcomp.passes._refit import Refit
from hwcomp.passes.base import PassContext
from hwcomp.samples import operands
from hwcomp.types import Node

OF_DATA = ("activation", "obs", "taylor")
CRITERIA = ("l1", "l2", *OF_DATA, "random")
_BATCH = 32  # samples whose tensors and gradients are in memory at once
_ELEMENTS = 1 << 25  # of the gradients of single samples


def scores(
    graph: Graph, ctx: PassContext, layers: list[Node], criterion: str, refit: Refit | None, samples: int, seed: int
) -> dict[str, np.ndarray]:
    """float64 in the shape of each layer's weights, by the name of its result. UsageError where `taylor` has no labels.

    `refit` has the calibration data; None: there is none.
    """
    weights = {n.outputs[0]: graph.tensors[n.inputs[1]].data.astype(np.float64) for n in layers}
    if criterion == "l1":
        return {name: np.abs(w) for name, w in weights.items()}
    if criterion == "random":
        rng = np.random.default_rng(seed)
        return {name: rng.uniform(0, 1, w.shape) for name, w in weights.items()}
    if criterion == "taylor":
        factors = _squared_gradients(graph, ctx, layers, samples)
    elif criterion == "l2":
        factors = dict.fromkeys(weights, 1.0)
    else:
        factors = {}
        for node in layers:
            m, name = refit.inputs(layers)[node.outputs[0]], node.outputs[0]
            diagonal = np.diagonal(np.linalg.inv(m.gram) if criterion == "obs" else m.gram, axis1=1, axis2=2)
            factor = 1 / diagonal if criterion == "obs" else diagonal + m.mean[:, 0] ** 2
            rows = len(weights[name]) // len(factor)
            factors[name] = np.repeat(factor, rows, axis=0).reshape(weights[name].shape)
    return {name: w * w * factors[name] for name, w in weights.items()}


def _squared_gradients(graph: Graph, ctx: PassContext, layers: list[Node], samples: int) -> dict[str, np.ndarray]:
    """The sum over samples of the squared gradient of the loss by each weight."""
    if ctx.labels is None:
        raise UsageError(
            "sparsify.criterion=taylor needs labelled calibration data", fix="add an array `labels` to the data"
        )
    name, total = logits_of(graph), {n.outputs[0]: 0.0 for n in layers}
    chosen = spread({**ctx.calibration, "": ctx.labels}, samples, graph)
    labels = chosen.pop("")
    data = operands(chosen, ctx.input_types)
    for start in range(0, len(labels), _BATCH):
        part = slice(start, start + _BATCH)
        tape = Tape(graph, {n: a[part] for n, a in data.items()})
        back = tape.back(name, loss_gradient(tape.values[name], labels[part]))
        for node in layers:
            y = node.outputs[0]
            if y in back:
                total[y] = total[y] + _of_layer(graph, node, tape.values[node.inputs[0]], tape.values[y], back[y])
    return {
        y: np.broadcast_to(a, graph.tensors[n.inputs[1]].shape) for (y, a), n in zip(total.items(), layers, strict=True)
    }


def _of_layer(graph: Graph, node: Node, x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """float64 in the shape of the weights: squared gradients, added over the samples."""
    shape = graph.tensors[node.inputs[1]].shape
    dy = dy * inside(y, node.attrs.clamp) if node.attrs.clamp else dy
    total = np.zeros(shape)
    per = max(1, _ELEMENTS // total.size)
    for start in range(0, len(x), per):
        part = slice(start, start + per)
        if node.op == "Dense":
            left = dy[part].reshape(len(dy[part]), -1, shape[0]).swapaxes(1, 2)
            each = left @ x[part].reshape(len(x[part]), -1, shape[1])
        else:
            seen = windows(node, x[part], shape)  # [N, G, K, windows]
            left = dy[part].reshape(len(seen), seen.shape[1], -1, seen.shape[3])
            each = left @ seen.swapaxes(2, 3)
        total += np.square(each).sum(axis=0).reshape(shape)
    return total
