"""Forms in which the C back end may store weights with zeros, what a Cortex-M4 is expected to take for each, and which one is taken.

Read from the integers, or from where a float network's weights are zero: both give the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.plan import index_lists, row_steps
from hwcomp.plan.memory import WeightLayout

_HALFWORD = 2  # bytes of a value in a column
WINDOWS = (4, 2, 1)
"""Windows that a dot product takes side by side, the fastest first."""


@dataclass(frozen=True)
class Candidate:
    """Of a layout: bytes of its arrays, instructions that a Cortex-M4 is expected to take for all windows."""

    layout: WeightLayout
    bytes: int
    instructions: float


def plain(rows: int, k: int, quads: bool, ctype: str) -> WeightLayout:
    """All weights [rows, k], as they are."""
    return WeightLayout(rows, k, -(-k // 4) * 4, 2, quads, ctype)


def side_by_side(count: int) -> int:
    """The windows that the fastest way takes of `count`."""
    return next(n for n in WINDOWS if n <= count)


def candidates(weight: np.ndarray, layout: WeightLayout, count: int, lists: bool, steps: bool) -> list[Candidate]:
    """The `layout` of all weights [rows, k] against `count` windows, then the forms without zeros. `lists`, `steps`: whether the
    layer may have index lists, and lists of steps."""
    windows = side_by_side(count)
    blocks = count / windows
    size = layout.rows * layout.k_stored * np.dtype(layout.ctype[:-2]).itemsize
    whole = index_lists.dense(layout.rows, layout.k_stored, windows)
    found = [Candidate(layout, size, blocks * whole.instructions)]
    if lists and index_lists.possible(layout):
        for form in index_lists.forms(weight, layout.k_stored, windows)[1:]:
            sparse = replace(layout, unit=form.unit, words=form.words)
            found.append(Candidate(sparse, form.bytes, blocks * form.instructions))
    if steps and weight.any():
        found.append(Candidate(replace(layout, steps=True), row_steps.size(weight), row_steps.instructions(weight)))
    return found


def scratch(layout: WeightLayout, windows: int, column: int, copied: bool, element: int = 1) -> int:
    """Bytes for so many windows in columns of `column` bytes a value; `copied`: each by way of a copy of its elements."""
    return windows * column * layout.k_stored * layout.words // 2 + copied * element * layout.k_stored


def granted(form: Candidate, weight: np.ndarray, count: int, room: int, copied: bool) -> float:
    """Instructions of a form with scratch of `room` bytes, which may be too little for the windows that it was chosen for. The
    least that it needs is always there."""
    layout = form.layout
    if layout.steps:
        return form.instructions
    fit = [n for n in WINDOWS if n <= count and scratch(layout, n, _HALFWORD, copied) <= room]
    if not fit and not layout.unit:
        return count * index_lists.raw(*weight.shape)
    windows = max(fit, default=1)
    return count / windows * index_lists.of(weight, layout, windows).instructions


def chosen(whole: Candidate, others: Iterable[Candidate]) -> Candidate:
    """The least product of bytes and instructions, of what takes no more bytes than `whole`, all weights as they are."""
    return min([whole, *(c for c in others if c.bytes <= whole.bytes)], key=lambda c: c.bytes * c.instructions)


def faster(whole: Candidate, others: Iterable[Candidate]) -> list[Candidate]:
    """Those that take no more instructions than `whole`."""
    return [c for c in others if c.instructions <= whole.instructions]
