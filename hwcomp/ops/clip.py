"""Clip: limits from below and above. Source: ONNX operator specification, Clip (attributes before 11, inputs after)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op

# Exporters write the largest float32 where there is no bound.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ClipAttrs:
    """Bounds; None: no bound on that side."""

    lo: float | None
    hi: float | None


@op("Clip")
class Clip(Op):
    """Input (x), any shape. Relu becomes Clip(0, None)."""

    kernels = ("requantize",)

    def convert(self, node, ctx):
        if node.opset < 11:
            node.expect(inputs=(1, 1))
            lo, hi = node.attr.real("min", -_LARGEST), node.attr.real("max", _LARGEST)
        else:
            node.expect(inputs=(1, 3))
            lo, hi = _bound(node, ctx, 1, "min", -_LARGEST), _bound(node, ctx, 2, "max", _LARGEST)
        if not lo <= hi:
            raise node.model_error(
                f"min={lo:g} is above max={hi:g}" if lo > hi else "a bound is not a number",
                "no value lies between them",
                fix="give Clip a min that is not above its max",
            )
        if lo > _LARGEST or hi < -_LARGEST:
            raise node.model_error("both bounds are the same infinity")
        attrs = ClipAttrs(None if lo <= -_LARGEST else lo, None if hi >= _LARGEST else hi)
        return [ctx.node(node, "Clip", (node.input(0),), attrs)]

    def infer(self, node, inputs):
        need_float(node, inputs[0])
        return result(node, inputs[0].shape)

    def evaluate(self, node, inputs):
        a = node.attrs
        return [inputs[0] if a.lo is None and a.hi is None else np.clip(inputs[0], a.lo, a.hi)]

    def interval(self, node, inputs, graph):
        return _interval.clamped(_interval.of_input(node, 0, inputs, graph), (node.attrs.lo, node.attrs.hi))

    def lower(self, node, ctx):
        ctx.pointwise(node, np.ones(1), np.zeros(1), (node.attrs.lo, node.attrs.hi))

    def export(self, node, writer):
        return writer.clamp(writer.data(), (node.attrs.lo, node.attrs.hi))

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape))

    def cases(self):
        lo, hi = np.float32(-0.25), np.float32(0.625)
        x = {"x": (1, 3, 4, 5)}
        yield case("clip both", [("Clip", ["x", "lo", "hi"], ["y"], {})], x, {"lo": lo, "hi": hi})
        yield case("clip max only", [("Clip", ["x", "", "hi"], ["y"], {})], {"x": (1, 9)}, {"hi": hi})
        yield case("clip min only", [("Clip", ["x", "lo"], ["y"], {})], {"x": ("N", 9)}, {"lo": lo}, opset=11)
        yield case("clip attributes", [("Clip", ["x"], ["y"], {"min": -0.5, "max": 0.5})], x, opset=7)
        yield case("clip no bounds", [("Clip", ["x"], ["y"], {})], {"x": (1, 4)})


def _bound(node, ctx, index, name, default):
    if not node.input(index):
        return default
    value = ctx.constant(node, index, name, finite=False)
    if value.size != 1:
        raise node.model_error(f"{name} has {value.size} elements", "it must be a scalar")
    return float(value.reshape(()))
