"""Least squares behind structured pruning: what remains takes over what is gone.

Layer by layer, in order of execution, each dot product that reads changed values gets the weights and biases for which its
results are nearest to those of the whole network on calibration data. Sources: He et al., "Channel Pruning for
Accelerating Very Deep Neural Networks", ICCV 2017 (section 3.1, and 3.2 for what earlier layers changed already); Luo et
al., "ThiNet", ICCV 2017.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import evaluated, spread
from hwcomp.passes._moments import moments
from hwcomp.passes._patterns import refitted
from hwcomp.passes.base import PassContext, constant, free_dot, weight_and_bias
from hwcomp.quantize.rounding import damped
from hwcomp.samples import operands
from hwcomp.types import Node, Tensor

MODES = ("weights", "bias", "none")
_RIDGE = 1e-4  # of the mean second moment, added to each: keeps the equations solvable where inputs say the same


def repaired(
    graph: Graph,
    small: Graph,
    kept: dict[str, np.ndarray],
    ctx: PassContext,
    mode: str,
    samples: int,
    near: bool = False,
) -> Graph:
    """`small`, with weights and biases that make up for what `graph` has lost.

    `kept`: bool [rows] by the name of a dot product's result, which of its rows are left. `mode`: weights and biases, or
    biases alone. `near`: only those layers that read less than they did.
    """
    data = operands(spread(ctx.calibration, samples, graph), ctx.input_types)
    whole, less, tensors = dict(data), dict(data), dict(small.tensors)
    last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
    nodes: list[Node] = []
    with np.errstate(all="ignore"):
        for i, (old, node) in enumerate(zip(graph.nodes, small.nodes, strict=True)):
            x, y = node.inputs[0], node.outputs[0]
            y_whole = evaluated(_open(old), graph.tensors, whole, graph.batched)
            changed = free_dot(node) and less[x] is not whole[x]
            if changed and (not near or less[x].shape != whole[x].shape):
                node = _fitted(node, y_whole, kept[y], less[x], tensors, mode)
            nodes.append(node)
            same = node == old and all(less[n] is whole[n] for n in old.inputs if n in whole)
            whole[y] = _closed(old, y_whole)
            less[y] = whole[y] if same else evaluated(node, tensors, less, graph.batched)
            for name in old.inputs:
                if last.get(name, i) <= i:
                    whole.pop(name, None)
                    less.pop(name, None)
    return small.rebuilt(nodes, tensors)


def _open(node: Node) -> Node:
    """A dot product without its clamp: errors are measured in front of it."""
    return node.with_(attrs=replace(node.attrs, clamp=None)) if free_dot(node) else node


def _closed(node: Node, y: np.ndarray) -> np.ndarray:
    return np.clip(y, *node.attrs.clamp) if free_dot(node) and node.attrs.clamp else y


def _fitted(node: Node, y: np.ndarray, kept: np.ndarray, x: np.ndarray, tensors: dict[str, Tensor], mode: str) -> Node:
    """`node` with the weights and the bias whose results on x are nearest to the kept rows of y."""
    weight, bias = weight_and_bias(node, tensors)
    if node.op == "Conv":  # a graph without a batch axis has samples of batches
        x, y = (a.reshape(-1, *a.shape[-3:]) for a in (x, y))
    y = np.compress(kept, y, axis=1 if node.op == "Conv" else y.ndim - 1)
    m = moments(_open(node), y, x, weight, bias)
    bias = bias + m.residual
    if mode == "weights":
        fitted = refilled(weight.reshape(m.cross.shape), m.gram, m.cross)
        change = fitted - weight.reshape(fitted.shape)
        weight = fitted.reshape(weight.shape)
        bias = bias - (change * m.mean).sum(axis=2).ravel()
    names = [
        constant(tensors, f"{node.outputs[0]}__{what}", a.astype(np.float32)).name
        for what, a in (("weight", weight), ("bias", bias))
    ]
    return node.with_(inputs=(node.inputs[0], *names, *node.inputs[3:]))


def refilled(own: np.ndarray, gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """[G, M, K]: the weights of least squares in place of `own`; what is zero there stays so. As `solved`."""
    fitted = own + solved(gram, cross)
    return refitted(fitted, damped(gram), own != 0) if (own == 0).any() else fitted


def solved(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """[G, M, K]: cross . gram^-1, with a ridge; gram [G, K, K], cross [G, M, K]."""
    k = gram.shape[-1]
    ridge = _RIDGE * np.trace(gram, axis1=1, axis2=2) / k
    full = gram + np.where(ridge > 0, ridge, 1.0)[:, None, None] * np.eye(k)
    return np.linalg.solve(full, cross.swapaxes(1, 2)).swapaxes(1, 2)
