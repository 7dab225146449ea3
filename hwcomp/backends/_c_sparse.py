"""Dot products of the C back end that only visit weights which are not all zero: index streams. When they pay: hwcomp.plan.index_lists.

Four rows share a list of units: two pair words of values (the four k of a quad), or one (any two k of a quad). A unit is
U words of weights of rows 0 and 1, last first, the way to its values in bytes, U words of rows 2 and 3. Zero units are not stored,
but one where a list would be empty.
"""

from __future__ import annotations

import numpy as np

from hwcomp.plan.index_lists import PAIR, PAIRS, QUAD, ROWS, forms, hits
from hwcomp.plan.memory import WeightLayout

CODE = {
    (4, QUAD): (108, 8), (2, QUAD): (68, 8), (1, QUAD): (76, 8), (4, PAIR): (56, 8), (2, PAIR): (36, 8), (1, PAIR): (40, 8),
}  # fmt: skip
"""Bytes of code of a unit on a Cortex-M4, and units of a turn: where the loop of a list is entered."""
_FEW = 0.1  # zeros that the report speaks of


def units(rows: np.ndarray, k_stored: int, unit: int) -> list[np.ndarray]:
    """For every four rows int64 [units, 2]: quad and pair word (0 for whole quads) of what is not all zero, ascending."""
    return [np.argwhere(h) for h in hits(rows, k_stored, unit)]


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
    whole, *others = forms(rows, layout.k_stored, windows)
    best = min(others, key=lambda f: f.instructions)
    if layout.unit:
        best = next(f for f in others if f.unit == layout.unit)
    ratio = best.instructions / whole.instructions
    return f"{zero:.0%} zeros, index lists take {ratio:.2f} of the instructions and {best.bytes / whole.bytes:.2f} of the bytes"
