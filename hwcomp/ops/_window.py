"""Sliding windows of convolutions and pools: attributes, padding rules, sizes, views.

Source: the ONNX operator specification, Conv and MaxPool (`auto_pad`, `ceil_mode`, `pads`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.graph import origin_of
from hwcomp.ops._checks import bad
from hwcomp.ops._limits import elements

if TYPE_CHECKING:
    from hwcomp.frontend.context import OnnxNode
    from hwcomp.types import Node

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A window over [H, W]. `pads` is (top, left, bottom, right), with auto_pad and ceil_mode already worked in."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[int, int, int, int]


def read_window(node: OnnxNode, size: Pair, kernel: Pair, *, dilated: bool = True, ceil: bool = False) -> Window:
    """Read strides, dilations, pads and auto_pad of `node`, for an input of [H, W] = `size`.

    `dilated`: this version of the operator has dilations. `ceil`: ceil_mode, by which the last window may hang over
    the end as long as it starts inside the input or its leading pad.
    """
    strides = node.attr.integers("strides", (1, 1), count=2, least=1)
    dilations = node.attr.integers("dilations", (1, 1), count=2, least=1) if dilated else (1, 1)
    pads = node.attr.integers("pads", (0, 0, 0, 0), count=4, least=0)
    auto = node.attr.text("auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    if auto != "NOTSET":
        if any(pads):
            raise node.model_error(f"auto_pad={auto} together with pads", "only one of the two may be given")
        if ceil:
            raise node.unsupported(f"auto_pad={auto} together with ceil_mode=1", "the standard leaves its meaning open")
    ends = []
    for axis in (0, 1):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        before, after = pads[axis], pads[axis + 2]
        if auto.startswith("SAME"):
            total = max((-(-size[axis] // strides[axis]) - 1) * strides[axis] + extent - size[axis], 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            after = total - before
        elif ceil:
            after = _ceil_pad(size[axis], extent, strides[axis], before, after)
        ends.append((before, after))
    (top, bottom), (left, right) = ends
    return Window(kernel, strides, dilations, (top, left, bottom, right))


def _ceil_pad(size: int, extent: int, stride: int, before: int, after: int) -> int:
    """The trailing pad under which rounding down gives the number of windows that ceil_mode asks for."""
    count = -(-(size + before + after - extent) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max(after, (count - 1) * stride + extent - size - before)


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


def first_taps(count: int, kernel: int, stride: int, dilation: int, before: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` windows along an axis: its first tap at or after index 0, as tap number and as position."""
    start = np.arange(count) * stride - before
    tap = np.maximum(-(start // dilation), 0)
    return tap, start + tap * dilation


def taps(x: np.ndarray, axis: int, tap: int, count: int, stride: int, dilation: int) -> np.ndarray:
    """View of the padded x along `axis`: what tap number `tap` sees in each of `count` windows."""
    begin = tap * dilation
    index = [slice(None)] * x.ndim
    index[axis] = slice(begin, begin + (count - 1) * stride + 1, stride)
    return x[tuple(index)]
