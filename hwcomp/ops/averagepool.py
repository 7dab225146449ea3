"""AveragePool over H and W, or over L. Source: ONNX operator specification, AveragePool (versions 7 to 22)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import bad, need_float, need_rank, result
from hwcomp.ops._window import Pair, out_size, pool_kernel, pool_nodes, read_window, taps, window_in_padding
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class AveragePoolAttrs:
    """`pads` is (top, left, bottom, right), with auto_pad and ceil_mode worked in.

    A padded element is zero; it counts in the divisor if `count_include_pad`, but for the last `beyond` (rows at the
    bottom, columns at the right), which only ceil_mode has added: they never count. `total`: sums, not averages.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[int, int, int, int]
    count_include_pad: bool = False
    beyond: Pair = (0, 0)
    total: bool = False

    def divisors(self, size: Pair) -> np.ndarray:
        """int64 [OH, OW]: how many elements each window over [H, W] = `size` averages; 1 for sums."""
        rows, columns = (self._counts(axis, size[axis]) for axis in (0, 1))
        return np.ones((len(rows), len(columns)), np.int64) if self.total else rows[:, None] * columns

    def _counts(self, axis: int, size: int) -> np.ndarray:
        before, after = self.pads[axis], self.pads[axis + 2]
        extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        count = (size + before + after - extent) // self.strides[axis] + 1
        low, high = (-before, size + after - self.beyond[axis]) if self.count_include_pad else (0, size)
        start = np.arange(count) * self.strides[axis] - before
        # Taps at start + j * dilation, j from 0 to kernel - 1, that lie in [low, high).
        d, k = self.dilations[axis], self.kernel[axis]
        first = np.clip(-((start - low) // d), 0, k)
        last = np.clip(-((start - high) // d), 0, k)
        return last - first


@op("AveragePool")
class AveragePool(Op):
    """Input (x [N, C, H, W]). A 1D pool becomes one of height 1, between reshapes."""

    kernels = ("avgpool2d",)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        x = ctx.tensor(node, 0)
        kernel = pool_kernel(node, x.shape)
        ceil = node.opset >= 10 and node.attr.flag("ceil_mode", False)
        include = node.attr.flag("count_include_pad", False)
        window = read_window(node, x.shape[2:], kernel, dilated=node.opset >= 19, ceil=ceil)
        attrs = AveragePoolAttrs(window.kernel, window.strides, window.dilations, window.pads, include, window.beyond)
        return pool_nodes(node, ctx, "AveragePool", attrs, window)

    def infer(self, node, inputs):
        x, a = inputs[0], node.attrs
        need_float(node, x)
        need_rank(node, x, 4)
        out = out_size(node, x.shape[2:], a.kernel, a, x.shape[1])
        if not a.count_include_pad and window_in_padding(a, x.shape[2:], out):
            raise bad(node, "a pooling window lies wholly in the padding", "it has no average")
        return result(node, (*x.shape[:2], *out))

    def evaluate(self, node, inputs):
        a, total = node.attrs, inputs[0].astype(np.float64)
        divisors = a.divisors(total.shape[2:])
        top, left, bottom, right = a.pads
        if any(a.pads):
            total = np.pad(total, ((0, 0), (0, 0), (top, bottom), (left, right)))
        for axis in (2, 3):  # the sum of a window is the sum of its rows' sums
            k, s, d = a.kernel[axis - 2], a.strides[axis - 2], a.dilations[axis - 2]
            count = (total.shape[axis] - (k - 1) * d - 1) // s + 1
            part = taps(total, axis, 0, count, s, d).copy()
            for i in range(1, k):
                part += taps(total, axis, i, count, s, d)
            total = part
        return [(total / divisors).astype(np.float32)]

    def interval(self, node, inputs, graph):
        low, high = _interval.of_input(node, 0, inputs, graph)
        if node.attrs.total:
            count = math.prod(node.attrs.kernel)
            return min(low, low * count, 0.0), max(high, high * count, 0.0)
        return (min(low, 0.0), max(high, 0.0)) if node.attrs.count_include_pad and any(node.attrs.pads) else (low, high)

    def lower(self, node, ctx):
        a = node.attrs
        params = {
            "kernel": list(a.kernel), "strides": list(a.strides), "dilations": list(a.dilations), "pads": list(a.pads),
        }  # fmt: skip
        ctx.avgpool(node, a.divisors(ctx.sample_shape(node.inputs[0])[1:]), params)

    def export(self, node, writer):
        """As AveragePool, or as sums and divisors where that can't say it: it has no dilations, and only some pads."""
        a, x = node.attrs, writer.graph.tensors[node.inputs[0]]
        channels, divisors = x.shape[1], a.divisors(x.shape[2:])
        inside = all(pad < size for pad, size in zip(a.pads, a.kernel * 2, strict=True))
        if not a.total and a.dilations == (1, 1) and a.beyond == (0, 0) and inside:
            window = {"kernel_shape": a.kernel, "strides": a.strides, "pads": a.pads}
            return writer.emit("AveragePool", writer.data(), **window, count_include_pad=int(a.count_include_pad))
        one = np.ones((channels, 1, *a.kernel), np.float32)
        total = writer.emit(
            "Conv", writer.data(), one, group=channels, strides=a.strides, dilations=a.dilations, pads=a.pads
        )
        return writer.emit("Div", total, divisors.astype(np.float32)[None, None])

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape) * math.prod(node.attrs.kernel))

    def cases(self):
        yield _case("averagepool 2x2", (2, 6, 4), strides=[2, 2])
        yield _case("averagepool odd", (3, 7, 5), kernel_shape=[3, 2], strides=[2, 2], opset=7)
        yield _case("averagepool padded", (2, 5, 6), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        yield _case("averagepool counts pads", (2, 5, 6), kernel_shape=[3, 3], pads=[1, 0, 2, 1], count_include_pad=1)
        yield _case("averagepool ceil", (2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=11)
        both = {"ceil_mode": 1, "count_include_pad": 1, "pads": [1, 1, 1, 0], "strides": [2, 2]}
        yield _case("averagepool ceil counts pads", (1, 6, 7), kernel_shape=[3, 2], **both, opset=19)
        yield _case("averagepool SAME_UPPER", (2, 5, 6), strides=[2, 2], kernel_shape=[3, 3], auto_pad="SAME_UPPER")
        yield _case("averagepool SAME_LOWER", (1, 5, 5), strides=[2, 2], auto_pad="SAME_LOWER", count_include_pad=1)
        yield _case("averagepool dilated", (2, 7, 8), kernel_shape=[2, 3], dilations=[3, 2], opset=22)
        yield _case("averagepool 1d", (3, 9), kernel_shape=[4], strides=[2], pads=[1, 2])


def _case(label, shape, *, opset=17, **attrs):
    attrs.setdefault("kernel_shape", [2, 2])
    return case(label, [("AveragePool", ["x"], ["y"], attrs)], {"x": (1, *shape)}, opset=opset)
