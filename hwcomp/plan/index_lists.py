"""Cost of index lists of the C back end: dot products that only visit weights which are not all zero.

Four rows share a list of units: two pair words of values (the four k of a quad), or one (any two k of a quad). Zero units are not
stored, but one where a list would be empty. How a list is written: hwcomp.backends._c_sparse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwcomp.plan.memory import WeightLayout

ROWS = 4  # that share a list
PAIRS = ((0, 2), (1, 3), (0, 1), (2, 3), (0, 3), (1, 2))
"""The k of a quad in each pair word of its values: the first two hold all, as dense columns do."""
_DENSE = 2  # pair words of a quad there
QUAD, PAIR = 2, 1  # pair words of a unit
# Instructions on a Cortex-M4, by windows side by side: of a unit for four rows, of a list with its outputs, of a quad of dense
# columns for two rows, of two rows with their outputs, of a quad of values put in place for one window, two or six words each.
# Measured with benchmarks/sparsity.py.
_UNIT = {(4, QUAD): 54.75, (2, QUAD): 33.5, (1, QUAD): 19.75, (4, PAIR): 28.75, (2, PAIR): 18.5, (1, PAIR): 10.4}
_LIST = {4: 110.0, 2: 100.0, 1: 26.0}
_QUAD = {4: 26.75, 2: 14.75, 1: 9.4}
_RAW = 11.4  # of a quad of one window that is read as it lies in memory, for two rows
_CALL = {4: 40.0, 2: 48.0, 1: 24.0}
_SPREAD = {2: 6.5, 6: 15.0}


@dataclass(frozen=True)
class Choice:
    """A form: `unit` and `words` (pair words of a quad of values; unit 0: dense), instructions and bytes for one block of windows."""

    unit: int
    words: int
    instructions: float
    bytes: int


def dense(m: int, k_stored: int, windows: int) -> Choice:
    """All of [M, K] weights as bytes."""
    each = m / 2 * (k_stored // 4 * _QUAD[windows] + _CALL[windows]) + columns(k_stored, windows)
    return Choice(0, 2, each, m * k_stored)


def raw(m: int, k: int) -> float:
    """Instructions of all of [M, K] weights against one window without a column."""
    return m / 2 * (-(-k // 4) * _RAW + _CALL[1])


def columns(k_stored: int, windows: int) -> float:
    """Instructions of filling the columns of so many windows."""
    return windows * (k_stored // 4) * _SPREAD[_DENSE]


def forms(rows: np.ndarray, k_stored: int, windows: int) -> list[Choice]:
    """The dense form of weights [M, K], then the sparse ones, with `windows` side by side."""
    found = [dense(len(rows), k_stored, windows)]
    for unit in (QUAD, PAIR):
        hit = hits(rows, k_stored, unit)
        count, lists, words = int(hit.sum()), len(hit), len(PAIRS) if hit[..., _DENSE:].any() else _DENSE
        each = count * _UNIT[windows, unit] + lists * _LIST[windows] + windows * (k_stored // 4) * _SPREAD[words]
        found.append(Choice(unit, words, each, count * 4 * (2 * unit + 1) + 4 * lists))
    return found


def of(rows: np.ndarray, layout: WeightLayout, windows: int) -> Choice:
    """What a layout, dense or sparse, is expected to take."""
    if not layout.unit:
        return dense(len(rows), layout.k_stored, windows)
    return next(f for f in forms(rows, layout.k_stored, windows) if f.unit == layout.unit)


def layouts(rows: np.ndarray, layout: WeightLayout, windows: int) -> list[WeightLayout]:
    """The sparse forms that there are of a dense layout."""
    others = forms(rows, layout.k_stored, windows)[1:] if possible(layout) else []
    return [replace(layout, unit=f.unit, words=f.words) for f in others]


def possible(layout: WeightLayout) -> bool:
    """Whether there are sparse forms of it: bytes of weights on bytes of values, four rows at a time, lists of less than 64 KiB."""
    longest = 4 * (2 * PAIR + 1) * 2 * (layout.k_stored // 4)
    return (
        longest < 1 << 16
        and layout.quads
        and not layout.bits
        and layout.ctype in ("int8_t", "uint8_t")
        and layout.rows % ROWS == 0
    )


def hits(rows: np.ndarray, k_stored: int, unit: int) -> np.ndarray:
    """bool [lists, quads, pair words (one for whole quads)]: the units that lists of weights [M, K] hold."""
    padded = np.zeros((len(rows) // ROWS, ROWS, k_stored), bool)
    padded[:, :, : rows.shape[1]] = rows.reshape(len(padded), ROWS, -1) != 0
    used = padded.any(axis=1).reshape(len(padded), -1, 4)
    if unit == QUAD:
        hit = used.any(axis=2)[..., None]
    else:
        hit = np.zeros((*used.shape[:2], len(PAIRS)), bool)
        count = used.sum(axis=2)
        for word, (a, b) in enumerate(PAIRS):
            both = used[..., a] & used[..., b]
            alone = (count == 1) & (used[..., a] | used[..., b]) & (word < _DENSE)
            hit[..., word] = both & (count == 2) | alone | (count > 2) & (word < _DENSE)
    hit[~hit.any(axis=(1, 2)), 0, 0] = True  # no list is empty: the loops need no test
    return hit


def curve(rows: int, k_stored: int, windows: int, unit: int, densities: tuple[float, ...]) -> list[float]:
    """Instructions, relative to the dense form, of so many rows at these densities: of blocks of 4x4 for whole quads, of single
    weights at random places for pairs."""
    quads, lists, words = k_stored // 4, rows // ROWS, _DENSE if unit == QUAD else len(PAIRS)
    whole = dense(rows, k_stored, windows).instructions
    counts = [quads * (d if unit == QUAD else _pairs(d)) for d in densities]
    made = [lists * (n * _UNIT[windows, unit] + _LIST[windows]) + windows * quads * _SPREAD[words] for n in counts]
    return [round(n / whole, 4) for n in made]


def _pairs(density: float) -> float:
    """Pair words of a quad that four rows of random weights use, on average."""
    used = 1 - (1 - density) ** ROWS
    one_or_two = 4 * used * (1 - used) ** 3 + 6 * used**2 * (1 - used) ** 2
    return one_or_two + 2 * (4 * used**3 * (1 - used) + used**4)
