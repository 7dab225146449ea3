"""Weights as vectors from codebooks in C: indices of a few bits and the codewords, decoded a slice of rows at a time.

Rows go in pairs, as plain weights do: the indices of both rows of a pair stand by turns, stage by stage, vector by vector.
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


@dataclass(frozen=True)
class Vectors:
    """`codebook` int8 [stages, parts, codewords, size], `index` int64 [stages, rows, vectors], both as rows lie in memory."""

    codebook: np.ndarray
    index: np.ndarray

    @property
    def bits(self) -> int:
        return (self.codebook.shape[2] - 1).bit_length()

    @property
    def stream(self) -> np.ndarray:
        """uint8: the indices, lowest bit first."""
        stages, rows, places = self.index.shape
        flat = self.index.reshape(stages, rows // 2, 2, places).transpose(1, 3, 0, 2).reshape(-1, 1)
        return np.packbits((flat >> np.arange(self.bits) & 1).astype(np.uint8).ravel(), bitorder="little")

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
    """`plain` (bytes) as codes, cut into slices; None where they can't be decoded in pairs of rows and whole quads."""
    if codes is None or not plain.quads or plain.ctype != "int8_t" or plain.k != plain.k_stored:
        return None
    _, parts, codewords, size = codes.codebook.shape
    places, each = codes.index.shape[2], plain.rows // groups
    if each % 2 or places % parts or places // parts * size % _QUAD or codewords < 2:
        return None
    rows = rows_of_slice(each, once)
    return replace(plain, rows=rows, slices=each // rows, vector=size)


def arrays(codes: Vectors, index: int) -> list[tuple[str, str, np.ndarray, str]]:
    """[(C type, name, values, what)]"""
    stages, parts, codewords, size = codes.codebook.shape
    shape = f"[{stages}][{parts}][{codewords}][{size}]: stage, part of a row, codeword"
    return [
        ("uint8_t", f"w{index}", codes.stream, f"indices of {codes.bits} bits, pairs of rows by turns"),
        ("int8_t", f"v{index}", codes.codebook.ravel(), f"codewords, {shape}"),
    ]


def primitive(codes: Vectors) -> dict[str, Any]:
    """What the decoder's template needs."""
    stages, _, _, size = codes.codebook.shape
    name = f"{size}_{codes.bits}" + (f"_{stages}" if stages > 1 else "")
    return {"name": name, "size": size, "bits": codes.bits, "stages": stages}


def call(codes: Vectors, rows: int) -> dict[str, Any]:
    """How a slice of `rows` is decoded."""
    _, parts, codewords, size = codes.codebook.shape
    each = codes.index.shape[2] // parts
    return {
        "vectors": True, "name": primitive(codes)["name"], "parts": parts, "step": codewords * size, "pairs": rows // 2,
        "each": each * size // max(size, _QUAD), "codewords": codewords, "size": size, "bits": codes.bits,
        "stages": len(codes.codebook),
    }  # fmt: skip
