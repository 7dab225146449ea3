"""Codebooks: weights of few distinct values, or vectors of some lanes of which few are distinct, as indices in ROM, and a table of the
values in front of the multipliers.

Read from the integer weights alone, so that it does not matter who shared them, nor how: a vector that is a sum of codewords, or from
one of several codebooks, is a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.plan.bits import Weights, encoded, weights_of
from hwcomp.plan.folding import DENSE, Fold
from hwcomp.plan.lanes import weight_words
from sw_ref.program import Kernel, Program

if TYPE_CHECKING:
    from hwcomp.plan.stages import DataflowPlan, Stage

SIZES = (2, 4, 8)
"""Lanes of a vector."""
_WORD = 64  # bits of a vector
_MOST = 10  # bits of an index: the table is a parameter


@dataclass(frozen=True)
class Logic:
    """Of a family of FPGAs: `inputs` of a LUT, and the bits of ROM that are worth one: what a LUT stores, or the ratio of block
    RAM to LUTs in the family's smaller parts (XC7A100T: 78, LFE5U-25: 42, iCE40UP5K: 23)."""

    inputs: int
    bits: int


FAMILIES = {"xc7": Logic(6, 64), "ecp5": Logic(4, 42), "ice40": Logic(4, 23)}


@dataclass(frozen=True)
class Codebook:
    """`codes`: the distinct weights, or vectors of `vector` weights of one output that follow one another, as hwc_product takes them,
    the first at the bottom, ascending; `width` bits each; `luts` of the table of one index."""

    codes: tuple[int, ...]
    width: int
    luts: int
    vector: int = 1

    @property
    def bits(self) -> int:
        """Of an index."""
        return max(1, (len(self.codes) - 1).bit_length())

    @property
    def values(self) -> np.ndarray:
        """int64 [codes, vector]: the weights, as hwc_product takes them."""
        weight = self.width // self.vector
        codes = np.array(self.codes, np.uint64)[:, None] >> (weight * np.arange(self.vector)).astype(np.uint64)
        return (codes & np.uint64((1 << weight) - 1)).astype(np.int64)

    def indices(self, words: np.ndarray) -> np.ndarray:
        """int64 [words, lanes / vector], of weights [words, lanes] as hwc_product takes them. Outputs beyond the last may have any."""
        found = np.searchsorted(np.array(self.codes, np.uint64), _joined(words, self.vector, self.width // self.vector))
        return np.minimum(found, len(self.codes) - 1)

    @property
    def table(self) -> int:
        """The values behind each other, the first at the bottom; those beyond the last are the last."""
        full = self.codes + self.codes[-1:] * ((1 << self.bits) - len(self.codes))
        return sum(code << (i * self.width) for i, code in enumerate(full))

    def shares(self, fold: Fold) -> bool:
        """Whether indices and one table are fewer bits than what they stand for: else the table is the ROM by another name."""
        count = fold.per_pixel * fold.lanes // self.vector
        return count * self.bits + len(self.codes) * self.width < count * self.width

    def saved(self, fold: Fold, logic: Logic) -> int:
        """Bits that the ROM loses, less what the tables of all lanes are worth."""
        return fold.lanes // self.vector * (fold.per_pixel * (self.width - self.bits) - self.luts * logic.bits)


def given(program: Program, plan: DataflowPlan, logic: Logic) -> DataflowPlan:
    """The plan with a codebook wherever one is worth it."""
    stages = []
    for stage in plan.stages:
        kernel = program.kernels[stage.kernel]
        book = chosen(program, stage, logic) if kernel.kind in ("conv2d", "dense") else None
        stages.append(replace(stage, codebook=book))
    return replace(plan, stages=tuple(stages))


def saved(plan: DataflowPlan, logic: Logic) -> int:
    """Bits that all ROMs lose, less what tables are worth."""
    return sum(s.codebook.saved(s.fold, logic) for s in plan.stages if s.codebook)


def chosen(program: Program, stage: Stage, logic: Logic) -> Codebook | None:
    """That with which the bits that the ROM loses are worth most more than the tables of all lanes; None where none are."""
    kernel, fold = program.kernels[stage.kernel], stage.fold
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    held = weights_of(kernel, x)
    if fold.unrolled or held.bits < 3:
        return None
    books = [_single(kernel, fold, held, logic)]
    if fold.kind == DENSE and fold.select is None:
        words = encoded(weight_words(kernel, stage, x, y), held)
        sizes = (s for s in SIZES if fold.dot % s == 0 and s * held.bits <= _WORD)
        books += [_book(np.unique(_joined(words, s, held.bits)), s * held.bits, s, logic) for s in sizes]
    best = max((b for b in books if b and b.shares(fold)), key=lambda b: b.saved(fold, logic), default=None)
    return best if best and best.saved(fold, logic) > 0 else None


def _single(kernel: Kernel, fold: Fold, held: Weights, logic: Logic) -> Codebook | None:
    weight = kernel.constants["weight"]
    read = fold.read if fold.kind == DENSE else 1  # by an output
    idle = fold.chunks * fold.taps * read != weight[0].size  # input lanes without a weight, which must be zero
    values = np.unique(np.append(weight, 0) if idle else weight).astype(np.int64)
    return _book(np.unique(_joined(encoded(values, held)[:, None], 1, held.bits)), held.bits, 1, logic)


def _book(codes: np.ndarray, width: int, vector: int, logic: Logic) -> Codebook | None:
    """Of uint64 `codes`, ascending; None where indices are as wide, or the table is larger than a parameter should be."""
    bits = max(1, (len(codes) - 1).bit_length())
    if bits >= min(width, _MOST + 1):
        return None
    return Codebook(tuple(codes.tolist()), width, _luts(codes, bits, width, logic), vector)


def _joined(words: np.ndarray, vector: int, bits: int) -> np.ndarray:
    """uint64: so many neighbours [.., lanes] in one, the first at the bottom, of `bits` each."""
    fields = (words & ((1 << bits) - 1)).astype(np.uint64).reshape(*words.shape[:-1], -1, vector)
    return np.bitwise_or.reduce(fields << (bits * np.arange(vector)).astype(np.uint64), axis=-1)


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
