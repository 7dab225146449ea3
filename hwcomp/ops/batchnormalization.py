"""BatchNormalization in inference. Source: ONNX operator specification, BatchNormalization (versions 7 to 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, need_float, need_shape, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op
from hwcomp.types import Node


@dataclass(frozen=True)
class BatchNormalizationAttrs:
    epsilon: float


def affine_of(node: Node, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """float64 (gain, shift) per channel: BatchNormalization(x) = gain * x + shift."""
    scale, shift, mean, var = (graph.tensors[n].data.astype(np.float64) for n in node.inputs[1:5])
    gain = scale / np.sqrt(var + node.attrs.epsilon)
    return gain, shift - mean * gain


@op("BatchNormalization")
class BatchNormalization(Op):
    """Inputs (x [N, C, ...], scale, bias, mean, var: constants [C])."""

    kernels = ("requantize",)

    def convert(self, node, ctx):
        node.expect(inputs=(5, 5))
        epsilon = node.attr.real("epsilon", 1e-5)
        node.attr.real("momentum", 0.9)  # only training reads it
        if node.opset < 9 and not node.attr.flag("spatial", True):
            raise node.unsupported("spatial=0", "statistics per element are not available")
        if node.opset >= 14 and node.attr.flag("training_mode", False):
            raise node.unsupported(
                "training_mode=1",
                "it takes the statistics of a batch",
                "export the model in inference mode (model.eval())",
            )
        for i, what in enumerate(("scale", "bias", "mean", "variance"), start=1):
            values = ctx.constant(node, i, what)
            if what == "variance" and not np.all(np.isfinite(epsilon + values) & (epsilon + values > 0)):
                raise node.model_error("a variance plus epsilon is not positive", "its root can't be taken")
        return [ctx.node(node, "BatchNormalization", node.inputs, BatchNormalizationAttrs(epsilon))]

    def infer(self, node, inputs):
        need_float(node, *inputs)
        x = inputs[0]
        if len(x.shape) < 2:
            raise bad(node, f"BatchNormalization of a tensor of shape {list(x.shape)}", "it has no channel axis")
        for constant in inputs[1:]:
            need_shape(node, constant, (x.shape[1],))
        return result(node, x.shape)

    def evaluate(self, node, inputs):
        x = inputs[0]
        scale, bias, mean, var = (c.reshape(-1, *[1] * (x.ndim - 2)) for c in inputs[1:])
        factor = scale / np.sqrt(var + np.float32(node.attrs.epsilon))
        return [(x - mean) * factor + bias]

    def interval(self, node, inputs, graph):
        scale, bias, mean, var = (graph.tensors[n].data.astype(np.float64) for n in node.inputs[1:])
        factor = scale / np.sqrt(var + node.attrs.epsilon)
        ends = [_interval.scaled(factor, e) for e in _interval.of_input(node, 0, inputs, graph)]
        offset = bias - mean * factor
        slack = (np.maximum(*np.abs(ends)) + np.abs(bias) + np.abs(mean * factor)) * 2.0**-49
        low, high = np.minimum(*ends) + offset, np.maximum(*ends) + offset
        return _interval.outward(low, high, np.where(np.isfinite(slack), slack, 0.0))

    def lower(self, node, ctx):
        ctx.need_batch(node)
        ctx.pointwise(node, *affine_of(node, ctx.graph))

    def export(self, node, writer):
        constants = (writer.graph.tensors[n].data for n in node.inputs[1:])
        return writer.emit("BatchNormalization", writer.data(), *constants, epsilon=node.attrs.epsilon)

    def cost(self, node, graph):
        """Two operations per element and four vectors; a product or a difference with a constant (`_affine`), whose other vectors
        say nothing, has one operation, and that constant."""
        shape = graph.tensors[node.outputs[0]].shape
        if node.attrs.epsilon:
            return Cost(ops=2 * math.prod(shape), params=4 * shape[1])
        vectors = zip((graph.tensors[name].data for name in node.inputs[1:]), (1, 0, 0, 1), strict=True)
        said = [a for a, neutral in vectors if (np.abs(a) != neutral).any()]
        params = sum(a.size if (a != a[0]).any() else 1 for a in said)
        return Cost(ops=min(max(len(said), 1), 2) * math.prod(shape), params=params)

    def cases(self):
        yield _case("batchnorm", (1, 3, 4, 5), epsilon=1e-3)
        yield _case("batchnorm rank 2", ("N", 6), opset=9, momentum=0.5)
        yield _case("batchnorm version 7", (1, 4, 3, 3), opset=7)
        yield _case("batchnorm version 14", (1, 2, 5, 3), opset=14, training_mode=0)


def _case(label, shape, *, opset=15, **attrs):
    channels = shape[1]
    constants = {name: random(label + name, channels) for name in ("scale", "bias", "mean")}
    constants["var"] = np.abs(random(label + "var", channels)) + np.float32(0.1)
    return case(label, [("BatchNormalization", ["x", *constants], ["y"], attrs)], {"x": shape}, constants, opset=opset)
