"""Selections along an axis whose places are known before the network runs, as operators that kernels have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.ops import _order
from hwcomp.ops.channelshuffle import ChannelShuffleAttrs
from hwcomp.ops.maxpool import MaxPoolAttrs
from hwcomp.ops.repeat import RepeatAttrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwcomp.ops._chain import Chain

_SHUFFLED = 1 << 16  # elements of a tensor whose order may become a table
_COARSEST = 16  # elements in front of a grid per element of it
_NO_PADS = (0, 0, 0, 0)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SliceAttrs:
    """Elements range(start, stop, step) of `axis`, counted with the batch axis. `step` is 1 unless all is constant."""

    axis: int
    start: int
    stop: int
    step: int = 1


def select(chain: Chain, shape: Shape, axis: int, places: Sequence[int]) -> Shape | None:
    """Steps that take the elements `places` along `axis` (not that of the batch) of `shape`; the new shape.

    Ranges, strides, repeats, and both together (grids that are finer or coarser by a ratio) work on tensors of any size,
    each element at most once in another order for channels of maps and up to 2^16 elements. None, and no step, where there
    is no way. Without a batch axis there are only ranges.
    """
    want, size = np.asarray(places, np.int64), shape[axis]
    new = (*shape[:axis], want.size, *shape[axis + 1 :])
    if np.array_equal(want, np.arange(size)):
        return new
    step = int(want[1] - want[0]) if want.size > 1 else 1
    once = len(set(places)) == want.size
    if not chain.batched and (step != 1 or (np.diff(want) != 1).any()):
        return None
    if once and len(shape) == 4 and axis == 1 and (np.diff(want) != 1).any():
        _channels(chain, size, want)
        return new
    if step > 0 and (np.diff(want) == step).all():
        _strided(chain, shape, axis, int(want[0]), int(want[-1]) + 1, step)
        return new
    times = int(np.argmax(np.append(want, -1) != want[0]))  # how often the first one comes
    if times > 1 and want.size % times == 0 and (want.reshape(-1, times) == want[::times, None]).all():
        inner = select(chain, shape, axis, want[::times])
        if inner is not None:
            chain.add("Repeat", RepeatAttrs(axis, times))
        return None if inner is None else new
    if (grid := _grid(want, size)) is not None:
        start, step, times = grid
        chain.add("Repeat", RepeatAttrs(axis, times))
        fine = (*shape[:axis], size * times, *shape[axis + 1 :])
        _strided(chain, fine, axis, start, start + (want.size - 1) * step + 1, step)
        return new
    if once and math.prod(shape) <= _SHUFFLED:
        _shuffled(chain, shape, axis, want)
        return new
    return None


def _strided(chain: Chain, shape: Shape, axis: int, start: int, stop: int, step: int) -> None:
    """range(start, stop, step), its last element being stop - 1: a slice, of which a pool of one element takes every so many."""
    if (start, stop) != (0, shape[axis]):
        chain.add("Slice", SliceAttrs(axis, start, stop))
    if step == 1:
        return
    size = (stop - start + step - 1) // step
    if len(shape) == 4 and axis > 1:
        chain.add("MaxPool", MaxPoolAttrs((1, 1), (step, 1) if axis == 2 else (1, step), (1, 1), _NO_PADS))
        return

    def pooled(chain: Chain, sizes: Shape) -> Shape:
        chain.add("MaxPool", MaxPoolAttrs((1, 1), (1, step), (1, 1), _NO_PADS))
        return (*sizes[:3], size)

    cut = (*shape[:axis], stop - start, *shape[axis + 1 :])
    _order.through(chain, cut, [axis], pooled, (*shape[:axis], size, *shape[axis + 1 :]))


def _grid(want: np.ndarray, size: int) -> tuple[int, int, int] | None:
    """(start, step, times) such that want[i] = (start + i * step) // times for all i, or None."""
    if want.size < 2 or (np.diff(want) < 0).any() or want[-1] == want[0]:
        return None
    index = np.arange(want.size)
    for ratio in (Fraction(size, want.size), Fraction(int(want[-1] - want[0]), want.size - 1)):
        for fine in (1, 2):
            step, times = ratio.numerator * fine, ratio.denominator * fine
            if step > _COARSEST:
                continue
            # The starts that are right for an element are a range: the intersection holds the right ones for all.
            least, most = int((want * times - index * step).max()), int((want * times + times - 1 - index * step).min())
            start = max(least, 0)
            if start <= most and start + (want.size - 1) * step < size * times:
                return start, step, times
    return None


def _shuffled(chain: Chain, shape: Shape, axis: int, want: np.ndarray) -> None:
    """All elements as channels of one pixel."""
    order = _order.carried(len(shape))
    perm = (0, *order)
    held = [shape[a] for a in order]
    places = np.take(np.arange(math.prod(held)).reshape(held), want, axis=order.index(axis))
    chain.transpose(*perm).reshape(shape[0], math.prod(held), 1, 1)
    _channels(chain, math.prod(held), places.ravel())
    chain.reshape(shape[0], *places.shape).transpose(*(int(i) for i in np.argsort(perm)))


def _channels(chain: Chain, size: int, want: np.ndarray) -> None:
    """These of `size` channels of a map, each at most once."""
    rest = np.setdiff1d(np.arange(size), want)
    chain.add("ChannelShuffle", ChannelShuffleAttrs((*want.tolist(), *rest.tolist())))
    if rest.size:
        chain.add("Slice", SliceAttrs(1, 0, want.size))
