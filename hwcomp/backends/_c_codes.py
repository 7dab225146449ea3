"""Weights as canonical Huffman codes in C: what the codes are, the bytes they take, and how a layer is cut for decoding.

A layer's stored array is one stream. Either each weight has a code, or the distance to the next weight that is not 0 and that
weight have one each, by turns. Slices of rows are decoded into scratch before the products, which are those of plain weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp.plan.memory import WeightLayout

LONGEST = 16  # bits of a code: what the decoder looks at
_LIMITS = (8, 10, 12, 14, LONGEST)
_ESCAPES = (7, 15, 31, 63, 127, 255)  # distances that mean "so many zeros, and no weight yet"
_AHEAD = 2  # bytes behind the last code that the decoder may read
_ROWS = 8  # of a slice at least where its products outweigh the windows that are copied once more for each
_PAIR = 2


@dataclass(frozen=True)
class Table:
    """A canonical code: `symbols` in the order of their codes, `lengths` of these codes, rising.

    The decoder sees the next 16 bits as a number: `steps` uint16 [lengths, 2] has, for each length from `least` on, the largest
    number that a code of at most this length starts, and what its first bits need added to be the symbol's place.
    """

    symbols: np.ndarray
    lengths: np.ndarray

    @property
    def least(self) -> int:
        return int(self.lengths[0])

    @property
    def steps(self) -> np.ndarray:
        codes, found = self.codes(), []
        for length in range(self.least, int(self.lengths[-1]) + 1):
            at = int(np.searchsorted(self.lengths, length, "right")) - 1
            end = (int(codes[at]) + 1) << (LONGEST - int(self.lengths[at]))
            first = int(np.searchsorted(self.lengths, length))
            base = first - int(codes[first]) if first <= at else 0
            found.append((end - 1, base % (1 << 16)))
        return np.array(found, np.uint16)

    def codes(self) -> np.ndarray:
        """int64 [symbols]"""
        found, code = [], 0
        for i, length in enumerate(self.lengths.tolist()):
            code = (code + 1) << (length - int(self.lengths[i - 1])) if i else 0
            found.append(code)
        return np.array(found, np.int64)

    def bits(self, counts: np.ndarray) -> int:
        """What `counts` of the symbols, by symbol, take."""
        return int((counts[self.symbols] * self.lengths).sum())


@dataclass(frozen=True)
class Coded:
    """`stream` uint8. `values`: the code of weights; symbol i is weight `weights[i]`. `gaps`: that of distances, or None."""

    stream: np.ndarray
    values: Table
    weights: np.ndarray
    gaps: Table | None = None
    escape: int = 0

    @property
    def arrays(self) -> list[tuple[str, str, np.ndarray, str]]:
        """[(C type, prefix, values, what)]"""
        kind = f"{self.weights.dtype.name}_t"
        what = "codes of distances and weights, by turns" if self.gaps else "codes of weights, pairs of rows as [k][2]"
        found = [
            ("uint8_t", "w", self.stream, f"{what}; first bit first"),
            ("uint16_t", "h", self.values.steps, "their lengths: last number, difference"),
            (kind, "v", self.weights[self.values.symbols], "weights by code"),
        ]
        if self.gaps:
            found.append(("uint16_t", "e", self.gaps.steps, "lengths of distances: last number, difference"))
            found.append(("uint8_t", "g", self.gaps.symbols.astype(np.uint8), "distances by code"))
        return found

    @property
    def bytes(self) -> int:
        return sum(a.nbytes for _, _, a, _ in self.arrays)


def lengths(counts: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """int64: bits of each symbol in the shortest prefix code with at most `longest`; 0 for what does not occur, and for one
    symbol alone. Package-merge: Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990.
    """
    used = np.flatnonzero(counts)
    if len(used) > 1 << longest:
        raise ValueError(f"{len(used)} symbols have no codes of {longest} bits")
    found = np.zeros(len(counts), np.int64)
    if len(used) < 2:
        return found
    eye = np.eye(len(used), dtype=np.int64)
    leaves = [(int(counts[s]), i, eye[i]) for i, s in enumerate(used)]
    packages: list[tuple[int, int, np.ndarray]] = []
    for _ in range(longest):
        merged = sorted(leaves + packages, key=lambda p: p[:2])
        pairs = zip(merged[::2], merged[1::2], strict=False)
        packages = [(a[0] + b[0], len(used) + i, a[2] + b[2]) for i, (a, b) in enumerate(pairs)]
    found[used] = sum(p[2] for p in merged[: 2 * len(used) - 2])
    return found


def table(counts: np.ndarray) -> Table:
    """The code with the fewest bytes, its own table included."""

    def made(longest: int) -> Table:
        bits = lengths(counts, longest)
        used = np.flatnonzero(counts)
        order = used[np.lexsort((used, bits[used]))]
        return Table(order, bits[order])

    limits = [n for n in _LIMITS if np.count_nonzero(counts) <= 1 << n]
    return min(map(made, limits), key=lambda t: t.bits(counts) + 8 * t.steps.nbytes)


def coded(flat: np.ndarray) -> Coded:
    """The form of a layer's stored weights with the fewest bytes."""
    weights, symbols = np.unique(flat, return_inverse=True)
    values = table(np.bincount(symbols, minlength=len(weights)))
    found = [Coded(_stream([(values, symbols)]), values, weights)]
    if (flat == 0).any() and flat.any():
        found += [_runs(flat, escape) for escape in _ESCAPES]
    return min(found, key=lambda c: c.bytes)


def _runs(flat: np.ndarray, escape: int) -> Coded:
    at = np.flatnonzero(flat)
    weights, symbols = np.unique(flat[at], return_inverse=True)
    gap = np.diff(np.concatenate([[-1], at, [flat.size]])) - 1  # the last one leads to the end
    parts = gap // escape + 1
    gaps = np.full(parts.sum(), escape)
    ends = np.cumsum(parts) - 1
    gaps[ends] = gap % escape
    values, distances = table(np.bincount(symbols)), table(np.bincount(gaps, minlength=escape + 1))
    order = np.argsort(np.concatenate([np.arange(gaps.size), ends[:-1] + 0.5]), kind="stable")
    return Coded(_stream([(distances, gaps), (values, symbols)], order), values, weights, distances, escape)


def _stream(parts: list[tuple[Table, np.ndarray]], order: np.ndarray | None = None) -> np.ndarray:
    """uint8: the codes of all symbols, those of several tables in `order`, first bit first, and what may be read behind."""
    words, bits = [], []
    for code, symbols in parts:
        place = np.zeros(int(code.symbols.max()) + 1, np.int64)
        place[code.symbols] = np.arange(len(code.symbols))
        words.append(code.codes()[place[symbols]])
        bits.append(code.lengths[place[symbols]])
    word, bit = (np.concatenate(a) if order is None else np.concatenate(a)[order] for a in (words, bits))
    start = np.cumsum(bit) - bit
    out = np.zeros(int(bit.sum()), np.uint8)
    for i in range(int(bit.max(initial=0))):
        some = bit > i
        out[start[some] + i] = word[some] >> (bit[some] - 1 - i) & 1
    return np.concatenate([np.packbits(out), np.zeros(_AHEAD, np.uint8)])


def rows_of_slice(rows: int, once: bool) -> int:
    """Rows that are decoded together, a divisor of `rows`, whole pairs where possible. `once`: each is used for one window."""
    fit = [n for n in range(1, rows + 1) if rows % n == 0 and n >= min(rows, _PAIR if once else _ROWS)]
    return next((n for n in fit if n % 2 == 0), fit[0])


def choose(
    layout: WeightLayout, most: int, weight: np.ndarray, groups: int, once: bool, stored: Callable, plain: WeightLayout
) -> WeightLayout:
    """`plain` (bytes) cut into slices, where codes of them take fewer bytes than the `most` of `layout`; else `layout`.

    `weight` [rows, k] as it is stored, `stored`(weight, parts, layout) the array of a layout.
    """
    rows = rows_of_slice(len(weight) // groups, once)
    slices = len(weight) // groups // rows
    cut = WeightLayout(rows, plain.k, plain.k_stored, plain.block, plain.quads, plain.ctype, slices=slices)
    size = coded(stored(weight, groups * slices, cut)).bytes
    return cut if size < most else layout


def buffer(layout: WeightLayout) -> int:
    """Bytes of a decoded slice; 0 where nothing is decoded."""
    size = layout.rows * layout.k_stored * np.dtype(layout.ctype[:-2]).itemsize if layout.slices else 0
    return -(-size // 4) * 4
