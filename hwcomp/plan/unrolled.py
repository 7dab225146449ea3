"""Unrolled layers: which can be, and their pipelines; binary ones as a netlist of counters that the outputs share.

Layers of other weights are adder graphs (hwcomp.plan.unrolled_sums). In a binary one the inputs are parted into small groups.
In a group an output counts the inputs that agree with its weights; outputs with the same weights there read one counter, and
those with the opposite weights read it inverted: of 2**k weight patterns only half need a counter. Columns of alike weights
stand together, so that a group has few patterns.
Source: docs/hardware.md, "Unrolled layers".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwcomp.errors import UnsupportedError, shown
from hwcomp.plan import unrolled_sums
from hwcomp.plan.bits import weights_of, zoned
from sw_ref.program import Kernel, Program

GROUP = 6
"""Inputs of a counter: of 1 to 7, what takes the fewest LUTs in the layers measured."""
MOST = 1 << 18
"""Weights of a binary layer beyond which synthesis takes hours."""
MOST_DIGITS = 1 << 15
"""Signed digits of a layer of other weights beyond which it takes hours, and no device of the family holds it."""
STEPS, REGISTER = 3, 2
"""Of hwc_popcount, as hwc_tally has it: steps of its counters at most, and levels per pipeline register."""
ALL = "all"
_DOTS = ("conv2d", "dense")


def chosen(program: Program, names: Sequence[str]) -> frozenset[str]:
    """The kernels that `names` ask for: names of kernels, of ONNX nodes fused into them, or "all" for all that can be.

    UnsupportedError where one can't, and where nothing has such a name.
    """
    found = set()
    for name in names:
        named = [k for k in program.kernels if name == k.name or name in k.origin or name == ALL]
        why = {k.name: obstacle(program, k) for k in named if name != ALL or k.kind in _DOTS}
        able = [k for k in named if k.name in why and why[k.name] is None]
        if not able:
            raise UnsupportedError(
                f"--unroll {shown(name)}{': no layer can be unrolled' if name == ALL else ''}",
                why=_first(list(why.values()), "there is no dot product" if name == ALL else "no layer has this name"),
                fix="only dense layers and convolutions without groups, of a limited size, can be; leave the option out",
            )
        found |= {k.name for k in able}
    return frozenset(found)


def binary(program: Program, kernel: Kernel) -> bool:
    """Whether bits are counted that agree; else products are added up."""
    return weights_of(kernel, program.edges[kernel.inputs[0]]).agree


def obstacle(program: Program, kernel: Kernel) -> str | None:
    """Why a kernel can't be unrolled; None where it can."""
    if kernel.kind not in _DOTS:
        return f"{kernel.name} is no dense layer or convolution"
    if kernel.params.get("groups", 1) > 1:
        return f"{kernel.name} has groups"
    if zoned(kernel, program.edges[kernel.inputs[0]]):
        return f"padding of {kernel.name} is a third value"
    weight = kernel.constants["weight"]
    if binary(program, kernel):
        return f"{kernel.name} has {weight.size} weights, more than {MOST}" if weight.size > MOST else None
    if (size := unrolled_sums.count_digits(weight)) > MOST_DIGITS:
        return f"the weights of {kernel.name} have {size} signed digits that are not zero, more than {MOST_DIGITS}"
    return None


def _first(reasons: list[str], none: str) -> str:
    """The first reason, and how many others there are; `none` where there is nothing to give a reason for."""
    return f"{reasons[0]}{f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''}" if reasons else none


def latency(program: Program, kernel: Kernel, most: int) -> int:
    """Cycles from a window to its results: registers of the inputs, in the adders or counters, of the outputs.
    `most`: Fold.steps, where bits are counted."""
    if not binary(program, kernel):
        return unrolled_sums.of(program, kernel).stages + 1
    steps = min(STEPS, most)
    groups = -(-kernel.constants["weight"][0].size // GROUP)
    leaf = 6 * steps + 2
    return 4 + (steps + (-(-(groups + 1) // leaf) - 1).bit_length()) // REGISTER


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
