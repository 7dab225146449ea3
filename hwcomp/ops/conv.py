"""Conv: 1D and 2D convolution with any stride, dilation, group, pads. Source: ONNX operator specification, Conv."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval, _steps
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._checks import bad, need_float, need_rank, need_shape, result
from hwcomp.ops._window import convolved, out_size, planar, read_window, taps
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op

# Elements of the unfolded input that are in memory at once (64 MiB as float32).
_UNFOLDED = 1 << 24


@dataclass(frozen=True)
class ConvAttrs:
    """`pads` is (top, left, bottom, right); `clamp` is a fused (lo, hi) on the result, None for an open end.

    `steps`: what is fused behind it otherwise. `pad_value`: the real value of a padded element.
    """

    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int
    clamp: tuple[float | None, float | None] | None = None
    steps: tuple[_steps.Step, ...] = ()
    pad_value: float = 0.0


@op("Conv")
class Conv(Op):
    """Inputs (x [N, C, H, W], weight [M, C/groups, KH, KW] constant, bias [M] constant or "", constants of the steps).

    A 1D convolution becomes one of height 1, between reshapes.
    """

    kernels = ("conv2d",)

    def convert(self, node, ctx):
        x, weight, bias = convolved(node, ctx, "convolution")
        kernel = node.attr.integers("kernel_shape", weight.shape[2:], count=weight.ndim - 2, least=1)
        if kernel != weight.shape[2:]:
            raise node.model_error(f"kernel_shape is {list(kernel)}, the weight has {list(weight.shape[2:])}")
        window = read_window(node, x.shape[2:], kernel)
        groups = node.attr.integer("group", 1, least=1)
        attrs = ConvAttrs(window.strides, window.dilations, window.pads, groups)
        bias_name = node.input(2) if bias is not None else ""
        if weight.ndim == 4:
            return [ctx.node(node, "Conv", (node.input(0), node.input(1), bias_name), attrs)]
        flat = ctx.moved(
            ("planar", node.input(1)), node, node.input(1), weight.shape, lambda a: a.reshape(planar(weight.shape))
        )
        length = window.out_sizes(planar(x.shape)[2:])[1]
        chain = Chain(node, ctx).reshape(*planar(x.shape)).add("Conv", attrs, flat, bias_name)
        return chain.reshape(x.shape[0], len(weight), length).nodes()

    def infer(self, node, inputs):
        x, weight, bias, *constants = inputs
        need_float(node, x, weight, bias)
        need_rank(node, x, 4)
        need_rank(node, weight, 4)
        (m, per_group, kh, kw), channels, groups = weight.shape, x.shape[1], node.attrs.groups
        if per_group * groups != channels or m % groups:
            why = f"{groups} groups of {per_group} channels make {m} from an input of {channels}"
            raise bad(node, "channels of the convolution do not fit", why)
        for vector in (bias, *constants):
            need_shape(node, vector, (m,))
        return result(node, (x.shape[0], m, *out_size(node, x.shape[2:], (kh, kw), node.attrs, channels)))

    def evaluate(self, node, inputs):
        x, weight, bias, *constants = inputs
        top, left, bottom, right = node.attrs.pads
        x = np.pad(
            x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=x.dtype.type(node.attrs.pad_value)
        )
        y = _convolve(x, weight, node.attrs)
        if bias is not None:
            y += bias[:, None, None]
        if node.attrs.clamp:
            y = np.clip(y, *node.attrs.clamp)
        return [_steps.run(node.attrs.steps, y, constants, 1)]

    def interval(self, node, inputs, graph):
        low, high = _interval.of_input(node, 0, inputs, graph)
        if any(node.attrs.pads):
            low, high = min(low, node.attrs.pad_value), max(high, node.attrs.pad_value)
        weight = graph.tensors[node.inputs[1]].data
        bias = graph.tensors[node.inputs[2]].data if node.inputs[2] else None
        y = _interval.clamped(_interval.linear(weight.reshape(len(weight), -1), bias, (low, high)), node.attrs.clamp)
        return _steps.interval(node.attrs.steps, [graph.tensors[n].data for n in node.inputs[3:]], y)

    def lower(self, node, ctx):
        a, weight = node.attrs, ctx.graph.tensors[node.inputs[1]]
        x = ctx.channels_last(node.inputs[0], node)
        params = {
            "kernel": list(weight.shape[2:]), "strides": list(a.strides), "dilations": list(a.dilations),
            "pads": list(a.pads), "groups": a.groups,
            "pad_value": x.zero if a.pad_value == 0 else ctx.qtype(x.name).quantize(a.pad_value),
        }  # fmt: skip
        ctx.dot("conv2d", node, params, padded=any(a.pads))

    def export(self, node, writer):
        a, weight = node.attrs, writer.graph.tensors[node.inputs[1]]
        y = writer.emit(
            "Conv", writer.data(), *writer.weights(), kernel_shape=weight.shape[2:], strides=a.strides,
            dilations=a.dilations, pads=a.pads, group=a.groups,
        )  # fmt: skip
        return writer.clamp(y, a.clamp)

    def cost(self, node, graph):
        weight, out = graph.tensors[node.inputs[1]].shape, graph.tensors[node.outputs[0]].shape
        bias = weight[0] if node.inputs[2] else 0
        return Cost(macs=math.prod(out[2:]) * math.prod(weight), ops=0, params=math.prod(weight) + bias)

    def cases(self):
        yield _case("conv 3x3", (2, 6, 7), (3, 2, 3, 3))
        yield _case("conv 1x1 without bias", (5, 4, 3), (2, 5, 1, 1), bias=False)
        yield _case("conv stride 2 pads 1", (1, 9, 8), (4, 1, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
        yield _case("conv asymmetric", (3, 8, 5), (2, 3, 5, 2), strides=[3, 1], pads=[2, 0, 1, 1])
        yield _case("conv dilated", (2, 9, 9), (3, 2, 3, 2), dilations=[2, 3], pads=[0, 1, 2, 0])
        yield _case("conv depthwise", (4, 5, 6), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1])
        yield _case("conv groups", (6, 5, 5), (4, 3, 3, 3), group=2)
        yield _case("conv SAME_UPPER", (2, 6, 7), (3, 2, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2])
        yield _case("conv SAME_LOWER", (2, 6, 7), (3, 2, 4, 3), auto_pad="SAME_LOWER", strides=[2, 2], opset=7)
        yield _case("conv VALID", (1, 5, 5), (2, 1, 2, 2), auto_pad="VALID", opset=22)
        yield _case("conv whole input", (3, 4, 2), (5, 3, 4, 2))
        yield _case("conv 1d", (3, 11), (4, 3, 3), strides=[2], pads=[1, 0])
        yield _case("conv 1d grouped", (4, 9), (6, 2, 3), group=2, dilations=[2], auto_pad="VALID", bias=False)
        yield _case("conv 1d SAME_UPPER", (2, 7), (3, 2, 4), auto_pad="SAME_UPPER", strides=[2], opset=7)


def _case(label, shape, weight, *, bias=True, opset=17, **attrs):
    constants = {"w": random(label + "w", *weight, scale=0.5)}
    if bias:
        constants["b"] = random(label + "b", weight[0], scale=0.5)
    return case(label, [("Conv", ["x", *constants], ["y"], attrs)], {"x": (1, *shape)}, constants, opset=opset)


def _convolve(x, weight, attrs):
    """Valid convolution of x [N, C, H, W] (padded already): unfold, then one matrix product per sample and group."""
    (sh, sw), (dh, dw), groups = attrs.strides, attrs.dilations, attrs.groups
    (n, _, height, width), (m, cg, kh, kw) = x.shape, weight.shape
    oh, ow = (height - (kh - 1) * dh - 1) // sh + 1, (width - (kw - 1) * dw - 1) // sw + 1
    k, matrix = cg * kh * kw, weight.reshape(groups, m // groups, -1)
    y = np.empty((n, groups, m // groups, oh, ow), np.float32)
    rows = max(1, min(oh, _UNFOLDED // (groups * k * ow)))
    samples = max(1, _UNFOLDED // (groups * k * ow * rows))
    for s in range(0, n, samples):
        for r in range(0, oh, rows):
            block = y[s : s + samples, :, :, r : r + rows]
            count, high = block.shape[0], block.shape[3]
            part = x[s : s + samples, :, r * sh :].reshape(count, groups, cg, -1, width)
            unfolded = np.empty((count, groups, cg, kh, kw, high, ow), np.float32)
            for i in range(kh):
                line = taps(part, 3, i, high, sh, dh)
                for j in range(kw):
                    unfolded[:, :, :, i, j] = taps(line, 4, j, ow, sw, dw)
            block[...] = (matrix @ unfolded.reshape(count, groups, k, high * ow)).reshape(block.shape)
    return y.reshape(n, m, oh, ow)
