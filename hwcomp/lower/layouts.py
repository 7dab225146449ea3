"""The order of a tensor's elements through the operators that only rename or rearrange axes."""

from __future__ import annotations

import math
from itertools import pairwise

from sw_ref.program import Layout


def usual(shape: tuple[int, ...]) -> Layout:
    """What kernels take: feature maps (channels, then at least two axes) channels-last, all else row-major."""
    return Layout.channels_last(shape) if len(shape) >= 3 else Layout.row_major(shape)


def transposed(layout: Layout, shape: tuple[int, ...], perm: tuple[int, ...]) -> Layout | None:
    """The layout that carries the elements in the same order after a transpose of the logical `shape` by `perm`.

    None where no Layout can say that: `layout` cuts the axes in places that don't fit those of `shape`.
    """
    cuts = sorted(set(_cuts(layout.dims)) | set(_cuts(shape)))
    if any(b % a for a, b in pairwise(cuts)):
        return None
    # Fine axes, the last one first, as sizes; each lies in one axis of `layout` and in one of `shape`.
    sizes = [b // a for a, b in pairwise(cuts)][::-1]
    ends = cuts[1:][::-1]
    of_shape, of_layout = (_groups(ends, _cuts(dims)) for dims in (shape, layout.dims))
    logical = [fine for axis in perm for fine in of_shape[axis]]
    carried = [fine for axis in layout.perm for fine in of_layout[axis]]
    return Layout(
        tuple(sizes[fine] for fine in logical) or (1,), tuple(logical.index(fine) for fine in carried) or (0,)
    )


def _cuts(dims: tuple[int, ...]) -> list[int]:
    """Products of the last 0, 1, 2, ... sizes: where an axis begins, counted in elements from the end."""
    return [math.prod(dims[i:]) for i in range(len(dims), -1, -1)]


def _groups(ends: list[int], cuts: list[int]) -> list[list[int]]:
    """For each axis (the first first) the fine axes in it; an axis of size 1 has none."""
    pairs = list(pairwise(cuts))[::-1]
    return [[i for i, end in enumerate(ends) if low < end <= high] for low, high in pairs]
