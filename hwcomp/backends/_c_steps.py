"""Dense layers of few weights in C: for one vector, each row is a list of steps to the next weight that is not 0, with that weight.

A step is a halfword: the weight above, the distance to its value below. A weight of 0 stands where a distance is longer.
"""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _c_sparse
from hwcomp.plan.memory import WeightLayout

_FAR = 255
# Instructions on a Cortex-M4, of a step and of a row with its output. Measured with benchmarks/sparsity.py.
_STEP, _ROW = 4.7, 40.0
ELEMENT = {"int8_t": "int16_t", "uint8_t": "uint16_t"}


def instructions(rows: np.ndarray) -> float:
    return _STEP * count(rows).sum() + _ROW * len(rows)


def explained(rows: np.ndarray) -> str:
    """What the choice rests on, for the report."""
    dense = _c_sparse.dense(len(rows), -(-rows.shape[1] // 4) * 4, 1)
    ratio = instructions(rows) / dense.instructions
    zero = 1 - np.count_nonzero(rows) / rows.size
    return (
        f"{zero:.0%} zeros, steps take {ratio:.2f} of the instructions and {size(rows) / dense.bytes:.2f} of the bytes"
    )


def size(rows: np.ndarray) -> int:
    """Bytes of both arrays."""
    counts = count(rows)
    return int(2 * counts.sum()) + counts.nbytes


def count(rows: np.ndarray) -> np.ndarray:
    """uint8 or uint16 [M]: steps of each row."""
    found = np.array([(np.maximum(_distances(r) - 1, 0) // _FAR + 1).sum() for r in rows])
    return found.astype(np.uint8 if found.max(initial=0) < 256 else np.uint16)


def stored(rows: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """int16, or uint16 where weights are unsigned: the steps of all rows."""
    made = []
    for row in rows:
        distances, at = _distances(row), np.flatnonzero(row)
        more = np.maximum(distances - 1, 0) // _FAR
        ends = np.cumsum(more + 1) - 1
        steps = np.full(int((more + 1).sum()), _FAR)
        steps[ends] = distances - more * _FAR
        weights = np.zeros(len(steps), np.int64)
        weights[ends] = row[at]
        made.append(weights * 256 + steps)
    return np.concatenate(made).astype(ELEMENT[layout.ctype][:-2])


def _distances(row: np.ndarray) -> np.ndarray:
    """The first one is that from the first value."""
    return np.diff(np.flatnonzero(row), prepend=0)


def text(order: str) -> str:
    return f"of each row the weights that are not 0 << 8, and the distance from the value before; k: {order}"
