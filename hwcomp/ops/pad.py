"""Pad with a constant, around height and width. Source: ONNX operator specification, Pad."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._checks import need_float, need_rank, result
from hwcomp.ops._window import planar
from hwcomp.ops.base import Op
from hwcomp.registry import op

_LOWEST = -float(np.finfo(np.float32).max)
_MODES = ("constant", "reflect", "edge", "wrap")


@dataclass(frozen=True)
class PadAttrs:
    """`pads` is (top, left, bottom, right). `value` is 0, or -inf: below every value, for a MaxPool behind it."""

    pads: tuple[int, int, int, int]
    value: float


@op("Pad")
class Pad(Op):
    """Input (x [N, C, H, W]); [N, H, W, C] is transposed, [N, C, L] reshaped around it."""

    ties_types = True
    kernels = ("pad",)
    note = "zeros; also as padding of the convolution or pool behind it"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1) if node.opset < 11 else (2, 4 if node.opset >= 18 else 3))
        x = ctx.tensor(node, 0)
        rank = len(x.shape)
        mode = node.attr.text("mode", "constant", _MODES[: 4 if node.opset >= 19 else 3])
        if node.opset < 11:
            given, value = node.attr.integers("pads"), node.attr.real("value", 0.0)
        else:
            given, value = ctx.integers(node, 1, "pads"), self._value(node, ctx)
        axes = node.axes(ctx.integers(node, 3, "axes"), rank) if node.input(3) else tuple(range(rank))
        if len(given) != 2 * len(axes):
            raise node.model_error(f"Pad has {len(given)} pads for {len(axes)} axes", "each axis needs two")
        pads = {axis: (given[i], given[i + len(axes)]) for i, axis in enumerate(axes)}
        pads = {axis: pair for axis, pair in pads.items() if any(pair)}
        if any(min(pair) < 0 for pair in pads.values()):
            raise node.unsupported("Pad with a negative number of elements", "it cuts; use Slice")
        if not pads:
            return Chain(node, ctx).nodes()
        if mode != "constant":
            raise node.unsupported(
                f"Pad with mode={mode}", "only constant padding is available", "pad the input of the network instead"
            )
        if x.is_constant:
            widths = [pads.get(axis, (0, 0)) for axis in range(rank)]
            shape = tuple(size + sum(pair) for size, pair in zip(x.shape, widths, strict=True))
            ctx.compute(node, shape, x.data.dtype, lambda: np.pad(x.data, widths, constant_values=value))
            return []
        if math.isnan(value) or _LOWEST < value != 0:
            raise node.unsupported(
                f"Pad with the value {value:g}",
                "only 0, and less than all values, are available",
                "subtract the value in front of it, and add it behind",
            )
        return self._computed(node, ctx, x.shape, pads, float("-inf") if value else 0.0)

    def _value(self, node, ctx):
        if not node.input(2):
            return 0.0
        array = ctx.constant(node, 2, "value", dtype=ctx.tensor(node, 0).dtype, finite=False)
        if array.size != 1:
            raise node.model_error(f"the value of Pad has {array.size} elements", "it must be a scalar")
        return array.reshape(()).item()

    def _computed(self, node, ctx, shape, pads, value):
        """Nodes for pads (before, after) by axis, which are on the plane of a feature map."""

        def around(first, second):
            (top, bottom), (left, right) = pads.get(first, (0, 0)), pads.get(second, (0, 0))
            return PadAttrs((top, left, bottom, right), value)

        chain = Chain(node, ctx)
        if len(shape) == 4 and set(pads) <= {2, 3}:
            return chain.add("Pad", around(2, 3)).nodes()
        if len(shape) == 4 and set(pads) <= {1, 2}:  # a feature map whose channels are last
            return chain.transpose(0, 3, 1, 2).add("Pad", around(1, 2)).transpose(0, 2, 3, 1).nodes()
        if len(shape) == 3 and set(pads) == {2}:
            length = shape[2] + sum(pads[2])
            return chain.reshape(*planar(shape)).add("Pad", around(None, 2)).reshape(*shape[:2], length).nodes()
        what = "the batch axis" if 0 in pads and ctx.batched else f"axes {sorted(pads)} of {list(shape)}"
        raise node.unsupported(
            f"Pad of {what}", "only height and width can be padded", "pad the input of the network instead"
        )

    def infer(self, node, inputs):
        x, (top, left, bottom, right) = inputs[0], node.attrs.pads
        need_float(node, x)
        need_rank(node, x, 4)
        return result(node, (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))

    def evaluate(self, node, inputs):
        top, left, bottom, right = node.attrs.pads
        return [np.pad(inputs[0], ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=node.attrs.value)]

    def interval(self, node, inputs, graph):
        low, high = _interval.of_input(node, 0, inputs, graph)
        return min(low, node.attrs.value), max(high, node.attrs.value)

    def lower(self, node, ctx):
        ctx.pad(node, node.attrs.pads)

    def export(self, node, writer):
        top, left, bottom, right = node.attrs.pads
        return writer.emit("Pad", writer.data(), np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))

    def cases(self):
        conv = {"w": random("pad conv", 3, 2, 3, 3)}
        into = [("Pad", ["x", "p"], ["h"], {}), ("Conv", ["h", "w"], ["y"], {"strides": [2, 2]})]
        tf = {"p": np.array([0, 0, 0, 0, 0, 0, 1, 1]), **conv}
        yield case("pad before conv", into, {"x": (1, 2, 6, 8)}, tf)
        old = [
            ("Pad", ["x"], ["h"], {"pads": [0, 0, 2, 1, 0, 0, 0, 1]}),
            ("Conv", ["h", "w"], ["y"], {"pads": [1, 0, 1, 2]}),
        ]
        yield case("pad attribute before conv", old, {"x": (1, 2, 5, 5)}, conv, opset=10)
        pool = [("Pad", ["x", "p", "v", "a"], ["h"], {}), ("MaxPool", ["h"], ["y"], {"kernel_shape": [3, 3]})]
        values = {"p": np.array([1, 0, 1, 2]), "v": np.float32(-np.inf), "a": np.array([-2, 3])}
        yield case("pad before maxpool", pool, {"x": (1, 2, 5, 6)}, values, opset=18)
        positive = [("Relu", ["x"], ["r"], {}), ("Pad", ["r", "p"], ["h"], {}), pool[1]]
        all_around = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
        yield case("pad zero before maxpool", positive, {"x": (1, 2, 5, 6)}, all_around, opset=13)
        mean = {"kernel_shape": [3, 3], "strides": [2, 2]}
        average = [("Pad", ["x", "p"], ["h"], {"mode": "constant"}), ("AveragePool", ["h"], ["y"], mean)]
        yield case("pad before averagepool", average, {"x": (1, 2, 5, 6)}, all_around, opset=11)
        alone = [("Pad", ["x", "p"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case("pad alone", alone, {"x": (1, 2, 3, 4)}, all_around)
        yield case("pad nothing", alone, {"x": (1, 2)}, {"p": np.zeros(4, np.int64)})
        line = {"p": np.array([0, 0, 2, 0, 0, 1]), "w": random("pad 1d", 3, 2, 3)}
        yield case("pad 1d", [into[0], ("Conv", ["h", "w"], ["y"], {})], {"x": (1, 2, 7)}, line)
        last = [("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}), ("Pad", ["t", "p"], ["q"], {})]
        last += [("Transpose", ["q"], ["h"], {"perm": [0, 3, 1, 2]}), ("Conv", ["h", "w"], ["y"], {})]
        yield case("pad channels last", last, {"x": (1, 2, 5, 4)}, {"p": np.array([0, 1, 0, 0, 0, 1, 2, 0]), **conv})
        weight = [("Pad", ["c", "p"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("pad a constant", weight, {"x": (1, 5)}, {"c": np.float32([1, 2]), "p": np.array([1, 2])})
