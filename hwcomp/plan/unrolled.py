"""Unrolled binary layers: constant weights as a netlist of counters that the outputs share.

The inputs are parted into small groups. In a group an output counts the inputs that agree with its weights; outputs with
the same weights there read one counter, and those with the opposite weights read it inverted: of 2**k weight patterns
only half need a counter. Columns of alike weights stand together, so that a group has few patterns.
Source: docs/hardware.md, "Unrolled layers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUP = 3
"""Inputs of a counter: of 1 to 7, what takes the fewest LUTs in the layers measured."""


@dataclass(frozen=True)
class Counters:
    """`inputs` [groups, k]: lanes that each group reads, -1 for none; `group` and `pattern` of each counter, bit j of a
    pattern being set where the j-th lane counts if it is 1, clear where it counts if it is 0; `reads`, `flips`
    [outputs, groups]: the counter of each group that an output reads, and whether inverted; `start` [outputs]: what
    makes a sum of read counters the number of agreeing lanes.
    """

    inputs: np.ndarray
    group: np.ndarray
    pattern: np.ndarray
    reads: np.ndarray
    flips: np.ndarray
    start: np.ndarray

    @property
    def bits(self) -> int:
        """Of a counter."""
        return self.inputs.shape[1].bit_length()

    def counts(self, x: np.ndarray) -> np.ndarray:
        """What the counters hold: bits [n, lanes] of 0 and 1 -> int64 [n, counters]."""
        picked = self.inputs[self.group]  # [counters, k]
        agree = x[:, picked] == (self.pattern[:, None] >> np.arange(self.inputs.shape[1]) & 1)
        return (agree & (picked >= 0)).sum(axis=2)

    def agreeing(self, x: np.ndarray) -> np.ndarray:
        """How many lanes agree with the weights: bits [n, lanes] of 0 and 1 -> int64 [n, outputs]."""
        read = self.counts(np.asarray(x))[:, self.reads]
        return np.where(self.flips, (1 << self.bits) - 1 - read, read).sum(axis=2) + self.start


def share(weight: np.ndarray, k: int = GROUP, *, cluster: bool = True) -> Counters:
    """Counters of a layer: `weight` int [outputs, lanes] of -1 and +1, columns of idle lanes all 0.

    `cluster`: put columns together that add the fewest patterns to a group; else take them in order.
    """
    used = np.flatnonzero(weight.any(axis=0))
    ones = (weight > 0).astype(np.int64)
    order = _clustered(ones, used, k) if cluster else used
    inputs = np.full((-(-len(order) // k), k), -1, np.int64)
    inputs.reshape(-1)[: len(order)] = order
    real = inputs >= 0
    full = (real << np.arange(k)).sum(axis=1)  # the pattern of ones
    codes = (np.where(real, ones[:, inputs], 0) << np.arange(k)).sum(axis=2)  # [outputs, groups]
    flips = codes > (full ^ codes)
    codes = np.where(flips, full ^ codes, codes)
    keys, reads = np.unique(np.arange(len(inputs)) << k | codes, return_inverse=True)
    # An inverted counter reads 2**bits - 1 - count where the group's size - count is meant.
    surplus = (1 << k.bit_length()) - 1 - real.sum(axis=1)
    return Counters(
        inputs, keys >> k, keys & ((1 << k) - 1), reads.reshape(codes.shape), flips, -(flips * surplus).sum(axis=1)
    )


def _clustered(ones: np.ndarray, used: np.ndarray, k: int) -> np.ndarray:
    """The columns `used` in an order in which each run of k has few patterns."""
    columns = (ones ^ ones[:1]).T  # a pattern and its inverse are one
    left, order = list(used), []
    while left:
        codes = np.zeros(len(ones), np.int64)
        for place in range(min(k, len(left))):
            grown = np.sort(codes * 2 + columns[left], axis=1)
            distinct = (np.diff(grown, axis=1) > 0).sum(axis=1)
            best = int(distinct.argmin()) if place else 0
            codes = codes * 2 + columns[left[best]]
            order.append(left.pop(best))
    return np.array(order, np.int64)
