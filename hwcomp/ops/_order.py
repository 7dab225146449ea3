"""Axes in the order in which kernels take the elements of a tensor, so that rearrangements around an operator are free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwcomp.ops._chain import Chain


def carried(rank: int) -> list[int]:
    """All axes but that of the batch, the fastest last: channels-last where there are maps."""
    return [*range(2, rank), 1] if rank >= 4 else list(range(1, rank))


def through(
    chain: Chain, shape: tuple[int, ...], between: list[int], steps: Callable[[Chain, tuple[int, ...]], tuple[int, ...]],
    target: tuple[int, ...],
) -> Chain:  # fmt: skip
    """`steps` on a tensor of `shape` seen as a map [1, B, A, R], back to `target`, in which only axes `between` differ.

    R are the axes `between`; A those that are carried before them, B those behind. `steps` appends to the chain and returns
    the sizes that stand for R, by axis in `between`. Where the axes `between` are carried together, nothing moves.
    """
    order = carried(len(shape))
    first = min(map(order.index, between))
    inner = sorted(between, key=order.index)
    a = order[:first]
    b = [axis for axis in order[first:] if axis not in between]
    perm = (0, *b, *a, *inner)
    sizes = [math.prod(shape[axis] for axis in axes) for axes in (b, a, inner)]
    _reshaped(chain.transpose(*perm), [shape[axis] for axis in perm], (shape[0], *sizes))
    made = steps(chain, (shape[0], *sizes))
    kept = [shape[axis] for axis in (0, *b, *a)]
    _reshaped(chain, made, (*kept, *(target[axis] for axis in inner)))
    return chain.transpose(*(int(i) for i in np.argsort(perm)))


def _reshaped(chain: Chain, have, want) -> None:
    if tuple(have) != tuple(want):
        chain.reshape(*want)
