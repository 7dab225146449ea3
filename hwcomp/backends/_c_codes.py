"""Weights as Huffman codes in C: what the codes are, the bytes they take, and how a layer is read from them.

A layer's weights are one stream of bits, the lowest of a halfword first. Either each weight has a code, or the distance to the
next weight that is not 0 and that weight have one each, by turns. The decoder finds what a code means, and its length, by looking
the next bits up in a table that it makes in scratch, so that no code is longer than a table can be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwcomp.plan.memory import WeightLayout

SEEN = 17  # bits that the decoder has at least when it looks
LONGEST = 12  # bits of a code
_RAM = 8  # bytes of a table in scratch that are worth one of flash
_TWICE = 0.01  # of the bytes, that must be saved where the decoder has to look for a weight and for a distance
_AHEAD = 2  # halfwords behind the last code that the decoder may read
_REACHES = (8, 16, 32, 64, 128, 255)  # the largest distance that has a code; weights of 0 stand in longer ones
_FASTER = 0.96  # of the bytes that zeros take which the decoder skips: it takes half the instructions
_ROWS = 8  # of a slice at least where its products outweigh the windows that are copied once more for each
_PAIR = 2
ENTRY = {"int8": "int16", "uint8": "uint16", "int16": "int32"}  # of a table: the symbol above 8 bits of its length


@dataclass(frozen=True)
class Table:
    """A prefix code: `symbols` in the order of their codes, `lengths` of these codes, rising; a code's first bit is its lowest."""

    symbols: np.ndarray
    lengths: np.ndarray

    @property
    def least(self) -> int:
        return int(self.lengths[0])

    @property
    def longest(self) -> int:
        return int(self.lengths[-1])

    @property
    def counts(self) -> np.ndarray:
        """uint16: codes of each length from `least` on."""
        return np.bincount(self.lengths)[self.least :].astype(np.uint16)

    def codes(self) -> np.ndarray:
        """int64 [symbols]"""
        found, code = [], 0
        for length in self.lengths.tolist():
            found.append(code)
            bit = 1 << length >> 1
            while code & bit:
                code, bit = code ^ bit, bit >> 1
            code |= bit
        return np.array(found, np.int64)

    def bits(self, counts: np.ndarray) -> int:
        """What `counts` of the symbols, by symbol, take."""
        return int((counts[self.symbols] * self.lengths).sum())


@dataclass(frozen=True)
class Coded:
    """`stream` uint16. `values`: the code of weights; symbol i is weight `weights[i]`. `gaps`: that of distances, or None;
    `first`: how many weights lie before the first that is coded, `gap_bits`: of the stream, codes of distances.
    """

    stream: np.ndarray
    values: Table
    weights: np.ndarray
    gaps: Table | None = None
    first: int = 0
    gap_bits: int = 0

    @property
    def arrays(self) -> list[tuple[str, str, np.ndarray, str]]:
        """[(C type, prefix, values, what)]"""
        what = "codes of weights and of the distance to the next one, by turns" if self.gaps else "codes of weights"
        found = [
            ("uint16_t", "w", self.stream, f"{what}; lowest bit first"),
            ("uint16_t", "h", self.values.counts, "codes of each length"),
            (f"{self.weights.dtype.name}_t", "v", self.weights[self.values.symbols], "weights by code"),
        ]
        if self.gaps:
            found.append(("uint16_t", "e", self.gaps.counts, "codes of distances, of each length"))
            found.append(("uint8_t", "g", self.gaps.symbols.astype(np.uint8), "distances by code"))
        return found

    @property
    def bytes(self) -> int:
        return sum(a.nbytes for _, _, a, _ in self.arrays)

    @property
    def index_bytes(self) -> int:
        """Of the bytes, those of distances and their codes."""
        tables = self.gaps.counts.nbytes + len(self.gaps.symbols) if self.gaps else 0
        return -(-self.gap_bits // 8) + tables

    @property
    def per(self) -> int:
        """Weights that are decoded at one look, a power of two; 0: two looks are needed for one weight and a distance."""
        if self.gaps:
            return int(self.values.longest + self.gaps.longest <= SEEN)
        return next(n for n in (4, 2, 1) if n * self.values.longest <= SEEN)

    @property
    def tables(self) -> list[int]:
        """Bytes in scratch of the table of weights and that of distances, whole words each."""
        sizes = [np.dtype(ENTRY[self.weights.dtype.name]).itemsize << self.values.longest]
        sizes += [2 << self.gaps.longest] if self.gaps else []
        return [-(-size // 4) * 4 for size in sizes]


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


def tables(counts: np.ndarray) -> list[Table]:
    """The shortest codes, the limit of their lengths falling from LONGEST to the least that is possible."""
    used, found = np.flatnonzero(counts), []
    limit = LONGEST
    while len(used) <= 1 << limit:
        bits = lengths(counts, limit)
        order = used[np.lexsort((used, bits[used]))]
        found.append(Table(order, bits[order]))
        limit = found[-1].longest - 1
        if limit < 0:
            break
    return found


def coded(flat: np.ndarray, distances: bool = False) -> Coded | None:
    """The form of weights, in the order in which they are read, with the fewest bytes; None where there are too many values.

    Bytes of tables in scratch count a little, too. `distances`: only forms with these are wanted.
    """
    weights, symbols = np.unique(flat, return_inverse=True)
    if flat.dtype.name not in ENTRY or len(weights) > 1 << LONGEST:
        return None
    sparse = [f for f in (runs(flat, reach) for reach in _REACHES) if f] if (flat == 0).any() and flat.any() else []
    if distances:
        return min(sparse, key=_cost, default=None)
    counts = np.bincount(symbols, minlength=len(weights))
    each = min((Coded(np.zeros(_halfwords(t.bits(counts)), np.uint16), t, weights) for t in tables(counts)), key=_cost)
    return min([replace(each, stream=_stream([(each.values, symbols)])), *sparse], key=_cost)


def runs(flat: np.ndarray, reach: int) -> Coded | None:
    """Codes of distances, none larger than `reach`, and of weights; None where there are too many values."""
    at = np.flatnonzero(flat)
    distance = np.diff(np.concatenate([[-1], at, [flat.size]]))  # the last one leads to the end
    parts = (distance - 1) // reach + 1
    ends = np.cumsum(parts) - 1
    steps = np.full(parts.sum(), reach)
    steps[ends] = distance - (parts - 1) * reach
    stored = np.zeros(len(steps) - 1, flat.dtype)
    stored[ends[:-1]] = flat[at]
    weights, symbols = np.unique(stored, return_inverse=True)
    of_values, of_steps = np.bincount(symbols), np.bincount(steps[1:], minlength=reach + 1)
    found = [
        Coded(np.zeros(_halfwords(v.bits(of_values) + g.bits(of_steps)), np.uint16), v, weights, g, int(steps[0]) - 1)
        for v in tables(of_values) for g in tables(of_steps)
    ]  # fmt: skip
    if not found:
        return None
    best = min(found, key=_cost)
    best = replace(best, gap_bits=best.gaps.bits(of_steps))
    order = np.argsort(np.concatenate([np.arange(len(stored)), np.arange(len(stored)) + 0.5]), kind="stable")
    return replace(best, stream=_stream([(best.values, symbols), (best.gaps, steps[1:])], order))


def _cost(form: Coded) -> float:
    return form.bytes * (1 if form.per else 1 + _TWICE) + sum(form.tables) / _RAM


def _halfwords(bits: int) -> int:
    return -(-bits // 16) + _AHEAD


def _stream(parts: list[tuple[Table, np.ndarray]], order: np.ndarray | None = None) -> np.ndarray:
    """uint16: the codes of all symbols, those of several tables in `order`, and what may be read behind."""
    words, bits = [], []
    for code, symbols in parts:
        place = np.zeros(int(code.symbols.max()) + 1, np.int64)
        place[code.symbols] = np.arange(len(code.symbols))
        words.append(code.codes()[place[symbols]])
        bits.append(code.lengths[place[symbols]])
    word, bit = (np.concatenate(a) if order is None else np.concatenate(a)[order] for a in (words, bits))
    start = np.cumsum(bit) - bit
    out = np.zeros(16 * _halfwords(int(bit.sum())), np.uint8)
    for i in range(int(bit.max(initial=0))):
        some = bit > i
        out[start[some] + i] = word[some] >> i & 1
    return np.packbits(out, bitorder="little").view("<u2").astype(np.uint16)


def rows_of_slice(rows: int, once: bool) -> int:
    """Rows that are decoded together, a divisor of `rows`, whole pairs where possible. `once`: each is used for one window."""
    fit = [n for n in range(1, rows + 1) if rows % n == 0 and n >= min(rows, _PAIR if once else _ROWS)]
    return next((n for n in fit if n % 2 == 0), fit[0])


def sliced(plain: WeightLayout, rows: int, once: bool) -> WeightLayout:
    """`plain`, of which each group has `rows` rows, cut into slices that are decoded one after the other."""
    each = rows_of_slice(rows, once)
    return replace(plain, rows=each, slices=rows // each)


def choose(
    layout: WeightLayout, most: int, weight: np.ndarray, groups: int, cut: WeightLayout, scatters: bool, stored: Callable,
    plain: WeightLayout,
) -> WeightLayout:  # fmt: skip
    """`plain` (bytes) as codes, where these take fewer bytes than the `most` of `layout`; else `layout`. `scatters`: the layer
    may read them input by input; else it is `cut` into slices.

    `weight` [rows, k] as it is stored, `stored`(weight, parts, layout) the array of a layout.
    """
    found = [(cut, coded(stored(weight, groups * cut.slices, cut)))]
    if scatters:
        found.append((replace(plain, scatter=True), scattered(weight, plain)))
    found = [(c.bytes * (_FASTER if w.scatter else 1), replace(w, tables=sum(c.tables))) for w, c in found if c]
    size, best = min(found, key=lambda f: f[0], default=(most, layout))
    return best if size < most else layout


def scattered(weight: np.ndarray, layout: WeightLayout) -> Coded | None:
    """Weights [rows, k], those of an input together, as distances and weights; None where that is not possible."""
    return coded(np.ascontiguousarray(weight.T).astype(layout.ctype[:-2]).ravel(), distances=True)


def buffer(layout: WeightLayout) -> int:
    """Bytes of scratch for a decoded slice, or for sums of 32 bits, and for the tables; 0 where nothing is decoded."""
    whole = 8 if layout.book else 4  # weights that are decoded together
    count = -(-layout.rows * layout.k_stored // whole) * whole if layout.slices else 0
    size = count * np.dtype(layout.ctype[:-2]).itemsize
    return size + (4 * layout.rows if layout.scatter else 0) + layout.tables
