"""Weights as vectors from codebooks in C: indices of a few bits and the codewords, decoded a slice of rows at a time.

Rows go in pairs, as plain weights do: the indices of both rows of a pair stand by turns, stage by stage, vector by vector; those of
a slice's odd row behind its pairs. Pairs of whole quads are put in place four weights at a time, others one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwcomp.backends._c_codes import rows_of_slice
from hwcomp.plan.memory import WeightLayout
from sw_ref import vectors
from sw_ref.program import Kernel

_QUAD = 4  # weights of a row that are put in place together
# Instructions on a Cortex-M4: of a weight by quads, by itself, of one that is added by itself, of an index in a byte, of one of other bits.
_WEIGHT, _SINGLE, _ADDED, _BYTE, _BITS = 1.7, 3.0, 4.5, 2.4, 7.6


@dataclass(frozen=True)
class Vectors:
    """`codebook` int8 [stages, parts, codewords, size], `index` int64 [stages, rows, vectors], both as rows lie in memory."""

    codebook: np.ndarray
    index: np.ndarray

    @property
    def bits(self) -> int:
        return (self.codebook.shape[2] - 1).bit_length()

    def stream(self, rows: int) -> np.ndarray:
        """uint8: the indices of slices of so many `rows`, lowest bit first."""
        stages, _, places = self.index.shape
        cut = self.index.reshape(stages, -1, rows, places).transpose(1, 2, 3, 0)  # [slice, row, vector, stage]
        even = rows // 2 * 2
        pairs = cut[:, :even].reshape(len(cut), -1, 2, places, stages).transpose(0, 1, 3, 4, 2)
        flat = np.concatenate([pairs.reshape(len(cut), -1), cut[:, even:].reshape(len(cut), -1)], axis=1).reshape(-1, 1)
        return np.packbits((flat >> np.arange(self.bits) & 1).astype(np.uint8).ravel(), bitorder="little")

    @property
    def each(self) -> int:
        """Vectors of a row from one part's codebook."""
        return self.index.shape[2] // self.codebook.shape[1]

    @property
    def bytes(self) -> int:
        return self.codebook.size + -(-self.index.size * self.bits // 8)


def of(kernel: Kernel, columns: np.ndarray, rows: np.ndarray | None = None) -> Vectors | None:
    """The codes of a kernel whose weights lie in memory as [rows, columns] say; None where it has none in that order."""
    how = kernel.params.get("vectors")
    if how is None or not np.array_equal(vectors.order(how["dims"], how["perm"]), columns):
        return None
    index = kernel.constants["index"].astype(np.int64)
    return Vectors(kernel.constants["codebook"].astype(np.int8), index if rows is None else index[:, rows])


def layout(codes: Vectors | None, plain: WeightLayout, groups: int, once: bool) -> WeightLayout | None:
    """`plain` (bytes) as codes, cut into slices; None where there are none, or parts of unlike sizes."""
    if codes is None or plain.ctype != "int8_t":
        return None
    _, parts, codewords, size = codes.codebook.shape
    each = plain.rows // groups
    if codes.index.shape[2] % parts or codewords < 2:
        return None
    rows = rows_of_slice(each, once)
    return replace(plain, rows=rows, slices=each // rows, vector=size)


def quick(codes: Vectors, layout: WeightLayout) -> bool:
    """Whether pairs of rows are put in place by quads."""
    return layout.quads and layout.rows % 2 == 0 and codes.each * layout.vector % _QUAD == 0


def instructions(codes: Vectors, layout: WeightLayout, dense: float, columns: float) -> float:
    """Expected for all windows, as _c_book.instructions."""
    stages, rows, places = codes.index.shape
    weight = _WEIGHT if quick(codes, layout) else _SINGLE + (stages - 1) * _ADDED
    index = (_BYTE if codes.bits == 8 else _BITS) * codes.index.size
    return dense + (layout.slices - 1) * columns + weight * rows * places * layout.vector + index


def arrays(codes: Vectors, index: int, layout: WeightLayout) -> list[tuple[str, str, np.ndarray, str]]:
    """[(C type, name, values, what)]"""
    stages, parts, codewords, size = codes.codebook.shape
    shape = f"[{stages}][{parts}][{codewords}][{size}]: stage, part of a row, codeword"
    return [
        ("uint8_t", f"w{index}", codes.stream(layout.rows), f"indices of {codes.bits} bits, pairs of rows by turns"),
        ("int8_t", f"v{index}", codes.codebook.ravel(), f"codewords, {shape}"),
    ]


def primitive(codes: Vectors, layout: WeightLayout) -> dict[str, Any]:
    """What the decoder's template needs."""
    stages, _, _, size = codes.codebook.shape
    single = not quick(codes, layout)
    name = f"{size}_{codes.bits}" + (f"_{stages}" if stages > 1 else "")
    name += ("_any" if layout.quads else "_any_plain") if single else ""
    return {"name": name, "size": size, "bits": codes.bits, "stages": stages, "any": single, "quads": layout.quads}


def call(codes: Vectors, layout: WeightLayout) -> dict[str, Any]:
    """How a slice of rows is decoded."""
    stages, parts, codewords, size = codes.codebook.shape
    single = not quick(codes, layout)
    return {
        "vectors": True, "name": primitive(codes, layout)["name"], "parts": parts, "step": codewords * size, "any": single,
        "each": codes.each if single else codes.each * size // max(size, _QUAD), "codewords": codewords, "size": size,
        "bits": codes.bits, "stages": stages,
    }  # fmt: skip
