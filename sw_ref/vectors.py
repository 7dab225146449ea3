"""Weights as vectors from codebooks: what the constants `codebook` and `index` of a kernel mean, and when they are refused.

A row of weights in the order that `vectors` gives is cut into vectors; vector j of row m is the sum over the stages s of
codebook[s, j * parts // vectors, index[s, m, j]]. The weights themselves remain the truth: a kernel whose codewords are not
they is no Program. docs/program.md is the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sw_ref.program import Kernel

KINDS = ("conv2d", "dense")


def order(dims, perm) -> np.ndarray:
    """int64: the elements of a row, as indices into its logical row-major order, one vector behind the other."""
    return np.arange(int(np.prod(dims, dtype=np.int64))).reshape(tuple(dims)).transpose(tuple(perm)).ravel()


def decoded(codebook: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The sums of codewords [.., vectors * size]: codebook [stages, parts, codewords, size], index [stages, .., vectors]."""
    part = np.arange(index.shape[-1]) * codebook.shape[1] // index.shape[-1]
    found = sum(book[part, one] for book, one in zip(codebook, index, strict=True))
    return found.reshape(*index.shape[1:-1], -1)


def check(kernel: Kernel) -> None:
    """ValueError where a kernel has codes that are not those of its weights."""

    def wrong(why: str) -> ValueError:
        return ValueError(f"kernel {kernel.name!r}: its codes are not those of its weights: {why}")

    c, how = kernel.constants, kernel.params.get("vectors")
    if kernel.kind not in KINDS or not isinstance(how, dict) or not {"codebook", "index"} <= set(c):
        raise wrong(f"vectors, codebook and index belong together, and to {' and '.join(KINDS)}")
    book, index, weight = c["codebook"].astype(np.int64), c["index"].astype(np.int64), c["weight"]
    rows = weight.reshape(len(weight), -1)
    dims, perm = how.get("dims"), how.get("perm")
    if not (
        _sizes(dims) and _sizes(perm) and sorted(perm) == list(range(len(dims))) and np.prod(dims) == rows.shape[1]
    ):
        raise wrong(f"dims {dims} and perm {perm} do not order {rows.shape[1]} weights")
    if book.ndim != 4 or index.ndim != 3 or not book.size or len(book) != len(index):
        raise wrong(f"a codebook {list(book.shape)} for an index {list(index.shape)}")
    if index.shape[1] != len(rows) or index.shape[2] * book.shape[3] != rows.shape[1] or book.shape[1] > index.shape[2]:
        raise wrong(f"{list(index.shape)} vectors of {book.shape[3]} for {list(rows.shape)} weights")
    if index.min() < 0 or index.max() >= book.shape[2]:
        raise wrong(f"indices from {index.min()} to {index.max()} into {book.shape[2]} codewords")
    away = decoded(book, index) != rows[:, order(dims, perm)]
    if away.any():
        raise wrong(f"{np.count_nonzero(away):,} of {away.size:,} weights differ")


def _sizes(value) -> bool:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
