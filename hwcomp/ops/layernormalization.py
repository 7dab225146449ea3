"""LayerNormalization over the last axes. Source: ONNX operator specification, LayerNormalization (version 17)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class LayerNormalizationAttrs:
    """Normalized over the axes from `axis` on, counted with the batch axis."""

    axis: int
    epsilon: float


@op("LayerNormalization")
class LayerNormalization(Op):
    """Inputs (x, scale, bias or ""): scale and bias are constants that broadcast to the normalized axes."""

    kernels = ("layernorm",)

    def convert(self, node, ctx):
        node.expect(inputs=(2, 3), extra_outputs="mean and deviation stay inside: only its first output is available")
        shape = ctx.tensor(node, 0).shape
        axis = node.attr.axis("axis", -1, rank=len(shape))
        epsilon = node.attr.real("epsilon", 1e-5)
        node.attr.integer("stash_type", 1)  # of floats inside, which there are none of
        if ctx.batched and axis == 0:
            raise node.unsupported(
                "LayerNormalization over the batch axis", "it mixes the samples of a batch", "set its axis"
            )
        if not epsilon > 0:
            raise node.unsupported(
                f"LayerNormalization with epsilon {epsilon:g}", "a row of equal values has no deviation"
            )
        names = [node.input(0)]
        for i, what in ((1, "scale"), (2, "bias")):
            if not node.input(i):
                names.append("")
                continue
            values = ctx.constant(node, i, what)
            try:
                np.broadcast_shapes(values.shape, shape[axis:])
                whole = np.broadcast_to(values, shape[axis:])
            except ValueError:
                why = f"it is {list(values.shape)}, the normalized axes are {list(shape[axis:])}"
                raise node.model_error(f"the {what} of LayerNormalization does not fit", why) from None
            key = (f"{what} {axis} {shape[axis:]}", node.input(i))
            names.append(ctx.derived(key, node, (whole.size,), lambda whole=whole: whole.reshape(-1)))
        return [ctx.node(node, self.name, tuple(names), LayerNormalizationAttrs(axis, epsilon))]

    def infer(self, node, inputs):
        x, *constants = inputs
        need_float(node, *inputs)
        size = math.prod(x.shape[node.attrs.axis :])
        if any(c is not None and c.shape != (size,) for c in constants):
            raise bad(node, f"scale and bias of LayerNormalization need {size} values")
        return result(node, x.shape)

    def evaluate(self, node, inputs):
        x, scale, bias = inputs
        rows = x.reshape(*x.shape[: node.attrs.axis], -1)
        centred = rows - rows.mean(axis=-1, keepdims=True)
        y = (
            centred
            / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(node.attrs.epsilon))
            * scale
        )
        return [(y if bias is None else y + bias).reshape(x.shape)]

    def interval(self, node, inputs, graph):
        scale = np.abs(graph.tensors[node.inputs[1]].data.astype(np.float64))
        bias = graph.tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else 0.0
        reach = scale * math.sqrt(max(scale.size - 1, 0)) * (1 + 2.0**-20)  # one value against all others
        return float((bias - reach).min()), float((bias + reach).max())

    def lower(self, node, ctx):
        ctx.layernorm(node)

    def export(self, node, writer):
        x = writer.graph.tensors[node.inputs[0]]
        constants = [writer.graph.tensors[n].data.reshape(x.shape[node.attrs.axis :]) for n in node.inputs[1:] if n]
        writer.need_opset(17)
        return writer.emit(self.name, writer.data(), *constants, axis=node.attrs.axis, epsilon=node.attrs.epsilon)

    def cost(self, node, graph):
        count = math.prod(graph.tensors[node.outputs[0]].shape)
        return Cost(ops=4 * count, params=sum(graph.tensors[n].data.size for n in node.inputs[1:] if n))

    def cases(self):
        yield _case("layernorm", ("N", 5, 8), (8,))
        yield _case("layernorm one axis of a map", (1, 3, 4, 6), (6,), epsilon=1e-3)
        yield _case("layernorm two axes", (1, 4, 3, 5), (3, 5), axis=2, interval=(-3.0, 1.0))
        yield _case("layernorm whole sample", ("N", 7), (7,), axis=1, stash_type=1)
        plain = [("LayerNormalization", ["x", "g"], ["y"], {})]
        yield case(
            "layernorm without bias", plain, {"x": (1, 2, 9)}, {"g": np.float32([1.5])}, opset=17, interval=(0.0, 200.0)
        )


def _case(label, shape, size, *, interval=(-2.0, 2.0), **attrs):
    constants = {"g": random(label, *size) + np.float32(1.1), "b": random(f"{label} bias", *size)}
    return case(
        label,
        [("LayerNormalization", ["x", "g", "b"], ["y"], attrs)],
        {"x": shape},
        constants,
        opset=17,
        interval=interval,
    )
