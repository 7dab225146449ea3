"""MaxPool over H and W, or over L. Source: ONNX operator specification, MaxPool (versions 1 to 22)."""

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
from sw_ref.program import Layout, type_range


@dataclass(frozen=True)
class MaxPoolAttrs:
    """`pads` is (top, left, bottom, right), with ceil_mode worked in; padded elements are never chosen."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[int, int, int, int]


@op("MaxPool")
class MaxPool(Op):
    """Input (x [N, C, H, W]). A 1D pool becomes one of height 1, between reshapes."""

    keeps_type = True
    kernels = ("maxpool2d",)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1), extra_outputs="indices of the largest elements are not available")
        x = ctx.tensor(node, 0)
        kernel = pool_kernel(node, x.shape)
        if node.opset >= 8 and node.attr.flag("storage_order", False):
            raise node.unsupported("storage_order=1", "it only matters for indices, which are not available")
        modern = node.opset >= 10
        ceil = modern and node.attr.flag("ceil_mode", False)
        window = read_window(node, x.shape[2:], kernel, dilated=modern, ceil=ceil)
        attrs = MaxPoolAttrs(window.kernel, window.strides, window.dilations, window.pads)
        return pool_nodes(node, ctx, "MaxPool", attrs, window)

    def infer(self, node, inputs):
        x, a = inputs[0], node.attrs
        need_float(node, x)
        need_rank(node, x, 4)
        out = out_size(node, x.shape[2:], a.kernel, a, x.shape[1])
        if window_in_padding(a, x.shape[2:], out):
            raise bad(node, "a pooling window lies wholly in the padding", "it has no largest element")
        return result(node, (*x.shape[:2], *out))

    def evaluate(self, node, inputs):
        a = node.attrs
        x = np.pad(inputs[0], _pad_widths(a.pads), constant_values=-np.inf) if any(a.pads) else inputs[0]
        for axis in (2, 3):  # the largest of a window is the largest of its rows' largest
            k, s, d = a.kernel[axis - 2], a.strides[axis - 2], a.dilations[axis - 2]
            count = (x.shape[axis] - (k - 1) * d - 1) // s + 1
            best = taps(x, axis, 0, count, s, d).copy()
            for i in range(1, k):
                np.maximum(best, taps(x, axis, i, count, s, d), out=best)
            x = best
        return [x]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        a, x = node.attrs, ctx.channels_last(node.inputs[0], node)
        params = {
            "kernel": list(a.kernel), "strides": list(a.strides), "dilations": list(a.dilations), "pads": list(a.pads),
            "pad_value": type_range(x.bits, x.signed)[0],
        }  # fmt: skip
        ctx.add_edge(node.outputs[0], x.lo, x.hi, Layout.channels_last(ctx.sample_shape(node.outputs[0])))
        ctx.add_kernel("maxpool2d", node, params)

    def export(self, node, writer):
        a, x = node.attrs, writer.data()
        top, left, bottom, right = pads = a.pads
        if any(pad >= size for pad, size in zip(pads, a.kernel * 2, strict=True)):  # onnxruntime refuses such a MaxPool
            widths = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            x, pads = writer.emit("Pad", x, widths, np.float32(-np.inf)), (0, 0, 0, 0)
        return writer.emit("MaxPool", x, kernel_shape=a.kernel, strides=a.strides, dilations=a.dilations, pads=pads)

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape) * math.prod(node.attrs.kernel))

    def cases(self):
        yield _case("maxpool 2x2", (2, 6, 4), strides=[2, 2])
        yield _case("maxpool odd", (3, 7, 5), strides=[2, 2], opset=7)
        yield _case("maxpool overlapping padded", (2, 7, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        yield _case("maxpool asymmetric", (1, 6, 7), kernel_shape=[2, 3], strides=[1, 2], pads=[1, 0, 0, 2])
        yield _case("maxpool ceil", (2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        yield _case(
            "maxpool ceil dropped", (1, 4, 5), kernel_shape=[2, 2], strides=[3, 4], pads=[0, 0, 1, 1], ceil_mode=1
        )
        yield _case("maxpool dilated", (2, 8, 9), kernel_shape=[3, 2], dilations=[2, 3], opset=22)
        yield _case("maxpool SAME_UPPER", (2, 5, 6), strides=[2, 2], auto_pad="SAME_UPPER")
        yield _case("maxpool SAME_LOWER", (2, 5, 6), strides=[2, 2], auto_pad="SAME_LOWER")
        yield _case("maxpool 1d", (3, 9), kernel_shape=[3], strides=[2], pads=[1, 1])
        yield _case("maxpool 1d ceil", (2, 8), kernel_shape=[3], strides=[2], ceil_mode=1, dilations=[1], opset=10)


def _case(label, shape, *, opset=17, **attrs):
    attrs.setdefault("kernel_shape", [2, 2])
    return case(label, [("MaxPool", ["x"], ["y"], attrs)], {"x": (1, *shape)}, opset=opset)


def _pad_widths(pads):
    top, left, bottom, right = pads
    return (0, 0), (0, 0), (top, bottom), (left, right)
