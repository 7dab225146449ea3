"""Codebooks: weights of few distinct values as indices in ROM, and a table of the values in front of the multipliers.

Read from the integer weights alone, so that it does not matter who shared them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.plan.bits import Weights, encoded, weights_of
from hwcomp.plan.folding import DENSE, Fold
from sw_ref.program import Kernel, Program

if TYPE_CHECKING:
    from hwcomp.plan.stages import DataflowPlan


@dataclass(frozen=True)
class Logic:
    """Of a family of FPGAs: `inputs` of a LUT, and the bits of ROM that are worth one: what a LUT stores, or the ratio of block
    RAM to LUTs in the family's smaller parts (XC7A100T: 78, LFE5U-25: 42, iCE40UP5K: 23)."""

    inputs: int
    bits: int


FAMILIES = {"xc7": Logic(6, 64), "ecp5": Logic(4, 42), "ice40": Logic(4, 23)}


@dataclass(frozen=True)
class Codebook:
    """`codes`: the distinct weights as hwc_product takes them, ascending; `luts` of the table of one lane."""

    codes: tuple[int, ...]
    width: int
    luts: int

    @property
    def bits(self) -> int:
        """Of an index."""
        return max(1, (len(self.codes) - 1).bit_length())

    def indices(self, words: np.ndarray) -> np.ndarray:
        """int64, of weights as hwc_product takes them. Outputs beyond the last may have any."""
        found = np.searchsorted(self.codes, words & ((1 << self.width) - 1))
        return np.minimum(found, len(self.codes) - 1)

    @property
    def table(self) -> int:
        """The values behind each other, the first at the bottom; those beyond the last are the last."""
        full = self.codes + self.codes[-1:] * ((1 << self.bits) - len(self.codes))
        return sum(code << (i * self.width) for i, code in enumerate(full))


def given(program: Program, plan: DataflowPlan, logic: Logic) -> DataflowPlan:
    """The plan with a codebook wherever one is worth it."""
    stages = []
    for stage in plan.stages:
        kernel = program.kernels[stage.kernel]
        book = None
        if kernel.kind in ("conv2d", "dense"):
            book = chosen(kernel, stage.fold, weights_of(kernel, program.edges[kernel.inputs[0]]), logic)
        stages.append(replace(stage, codebook=book))
    return replace(plan, stages=tuple(stages))


def chosen(kernel: Kernel, fold: Fold, held: Weights, logic: Logic) -> Codebook | None:
    """Where the bits that the ROM loses are worth more than the tables of all lanes."""
    weight = kernel.constants["weight"]
    if fold.kind != DENSE or fold.unrolled or held.bits < 3:
        return None
    idle = fold.chunks * fold.taps * fold.read != weight[0].size  # input lanes without a weight, which must be zero
    values = np.unique(np.append(weight, 0) if idle else weight).astype(np.int64)
    codes = np.sort(encoded(values, held) & ((1 << held.bits) - 1))
    bits = max(1, (len(codes) - 1).bit_length())
    if bits >= held.bits:
        return None
    book = Codebook(tuple(codes.tolist()), held.bits, _luts(codes, bits, held.bits, logic))
    saved = fold.per_pixel * (held.bits - bits)  # of a lane
    return book if saved > book.luts * logic.bits else None


def _luts(codes: np.ndarray, bits: int, width: int, logic: Logic) -> int:
    """Of a table: one for each bit of a value that is neither constant nor a bit of the index nor like another one."""
    index = np.arange(len(codes))
    given = {tuple(index >> b & 1) for b in range(bits)} | {(0,) * len(codes)}
    given |= {tuple(1 - b for b in column) for column in given}
    made = set()
    for b in range(width):
        column = tuple((codes >> b & 1).tolist())
        made.add(min(column, tuple(1 - bit for bit in column)))
    return len(made - given) << max(0, bits - logic.inputs)
