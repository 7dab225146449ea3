"""Dense layers of few weights in C: for one vector, each row is a list of steps to the next weight that is not 0, with that weight.

A step is a halfword: the weight above, the distance to its value below. A weight of 0 stands where a distance is longer.
"""

from __future__ import annotations

import numpy as np

from hwcomp.plan import index_lists
from hwcomp.plan.memory import WeightLayout
from hwcomp.plan.row_steps import FAR, distances, instructions, size

ELEMENT = {"int8_t": "int16_t", "uint8_t": "uint16_t"}


def explained(rows: np.ndarray) -> str:
    """What the choice rests on, for the report."""
    dense = index_lists.dense(len(rows), -(-rows.shape[1] // 4) * 4, 1)
    ratio = instructions(rows) / dense.instructions
    zero = 1 - np.count_nonzero(rows) / rows.size
    return (
        f"{zero:.0%} zeros, steps take {ratio:.2f} of the instructions and {size(rows) / dense.bytes:.2f} of the bytes"
    )


def stored(rows: np.ndarray, layout: WeightLayout) -> np.ndarray:
    """int16, or uint16 where weights are unsigned: the steps of all rows."""
    made = []
    for row in rows:
        far, at = distances(row), np.flatnonzero(row)
        more = np.maximum(far - 1, 0) // FAR
        ends = np.cumsum(more + 1) - 1
        steps = np.full(int((more + 1).sum()), FAR)
        steps[ends] = far - more * FAR
        weights = np.zeros(len(steps), np.int64)
        weights[ends] = row[at]
        made.append(weights * 256 + steps)
    return np.concatenate(made).astype(ELEMENT[layout.ctype][:-2])


def text(order: str) -> str:
    return f"of each row the weights that are not 0 << 8, and the distance from the value before; k: {order}"
