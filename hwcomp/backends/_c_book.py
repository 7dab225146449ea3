"""Weights as indices of 2 to 7 bits into a layer's codebook in C: eight of them lie in as many bytes as one has bits.

A dense layer with one vector multiplies those of up to 4 bits as they are read, two rows at a time, looking two neighbours up at once
in a table of pairs that it makes in scratch. Else slices of rows are decoded into scratch, where the usual kernels find bytes: by
pairs too, or one by one, since the table of pairs of 5 bits would take 2 KiB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwcomp.plan.memory import WeightLayout

EIGHT = 8
_BITS = (2, 3, 4, 5, 6, 7)
_PAIRED = 4  # bits, of which pairs are looked up
_AHEAD = 2  # bytes behind the last index that may be read
_ORDER = (0, 2, 1, 3)  # of k within four
# Instructions on a Cortex-M4: of a weight that is multiplied, of one that is decoded by pairs, one by one, of an entry of the table,
# of a pair of rows.
_MULTIPLIED, _DECODED, _SINGLE, _ENTRY, _ROWS = 2.15, 2.2, 3.7, 7.0, 60.0


def choose(weight: np.ndarray, plain: WeightLayout, cut: WeightLayout, multiplies: bool) -> WeightLayout | None:
    """The layout of weights [rows, k] as indices; None where these have too many values, or too few. `cut`: slices for decoding,
    `multiplies`: whether indices may be multiplied as they are read.
    """
    count = len(values(weight, plain))
    found = next((b for b in _BITS if count <= 1 << b), None) if count > 2 else None
    if found is None or plain.ctype not in ("int8_t", "uint8_t"):
        return None
    if found > _PAIRED:
        return replace(cut, book=found)
    if multiplies and plain.quads and plain.k == plain.k_stored:
        return replace(plain, book=found, tables=4 << 2 * found)
    return replace(cut, book=found, tables=2 << 2 * found)


def values(weight: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """Those of weights, and of columns that fill up."""
    found = np.unique(weight)
    return found if layout.k == layout.k_stored else np.union1d(found, 0)


def instructions(layout: WeightLayout, rows: int, dense: float, columns: float) -> float:
    """Expected for all windows, `dense` being those of bytes, of which `columns` fill columns: they do so for each slice.

    A layer that is multiplied as it is read has one window.
    """
    weights, table = rows * layout.k_stored, _ENTRY * (1 << 2 * layout.book)
    if not paired(layout):
        return dense + (layout.slices - 1) * columns + _SINGLE * weights
    if layout.slices:
        return dense + (layout.slices - 1) * columns + _DECODED * weights + table
    return _MULTIPLIED * weights + _ROWS * rows / 2 + table


def paired(layout: WeightLayout) -> bool:
    """Whether two indices are looked up at once, in a table that is made first."""
    return layout.book <= _PAIRED


def size(weight: np.ndarray, groups: int, layout: WeightLayout) -> int:
    """Bytes of indices and codebook."""
    rows = len(weight) // groups
    each = (
        -(-layout.rows * layout.k_stored // EIGHT) * layout.slices * groups
        if layout.slices
        else -(-rows // 2) * layout.k // 4
    )
    return each * layout.book + _AHEAD + (1 << layout.book)


def book(weight: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """The values, as many as indices can mean."""
    found = values(weight, layout)
    return np.pad(found, (0, (1 << layout.book) - len(found))).astype(layout.ctype[:-2])


def multiplied(weight: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """uint8: of each pair of rows [rows, k] the indices of four k after four k, row 0 before row 1; k in order 0, 2, 1, 3."""
    rows, k = weight.shape
    even = np.zeros((rows + rows % 2, k), np.int64)
    even[:rows] = np.searchsorted(values(weight, layout), weight)
    fours = even.reshape(-1, 2, k // 4, 4)[..., list(_ORDER)]
    return _packed(fours.transpose(0, 2, 1, 3).ravel(), layout.book)


def decoded(weight: np.ndarray, groups: int, layout: WeightLayout, stored: Callable) -> np.ndarray:
    """uint8: indices of the stored bytes of each slice, filled up to eight."""
    slices = groups * layout.slices
    flat = stored(weight, slices, layout).astype(np.int64).reshape(slices, -1)
    at = np.searchsorted(values(weight, layout), flat)
    return _packed(np.pad(at, ((0, 0), (0, -at.shape[1] % EIGHT))).ravel(), layout.book)


def _packed(indices: np.ndarray, width: int) -> np.ndarray:
    """uint8: the lowest bit first, and what may be read behind."""
    single = indices[:, None] >> np.arange(width) & 1
    return np.concatenate([np.packbits(single.astype(np.uint8), bitorder="little"), np.zeros(_AHEAD, np.uint8)])


def arrays(weight: np.ndarray, groups: int, layout: WeightLayout, order: str, stored: Callable) -> list[tuple]:
    """[(C type, prefix, values, what)]"""
    how = f"indices of {layout.book} bits, lowest first, into the values behind; k: {order}"
    if layout.slices:
        found, what = decoded(weight, groups, layout, stored), f"{how}; slices of {layout.rows} rows, pairs as [k][2]"
    else:
        found, what = multiplied(weight, layout), f"{how}, 0,2,1,3 within four, of each four for two rows"
    return [("uint8_t", "w", found, what), (layout.ctype, "v", book(weight, layout), "values of weights")]
