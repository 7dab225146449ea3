"""Dot products of the C back end that only visit weights which are not all zero: index streams, and when they pay.

Four rows share a list of units: two pair words of values (the four k of a quad), or one (any two k of a quad). A unit is
U words of weights of rows 0 and 1, last first, the way to its values in bytes, U words of rows 2 and 3. Zero units are not stored,
but one where a list would be empty.
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
# Instructions on a Cortex-M4, by windows side by side: of a unit for four rows, of a list, of a quad of dense columns for two
# rows, of a quad of values put in place for one window, two or six words each. Measured with benchmarks/sparsity.py.
_UNIT = {(4, QUAD): 54.75, (2, QUAD): 33.5, (1, QUAD): 19.75, (4, PAIR): 28.75, (2, PAIR): 18.5, (1, PAIR): 10.4}
_LIST = {4: 48.0, 2: 44.0, 1: 26.0}
_QUAD = {4: 26.75, 2: 14.75, 1: 9.4}
CODE = {
    (4, QUAD): (108, 8), (2, QUAD): (68, 8), (1, QUAD): (76, 8), (4, PAIR): (56, 8), (2, PAIR): (36, 8), (1, PAIR): (40, 8),
}  # fmt: skip
"""Bytes of code of a unit on a Cortex-M4, and units of a turn: where the loop of a list is entered."""
_CALL = {4: 24.0, 2: 20.0, 1: 24.0}
_FEW = 0.1  # zeros that the report speaks of
_SPREAD = {2: 6.5, 6: 15.0}


@dataclass(frozen=True)
class Choice:
    """A form: `unit` and `words` (pair words of a quad of values; unit 0: dense), instructions and bytes for one block of windows."""

    unit: int
    words: int
    instructions: float
    bytes: int


def forms(rows: np.ndarray, k_stored: int, windows: int) -> list[Choice]:
    """The dense form of weights [M, K], then the sparse ones, with `windows` side by side."""
    m = len(rows)
    quads = k_stored // 4
    dense = m / 2 * (quads * _QUAD[windows] + _CALL[windows]) + windows * quads * _SPREAD[2]
    found = [Choice(0, 2, dense, m * k_stored)]
    for unit in (QUAD, PAIR):
        lists = units(rows, k_stored, unit)
        count, words = sum(len(a) for a in lists), _words(lists, unit)
        each = count * _UNIT[windows, unit] + len(lists) * _LIST[windows] + windows * quads * _SPREAD[words]
        found.append(Choice(unit, words, each, count * 4 * (2 * unit + 1) + 4 * len(lists)))
    return found


def choose(rows: np.ndarray, layout: WeightLayout, windows: int, fast: bool) -> WeightLayout:
    """The layout of the form with the fewest instructions; no form takes more bytes than the dense one unless `fast`."""
    if not possible(layout):
        return layout
    dense, *others = forms(rows, layout.k_stored, windows)
    best = min([dense, *(f for f in others if fast or f.bytes <= dense.bytes)], key=lambda f: f.instructions)
    return replace(layout, unit=best.unit, words=best.words)


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


def units(rows: np.ndarray, k_stored: int, unit: int) -> list[np.ndarray]:
    """For every four rows int64 [units, 2]: quad and pair word (0 for whole quads) of what is not all zero, ascending."""
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
    return [np.argwhere(h) for h in hit]


def _words(lists: list[np.ndarray], unit: int) -> int:
    """Pair words of a quad of values that some unit reads: 2, or all."""
    return _DENSE if unit == QUAD or all((a[:, 1] < _DENSE).all() for a in lists) else len(PAIRS)


def stored(rows: np.ndarray, layout: WeightLayout, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint32 stream, uint32 lists). A list: bytes of the units of four rows, and above bit 16 where their loop is entered.

    The way to a unit's values is in bytes, from the first value with one window, else from behind those of the unit before.
    """
    padded = np.zeros((len(rows), layout.k_stored), np.int64)
    padded[:, : rows.shape[1]] = rows
    lists, u = units(rows, layout.k_stored, layout.unit), layout.unit
    made = []
    for number, at in enumerate(lists):
        four = padded[number * ROWS : (number + 1) * ROWS].reshape(ROWS, -1, 4)
        words = np.stack(
            [four[:, at[:, 0], :][:, :, list(PAIRS[w])] for w in range(len(PAIRS))]
        )  # [word, row, unit, 2]
        if u == PAIR:
            words = words[at[:, 1], :, np.arange(len(at))][None]  # [1, unit, row, 2]
        else:
            words = words[:u].transpose(0, 2, 1, 3)
        packed = _packed(words)  # [u, unit, 2]
        to = (at[:, 0] * layout.words + at[:, 1]) * windows * 4
        ahead = to if windows == 1 else np.diff(to, prepend=0) - np.where(np.arange(len(to)) > 0, u * windows * 4, 0)
        made.append(np.stack([*packed[::-1, :, 0], ahead, *packed[:, :, 1]], axis=1).ravel())
    code, turn = CODE[windows, u]
    entries = [a.nbytes // a.itemsize * 4 | -len(at) % turn * code << 16 for a, at in zip(made, lists, strict=True)]
    return np.concatenate(made).astype(np.uint32), np.array(entries, np.uint32)


def _packed(words: np.ndarray) -> np.ndarray:
    """[.., 4 rows, 2 k] -> [.., 2]: a row in the even bytes of a word, the next one in the odd ones."""
    b = (words & 255).reshape(*words.shape[:-2], 2, 2, 2)
    return b[..., 0, 0] | b[..., 1, 0] << 8 | b[..., 0, 1] << 16 | b[..., 1, 1] << 24


def text(layout: WeightLayout, order: str) -> str:
    unit = "all four" if layout.unit == QUAD else "two"
    return f"for every 4 rows the weights of {unit} k of a quad that are not all zero, and the way to their values; k: {order}"


def explained(rows: np.ndarray, layout: WeightLayout, windows: int) -> str:
    """What the choice rests on, for the report; nothing where hardly a weight is zero."""
    zero = 1 - np.count_nonzero(rows) / rows.size
    if zero < _FEW:
        return ""
    dense, *others = forms(rows, layout.k_stored, windows)
    best = min(others, key=lambda f: f.instructions)
    if layout.unit:
        best = next(f for f in others if f.unit == layout.unit)
    ratio = best.instructions / dense.instructions
    return f"{zero:.0%} zeros, index lists take {ratio:.2f} of the instructions and {best.bytes / dense.bytes:.2f} of the bytes"


def curve(rows: int, k_stored: int, windows: int, unit: int, densities: tuple[float, ...]) -> list[float]:
    """Instructions, relative to the dense form, of so many rows at these densities: of blocks of 4x4 for whole quads, of single
    weights at random places for pairs."""
    quads, lists, words = k_stored // 4, rows // ROWS, _DENSE if unit == QUAD else len(PAIRS)
    dense = rows / 2 * (quads * _QUAD[windows] + _CALL[windows]) + windows * quads * _SPREAD[_DENSE]
    counts = [quads * (d if unit == QUAD else _pairs(d)) for d in densities]
    made = [lists * (n * _UNIT[windows, unit] + _LIST[windows]) + windows * quads * _SPREAD[words] for n in counts]
    return [round(n / dense, 4) for n in made]


def _pairs(density: float) -> float:
    """Pair words of a quad that four rows of random weights use, on average."""
    used = 1 - (1 - density) ** ROWS
    one_or_two = 4 * used * (1 - used) ** 3 + 6 * used**2 * (1 - used) ** 2
    return one_or_two + 2 * (4 * used**3 * (1 - used) + used**4)
