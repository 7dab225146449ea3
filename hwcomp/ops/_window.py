"""Sliding windows of convolutions and pools: attributes, padding rules, sizes, views.

Source: the ONNX operator specification, Conv, MaxPool and AveragePool (`auto_pad`, `ceil_mode`, `pads`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.graph import origin_of
from hwcomp.ops._chain import Chain
from hwcomp.ops._checks import bad
from hwcomp.ops._limits import elements

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node, Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A window over [H, W]. `pads` is (top, left, bottom, right), with auto_pad and ceil_mode already worked in.

    `beyond`: how many rows at the bottom and columns at the right of the pads only ceil_mode has added.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[int, int, int, int]
    beyond: Pair = (0, 0)

    def out_sizes(self, size: Pair) -> Pair:
        """[OH, OW] for an input of [H, W] = `size`; what does not fit is found by `out_size`."""
        height, width = (
            (size[a] + self.pads[a] + self.pads[a + 2] - (self.kernel[a] - 1) * self.dilations[a] - 1)
            // self.strides[a]
            for a in (0, 1)
        )
        return height + 1, width + 1


def planar(shape: tuple[int, ...]) -> tuple[int, ...]:
    """[..., L] as [..., 1, L], so that one dimension is a plane of height 1."""
    return (*shape[:-1], 1, shape[-1])


def whole_plane(node: OnnxNode, ctx: ImportContext, op: str, attrs: Callable[..., object]) -> list[Node]:
    """Nodes of a pool `op` whose one window is all of the plane of (x [N, C, H, W] or [N, C, L]); `attrs`: the class of its
    attributes."""
    node.expect(inputs=(1, 1))
    shape = ctx.tensor(node, 0).shape
    if len(shape) not in (3, 4):
        fix = "reshape it to [N, C, L] in front"
        raise node.unsupported(
            f"pooling of a tensor of shape {list(shape)}", "only 1D and 2D pooling is available", fix
        )
    chain = Chain(node, ctx)
    if len(shape) == 3:
        chain.reshape(*planar(shape))
    chain.add(op, attrs((shape if len(shape) == 4 else planar(shape))[2:], (1, 1), (1, 1), (0, 0, 0, 0)))
    return (chain if len(shape) == 4 else chain.reshape(*shape[:2], 1)).nodes()


def convolved(node: OnnxNode, ctx: ImportContext, kind: str) -> tuple[Tensor, np.ndarray, np.ndarray | None]:
    """(x, weight, bias) of a `kind` of convolution over L, or over H and W."""
    node.expect(inputs=(2, 3))
    x, weight = ctx.tensor(node, 0), ctx.constant(node, 1, "weight")
    bias = ctx.constant(node, 2, "bias") if node.input(2) else None
    if weight.ndim != len(x.shape):
        why = f"the input is {list(x.shape)}, the weight {list(weight.shape)}"
        raise node.model_error("input and weight of the convolution have different ranks", why)
    if weight.ndim not in (3, 4):
        rank = "3D" if weight.ndim == 5 else f"rank-{weight.ndim}"
        fix = "export it with 2D convolutions"
        raise node.unsupported(f"a {rank} {kind}", "only 1D and 2D convolutions are available", fix)
    return x, weight, bias


def read_window(
    node: OnnxNode, size: tuple[int, ...], kernel: tuple[int, ...], *, dilated: bool = True, ceil: bool = False
) -> Window:
    """Read strides, dilations, pads and auto_pad of `node`, for an input of [H, W] or [L] = `size`.

    `dilated`: this version of the operator has dilations. `ceil`: ceil_mode, by which the last window may hang over
    the end as long as it starts inside the input or its leading pad. One dimension becomes a plane of height 1.
    """
    rank = len(size)
    strides = node.attr.integers("strides", (1,) * rank, count=rank, least=1)
    dilations = node.attr.integers("dilations", (1,) * rank, count=rank, least=1) if dilated else (1,) * rank
    pads = node.attr.integers("pads", (0,) * 2 * rank, count=2 * rank, least=0)
    auto = node.attr.text("auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    if auto != "NOTSET":
        if any(pads):
            raise node.model_error(f"auto_pad={auto} together with pads", "only one of the two may be given")
        if ceil:
            raise node.unsupported(f"auto_pad={auto} together with ceil_mode=1", "the standard leaves its meaning open")
    ends = []
    for axis in range(rank):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        before, after = pads[axis], pads[axis + rank]
        beyond = 0
        if auto.startswith("SAME"):
            total = max((-(-size[axis] // strides[axis]) - 1) * strides[axis] + extent - size[axis], 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            after = total - before
        elif ceil:
            given, after = after, _ceil_pad(size[axis], extent, strides[axis], before, after)
            beyond = max(after - given, 0)
        ends.append((before, after, beyond))
    if rank == 1:
        ends.insert(0, (0, 0, 0))
        kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
    (top, bottom, below), (left, right, behind) = ends
    return Window(kernel, strides, dilations, (top, left, bottom, right), (below, behind))


def _ceil_pad(size: int, extent: int, stride: int, before: int, after: int) -> int:
    """The trailing pad under which rounding down gives the number of windows that ceil_mode asks for."""
    padded = size + before + after - extent
    count = -(-padded // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return after if padded // stride + 1 == count else max((count - 1) * stride + extent - size - before, 0)


def out_size(node: Node, size: Pair, kernel: Pair, attrs, channels: int) -> Pair:
    """[OH, OW] of a window over `channels` planes of `size`. ModelError where it does not fit or the pads are huge."""
    top, left, bottom, right = attrs.pads
    padded = (size[0] + top + bottom, size[1] + left + right)
    elements((channels, *padded), f"the padded input of {node.op}", origin_of(node))
    counts = []
    for axis in (0, 1):
        extent = (kernel[axis] - 1) * attrs.dilations[axis] + 1
        if extent > padded[axis]:
            raise bad(node, f"the window of {node.op} covers {extent} elements, its padded input has {padded[axis]}")
        counts.append((padded[axis] - extent) // attrs.strides[axis] + 1)
    return counts[0], counts[1]


def window_in_padding(attrs, size: Pair, out: Pair) -> bool:
    """Whether one of the `out` windows over [H, W] = `size` covers nothing but padding."""
    for axis in (0, 1):
        start = np.arange(out[axis]) * attrs.strides[axis] - attrs.pads[axis]
        tap = np.maximum(-(start // attrs.dilations[axis]), 0)  # the first at or after index 0
        if np.any((tap >= attrs.kernel[axis]) | (start + tap * attrs.dilations[axis] >= size[axis])):
            return True
    return False


def taps(x: np.ndarray, axis: int, tap: int, count: int, stride: int, dilation: int) -> np.ndarray:
    """View of the padded x along `axis`: what tap number `tap` sees in each of `count` windows."""
    begin = tap * dilation
    index = [slice(None)] * x.ndim
    index[axis] = slice(begin, begin + (count - 1) * stride + 1, stride)
    return x[tuple(index)]


def pool_kernel(node: OnnxNode, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The attribute kernel_shape of a pool over a tensor of `shape`: [N, C, H, W] or [N, C, L]."""
    if len(shape) not in (3, 4):
        fix = "pool over the axes in turn, with Reshapes between them"
        raise node.unsupported(
            f"pooling of a tensor of shape {list(shape)}", "only 1D and 2D pooling is available", fix
        )
    return node.attr.integers("kernel_shape", count=len(shape) - 2, least=1)


def pool_nodes(node: OnnxNode, ctx: ImportContext, op: str, attrs, window: Window) -> list[Node]:
    """The graph node of a pool; a 1D pool stands between reshapes."""
    shape = ctx.tensor(node, 0).shape
    if len(shape) == 4:
        return [ctx.node(node, op, node.inputs, attrs)]
    length = window.out_sizes(planar(shape)[2:])[1]
    return Chain(node, ctx).reshape(*planar(shape)).add(op, attrs).reshape(*shape[:2], length).nodes()
