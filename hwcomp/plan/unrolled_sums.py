"""Unrolled layers of integers: the adder graph of a kernel's weights, of the inputs as they are on the wires."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hwcomp.plan import _shared_sums
from hwcomp.plan._shared_sums import count_digits
from hwcomp.plan.adders import Adders
from hwcomp.plan.bits import decides
from sw_ref.program import Edge, Kernel, Program

__all__ = ["count_digits", "of"]


def of(program: Program, kernel: Kernel, *, share: bool = True) -> Adders:
    """Inputs and outputs in the order of the weights: a row per output. An output starts from its bias; where the kernel
    gives one bit, its threshold is taken off, and the sign is the answer. `share`: else each output has a tree of its own.

    Bits that stand for -1 and +1 are inputs of 0 and 1: their weights count twice, less the sum of weights.
    """
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    weight = kernel.constants["weight"].astype(np.int64).reshape(len(kernel.constants["bias"]), -1)
    start = kernel.constants["bias"].astype(np.int64)
    if decides(kernel, y):
        start = start - kernel.constants["threshold"][:, 0].astype(np.int64)
    if x.bipolar:
        start, weight = start - weight.sum(axis=1), 2 * weight
    return _built(weight.tobytes(), weight.shape, tuple(start.tolist()), lane_range(kernel, x), share)


def lane_range(kernel: Kernel, x: Edge) -> tuple[int, int]:
    """(least, most) that a lane can hold, padding included."""
    if x.bipolar:
        return 0, 1
    pad = [kernel.params["pad_value"]] if any(kernel.params.get("pads", ())) else []
    return min([x.lo, *pad]), max([x.hi, *pad])


@lru_cache(maxsize=64)
def _built(weight: bytes, shape: tuple[int, int], start: tuple[int, ...], lane: tuple[int, int], share: bool) -> Adders:
    matrix = np.frombuffer(weight, np.int64).reshape(shape)
    return _shared_sums.build(matrix, start, [lane] * shape[1], share=share)
