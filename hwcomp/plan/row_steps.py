"""Cost of lists of steps in the C back end: for one vector, each row of a dense layer is a list of steps to the next weight that is not 0.

How a list is written: hwcomp.backends._c_steps.
"""

from __future__ import annotations

import numpy as np

FAR = 255
"""The longest distance of a step; a weight of 0 stands where one is longer."""
# Instructions on a Cortex-M4, of a step and of a row with its output. Measured with benchmarks/sparsity.py.
_STEP, _ROW = 4.7, 40.0


def instructions(rows: np.ndarray) -> float:
    """Of weights [M, K]."""
    return _STEP * count(rows).sum() + _ROW * len(rows)


def size(rows: np.ndarray) -> int:
    """Bytes of both arrays."""
    counts = count(rows)
    return int(2 * counts.sum()) + counts.nbytes


def count(rows: np.ndarray) -> np.ndarray:
    """uint8 or uint16 [M]: steps of each row."""
    found = np.array([(np.maximum(distances(r) - 1, 0) // FAR + 1).sum() for r in rows])
    return found.astype(np.uint8 if found.max(initial=0) < 256 else np.uint16)


def distances(row: np.ndarray) -> np.ndarray:
    """The first one is that from the first value."""
    return np.diff(np.flatnonzero(row), prepend=0)
