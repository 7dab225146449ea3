"""Adder graphs: a constant matrix times a vector as a netlist of two-operand additions, exact integers that tests run.

Source: docs/hardware.md, "Unrolled layers". How terms are shared: hwcomp.plan._shared_sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ADD, SUB, BACK = range(3)
"""OP of hwc_shift_add: a + (b << shift), a - (b << shift), (b << shift) - a."""
REGISTER = 2
"""Levels of adders per pipeline register."""


class Add(NamedTuple):
    """Values `a`, `b` by their number; `b` is shifted."""

    a: int
    b: int
    shift: int
    op: int


class Read(NamedTuple):
    """An output: value `of`, shifted; -1 for zero."""

    of: int
    shift: int


@dataclass(frozen=True)
class Adders:
    """Values are numbered: the `inputs`, then the `constants`, then the sums `adds`, operands before what reads them.

    `ranges`: (least, most) of each value, from those of the inputs. `stage`: of each value, the pipeline stage that computes
    it, 0 for inputs and constants; a register stands between two stages, `stages` in all.
    """

    inputs: int
    constants: tuple[int, ...]
    adds: tuple[Add, ...]
    reads: tuple[Read, ...]
    ranges: tuple[tuple[int, int], ...]
    stage: tuple[int, ...]
    stages: int

    @property
    def first(self) -> int:
        """The number of the first sum."""
        return self.inputs + len(self.constants)

    def values(self, x: np.ndarray) -> np.ndarray:
        """int64 [n, inputs] -> [n, values]: all of them."""
        found = np.zeros((len(x), self.first + len(self.adds)), np.int64)
        found[:, : self.inputs] = x
        found[:, self.inputs : self.first] = self.constants
        for i, (a, b, shift, op) in enumerate(self.adds, self.first):
            left, right = found[:, a], found[:, b] << shift
            found[:, i] = left + right if op == ADD else left - right if op == SUB else right - left
        return found

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """int64 [n, inputs] -> [n, outputs]: the products of the matrix, and the start of each output."""
        found = self.values(x)
        sums = [found[:, r.of] << r.shift if r.of >= 0 else np.zeros(len(x), np.int64) for r in self.reads]
        return np.stack(sums, axis=1) if sums else np.zeros((len(x), 0), np.int64)

    def signed(self, value: int) -> bool:
        return self.ranges[value][0] < 0

    def width(self, value: int) -> int:
        """Bits that hold the range: two's complement where it is `signed`."""
        return bits_of(*self.ranges[value])

    def delays(self) -> dict[int, int]:
        """Value -> how many registers it passes until the last stage that reads it; those that pass none are left out."""
        last = {r.of: self.stages - 1 for r in self.reads}
        for i, add in enumerate(self.adds, self.first):
            for v in (add.a, add.b):
                last[v] = max(last.get(v, 0), self.stage[i])
        used = {v: at - self.stage[v] for v, at in last.items() if v >= 0 and not self.inputs <= v < self.first}
        return {v: n for v, n in sorted(used.items()) if n > 0}

    def register_bits(self) -> int:
        """Between the stages; those of inputs and outputs apart."""
        return sum(n * self.width(v) for v, n in self.delays().items())

    def luts(self) -> int:
        """About: one per bit of an adder's carry chain. Bits below a shift are wires, and where nothing overlaps all are; of
        a constant only the ones take logic in front of the chain."""
        return sum(self._chain(i, add) for i, add in enumerate(self.adds, self.first))

    def _chain(self, value: int, add: Add) -> int:
        for v in (add.a, add.b):
            if self.inputs <= v < self.first:
                return self.constants[v - self.inputs].bit_count()
        if add.op == ADD and not self.signed(add.a) and self.width(add.a) <= add.shift:
            return 0
        return max(self.width(value) - (0 if add.op == BACK else add.shift), 0)


def bits_of(lo: int, hi: int) -> int:
    """Bits of the integers lo..hi, at least one."""
    return max(max(hi, 0).bit_length(), (~lo).bit_length()) + 1 if lo < 0 else max(hi.bit_length(), 1)


def linear_ranges(
    inputs: Sequence[tuple[int, int]], constants: Sequence[int], adds: Sequence[Add]
) -> list[tuple[int, int]]:
    """(least, most) of every value: of the linear form that it is, inputs taken as independent."""
    forms: list[dict[int, int]] = [{i: 1} for i in range(len(inputs))] + [{-1: c} for c in constants]
    found = [*inputs, *((c, c) for c in constants)]
    for a, b, shift, op in adds:
        form = {i: -c if op == BACK else c for i, c in forms[a].items()}
        sign = -1 if op == SUB else 1
        for i, c in forms[b].items():
            form[i] = form.get(i, 0) + (sign * c << shift)
        forms.append(form)
        start = form.get(-1, 0)
        ends = [(c * inputs[i][0], c * inputs[i][1]) for i, c in form.items() if i >= 0]
        found.append((start + sum(map(min, ends)), start + sum(map(max, ends))))
    return found
