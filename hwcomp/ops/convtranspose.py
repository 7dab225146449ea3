"""ConvTranspose over H and W, or over L. Source: ONNX operator specification, ConvTranspose (versions 1 to 22).

With strides s every result sees one of s * s sets of taps, by its place in a block of s by s: one convolution computes the
blocks as channels, without a multiplication by an inserted zero, and they are put in their places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._window import convolved, planar
from hwcomp.ops.base import Op
from hwcomp.ops.conv import ConvAttrs
from hwcomp.ops.depthtospace import blocks_to_space
from hwcomp.ops.slice import SliceAttrs
from hwcomp.registry import op
from hwcomp.types import Given


@dataclass(frozen=True)
class _Axis:
    """One axis: `taps` (place in the block, tap of the kernel, tap of the convolution); the convolution's `kernel`, `dilation`
    and `pads`; `crop`: results in front of the first one that is wanted, of `size`."""

    stride: int
    taps: tuple[tuple[int, int, int], ...]
    kernel: int
    dilation: int
    pads: tuple[int, int]
    made: int
    crop: int
    size: int

    @classmethod
    def of(cls, have: int, kernel: int, stride: int, dilation: int, before: int, size: int) -> _Axis:
        """Result o gets input i times tap k where i * stride + k * dilation = o + before. With o + before = u * stride + r
        that is input u + e for e = (r - k * dilation) / stride."""
        found = [
            (r, k, (r - k * dilation) // stride)
            for r in range(stride) for k in range(kernel) if (r - k * dilation) % stride == 0
        ]  # fmt: skip
        least, most = min(e for *_, e in found), max(e for *_, e in found)
        step = math.gcd(*(e - least for *_, e in found)) or 1
        first = min(before // stride, -least)  # blocks u from first to last: no pad is negative
        last = max((before + size - 1) // stride, have - 1 - most)
        taps = tuple((r, k, (e - least) // step) for r, k, e in found)
        pads = -first - least, last + most - have + 1
        return cls(
            stride, taps, (most - least) // step + 1, step, pads, last - first + 1, before - first * stride, size
        )


@op("ConvTranspose")
class ConvTranspose(Op):
    """Inputs (x [N, C, H, W], weight [C, M/groups, KH, KW] constant, bias [M] constant or absent)."""

    becomes = "Conv"

    def convert(self, node, ctx):
        x, weight, bias = convolved(node, ctx, "transposed convolution")
        groups = node.attr.integer("group", 1, least=1)
        if weight.shape[0] != x.shape[1] or x.shape[1] % groups:
            why = f"the weight takes {weight.shape[0]} channels in {groups} groups, the input has {x.shape[1]}"
            raise node.model_error("channels of the convolution do not fit", why)
        m = weight.shape[1] * groups
        if bias is not None and bias.shape != (m,):
            raise node.model_error(f"the bias has shape {list(bias.shape)}", f"there are {m} output channels")
        axes = _read(node, x.shape[2:], weight.shape[2:])
        if len(axes) == 1:
            axes = [_Axis.of(1, 1, 1, 1, 0, 1), *axes]
        return self._nodes(node, ctx, axes, groups, m)

    def _nodes(self, node, ctx, axes, groups, m):
        x, (high, wide) = ctx.tensor(node, 0), axes
        line, blocks = len(x.shape) == 3, high.stride * wide.stride
        attrs = ConvAttrs(
            (1, 1), (high.dilation, wide.dilation), (high.pads[0], wide.pads[0], high.pads[1], wide.pads[1]), groups
        )
        bias = ""
        if node.input(2):
            spread = np.tile if groups == 1 else np.repeat
            key = ("blocks", node.input(2), blocks, groups == 1)
            bias = ctx.moved(key, node, node.input(2), (blocks * m,), lambda b: spread(b, blocks))
        chain = Chain(node, ctx)
        if line:
            chain.reshape(*planar(x.shape))
        chain.add("Conv", attrs, _weight(node, ctx, axes, groups), bias)
        shape = (x.shape[0], blocks * m, high.made, wide.made)
        if blocks > 1:
            blocks_to_space(chain, shape, (high.stride, wide.stride), first=groups == 1)
        for axis, place in enumerate(axes, start=2):
            if (place.crop, place.size) != (0, place.made * place.stride):
                chain.add("Slice", SliceAttrs(axis, place.crop, place.crop + place.size))
        return (chain.reshape(x.shape[0], m, wide.size) if line else chain).nodes()

    def cases(self):
        yield _case("convtranspose", (2, 3, 4), (2, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
        yield _case("convtranspose twice", (3, 4, 3), (3, 2, 2, 2), strides=[2, 2], bias=False)
        yield _case("convtranspose stride 1", (2, 4, 5), (2, 3, 3, 2), pads=[1, 0, 0, 1])
        odd = {"output_padding": [1, 0], "pads": [1, 2, 0, 1]}
        yield _case("convtranspose output padding", (2, 3, 3), (2, 2, 3, 4), strides=[2, 3], **odd)
        yield _case("convtranspose groups", (4, 3, 2), (4, 3, 3, 3), strides=[2, 2], group=2)
        yield _case("convtranspose depthwise", (3, 3, 3), (3, 1, 4, 4), strides=[2, 2], group=3, pads=[1, 1, 1, 1])
        yield _case("convtranspose dilated", (1, 4, 3), (1, 2, 3, 2), dilations=[2, 3], strides=[2, 1], opset=11)
        yield _case("convtranspose gaps", (2, 3, 3), (2, 2, 2, 1), strides=[3, 2], kernel_shape=[2, 1])
        yield _case("convtranspose SAME_UPPER", (1, 3, 4), (1, 2, 4, 4), strides=[2, 2], auto_pad="SAME_UPPER")
        yield _case("convtranspose output shape", (1, 3, 3), (1, 2, 3, 3), strides=[3, 3], output_shape=[8, 9])
        yield _case("convtranspose cut", (2, 7, 9), (2, 1, 3, 3), pads=[3, 4, 2, 3], opset=22)
        yield _case("convtranspose 1d", (3, 6), (3, 2, 4), strides=[2], pads=[1, 1])
        nodes = [
            ("Conv", ["x", "w"], ["h"], {}), ("ConvTranspose", ["h", "v", "b"], ["t"], {"strides": [2, 2]}),
            ("Relu", ["t"], ["r"], {}), ("Conv", ["r", "u"], ["y"], {"pads": [1, 1, 1, 1]}),
        ]  # fmt: skip
        held = {
            "w": random("ct w", 4, 2, 1, 1),
            "v": random("ct v", 4, 3, 2, 2),
            "b": random("ct b", 3),
            "u": random("ct u", 2, 3, 3, 3),
        }
        yield case("convtranspose between layers", nodes, {"x": (1, 2, 4, 3)}, held)


def _case(label, shape, weight, *, bias=True, opset=17, **attrs):
    constants = {"w": random(label + "w", *weight, scale=0.5)}
    if bias:
        constants["b"] = random(label + "b", weight[1] * attrs.get("group", 1), scale=0.5)
    nodes = [("ConvTranspose", ["x", *constants], ["y"], attrs)]
    return case(label, nodes, {"x": (1, *shape)}, constants, opset=opset)


def _read(node, size, kernel) -> list[_Axis]:
    """The attributes, by axis."""
    rank, a = len(size), node.attr
    kernel_shape = a.integers("kernel_shape", kernel, count=rank, least=1)
    if kernel_shape != kernel:
        raise node.model_error(f"kernel_shape is {list(kernel_shape)}, the weight has {list(kernel)}")
    strides, dilations = (a.integers(name, (1,) * rank, count=rank, least=1) for name in ("strides", "dilations"))
    more = a.integers("output_padding", (0,) * rank, count=rank, least=0)
    pads = a.integers("pads", (0,) * 2 * rank, count=2 * rank, least=0)
    auto = a.text("auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    if auto != "NOTSET" and any(pads):
        raise node.model_error(f"auto_pad={auto} together with pads", "only one of the two may be given")
    wanted = a.integers("output_shape", least=1) if a.has("output_shape") else None
    if wanted is not None and len(wanted) not in (rank, rank + 2):
        raise node.model_error(f"output_shape has {len(wanted)} sizes", f"there are {rank} axes")
    found = []
    for i in range(rank):
        whole = strides[i] * (size[i] - 1) + more[i] + (kernel[i] - 1) * dilations[i] + 1
        before, after = pads[i], pads[i + rank]
        if wanted is not None or auto.startswith("SAME"):
            total = max(whole - (wanted[i - rank] if wanted is not None else size[i] * strides[i]), 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            after = total - before
        result = wanted[i - rank] if wanted is not None else whole - before - after
        if result < 1:
            why = f"from {size[i]} elements {whole} come, of which {before} and {after} are cut off"
            raise node.model_error("nothing is left of a transposed convolution", why)
        found.append(_Axis.of(size[i], kernel[i], strides[i], dilations[i], before, result))
    return found


def _weight(node, ctx, axes, groups) -> str:
    """Name of the convolution's weight: [blocks * M, C/groups, ..] for one group, else [M * blocks, ..]."""
    name = node.input(1)
    source, (high, wide) = ctx.tensors[name], axes
    c, per_group = source.shape[:2]
    shape = (per_group * groups * high.stride * wide.stride, c // groups, high.kernel, wide.kernel)

    def move(a: np.ndarray, fill: bool = False) -> np.ndarray:
        """`fill`: taps that are not there are as the first one."""
        a = a.reshape(groups, c // groups, per_group, -1, source.shape[-1]).swapaxes(1, 2)
        made = np.zeros((groups, per_group, high.stride, wide.stride, c // groups, high.kernel, wide.kernel), a.dtype)
        if fill:
            made += a[:, :, None, None, :, :1, :1]
        for row, ky, ty in high.taps:
            for column, kx, tx in wide.taps:
                made[:, :, row, column, :, ty, tx] = a[..., ky, kx]
        return (made.transpose(0, 2, 3, 1, 4, 5, 6) if groups == 1 else made).reshape(shape)

    key = ("blocks", name, groups, high.taps, wide.taps)
    moved = ctx.moved(key, node, name, shape, move)
    if source.given is not None:
        given = Given(move(source.given.integers), move(source.given.scale, fill=True))
        ctx.tensors[moved] = ctx.tensors[moved].with_(given=given)
    return moved
