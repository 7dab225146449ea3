"""From a constant matrix to an adder graph: signed digits, sums of two terms that outputs share, balanced trees, stages.

Greedy sharing of two-term sums: Hosangadi, Fallah, Kastner, "Common Subexpression Elimination Involving Multiple Variables for
Linear DSP Synthesis" (ASAP 2004); the most frequent one goes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwcomp.plan.adders import ADD, BACK, REGISTER, SUB, Add, Adders, Read, linear_ranges

TERMS = 384
"""Terms of an output among which sums are looked for at a time: their pairs are counted."""
_SHIFTS = 64


def digits(value: int) -> list[tuple[int, int]]:
    """Canonical signed digits: (place, sign) with no two neighbours, the fewest there are."""
    found, place = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            found.append((place, sign))
            value -= sign
        value >>= 1
        place += 1
    return found


def count_digits(weight: np.ndarray) -> int:
    """Signed digits of all weights."""
    values, counts = np.unique(weight, return_counts=True)
    return sum(len(digits(int(v))) * int(n) for v, n in zip(values, counts, strict=True))


def build(
    weight: np.ndarray,
    start: Sequence[int],
    ranges: Sequence[tuple[int, int]],
    register: int = REGISTER,
    *,
    share: bool = True,
) -> Adders:
    """Of `weight` int [outputs, inputs] and what each output starts from; `ranges` (least, most) of the inputs.

    `share`: else every output has a tree of its own.
    """
    found = [_built(weight, start, ranges, share, products) for products in ((False, True) if share else (False,))]
    return min((_staged(f, ranges, register) for f in found), key=lambda a: (a.luts(), len(a.adds)))


@dataclass
class _Graph:
    """Sums as they are found. `terms`: of each output, {(value, shift): sign}; `level`: of each value; `width`: bits of its
    magnitude at most."""

    inputs: int
    constants: list[int]
    terms: list[dict[tuple[int, int], int]]
    adds: list[Add] = field(default_factory=list)
    level: list[int] = field(default_factory=list)
    width: list[int] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def add(self, a: int, b: int, shift: int, op: int) -> int:
        self.adds.append(Add(a, b, shift, op))
        self.level.append(1 + max(self.level[a], self.level[b]))
        self.width.append(1 + max(self.width[a], self.width[b] + shift))
        return len(self.level) - 1


def _built(
    weight: np.ndarray, start: Sequence[int], ranges: Sequence[tuple[int, int]], share: bool, products: bool
) -> _Graph:
    inputs = weight.shape[1]
    odd = sorted({abs(s) >> _low(s) for s in map(int, start) if s})
    widths = [max(abs(lo), abs(hi)).bit_length() for lo, hi in ranges] + [c.bit_length() for c in odd]
    graph = _Graph(inputs, odd, [{} for _ in weight], level=[0] * len(widths), width=widths)
    known = _products(graph, weight) if products else {}
    for row, terms in zip(weight.tolist(), graph.terms, strict=True):
        for i, w in enumerate(row):
            if w and (made := known.get((i, abs(w) >> _low(w)))) is not None:
                terms[made, _low(w)] = 1 if w > 0 else -1
            else:
                terms.update({(i, place): sign for place, sign in digits(w)})
    if share:
        most = max(map(len, graph.terms), default=0)
        blocks = -(-most // TERMS)
        for block in range(blocks):
            _share(graph, inputs * block // blocks, inputs * (block + 1) // blocks)
    for s, terms in zip(map(int, start), graph.terms, strict=True):
        if s:
            terms[inputs + odd.index(abs(s) >> _low(s)), _low(s)] = 1 if s > 0 else -1
    graph.reads = [_tree(graph, terms) for terms in graph.terms]
    return graph


def _low(value: int) -> int:
    """Zeros at the bottom."""
    return (value & -value).bit_length() - 1


def _products(graph: _Graph, weight: np.ndarray) -> dict[tuple[int, int], int]:
    """(input, odd factor) -> its product, where several outputs take it."""
    known: dict[tuple[int, int], int] = {}
    for i, column in enumerate(np.abs(weight).T.tolist()):
        factors = [w >> _low(w) for w in column if w]
        for factor in sorted({f for f in factors if f > 1 and factors.count(f) > 1}):
            (first, _), *others = digits(factor)
            assert first == 0
            made, sign = i, digits(factor)[0][1]
            for place, s in others:
                if s == sign:
                    made = graph.add(made, i, place, ADD)
                else:
                    made, sign = graph.add(made, i, place, SUB if s < 0 else BACK), 1
            known[i, factor] = made
    return known


# --- sums of two terms ------------------------------------------------------------------------------------------------


class _Pairs:
    """How often each pair of terms occurs in the outputs, whatever their common shift and sign. First comes the one with the
    most occurrences times bits in which its terms overlap."""

    def __init__(self, graph: _Graph, terms: list[dict[tuple[int, int], int]]):
        self.graph, self.terms = graph, terms
        self.holders: dict[int, set[int]] = {}
        for o, held in enumerate(terms):
            for v, _ in held:
                self.holders.setdefault(v, set()).add(o)
        found = [_keys(t) for t in terms if len(t) > 1]
        keys, counts = np.unique(np.concatenate(found), return_counts=True) if found else (np.zeros(0, np.int64),) * 2
        often = counts > 1
        self.counts = dict(zip(keys[often].tolist(), counts[often].tolist(), strict=True))
        self.heap = [(-self._worth(k), k) for k in self.counts]
        heapq.heapify(self.heap)

    def _worth(self, key: int) -> int:
        a, b, shift, _ = _unpacked(key)
        width = self.graph.width
        return self.counts[key] * max(1, min(width[a], width[b] + shift) - shift)

    def next(self) -> int | None:
        """The pair to share next, which occurs more than once."""
        while self.heap:
            worth, key = heapq.heappop(self.heap)
            if self.counts.get(key, 0) < 2:
                continue
            if (now := -self._worth(key)) == worth:
                return key
            heapq.heappush(self.heap, (now, key))
        return None

    def places(self, key: int) -> list[tuple[int, int]]:
        """(output, shift) of occurrences that have no term in common."""
        a, b, shift, opposite = _unpacked(key)
        found = []
        for o in sorted(self.holders.get(a, set()) & self.holders.get(b, set())):
            terms, taken = self.terms[o], set()
            for at in sorted(k for v, k in terms if v == a):
                one, two = (a, at), (b, at + shift)
                if one in taken or two in taken or one == two:
                    continue
                if two in terms and (terms[one] != terms[two]) == opposite:
                    taken |= {one, two}
                    found.append((o, at))
        return found

    def replace(self, key: int, places: list[tuple[int, int]], made: int) -> None:
        """The pair by its sum, wherever it is."""
        a, b, shift, _ = _unpacked(key)
        fresh: dict[int, int] = {}
        for o, at in places:
            terms = self.terms[o]
            sign = self._drop(terms, (a, at))
            self._drop(terms, (b, at + shift))
            for other, s in terms.items():
                found = _key((made, at), sign, other, s)
                fresh[found] = fresh.get(found, 0) + 1
            terms[made, at] = sign
        self.counts.pop(key, None)
        self.holders[made] = {o for o, _ in places}
        for found, n in fresh.items():
            if n > 1:
                self.counts[found] = n
                heapq.heappush(self.heap, (-self._worth(found), found))

    def _drop(self, terms: dict[tuple[int, int], int], term: tuple[int, int]) -> int:
        sign = terms.pop(term)
        for other, s in terms.items():
            found = _key(term, sign, other, s)
            if found in self.counts:
                self.counts[found] -= 1
        return sign


def _key(one: tuple[int, int], sign: int, two: tuple[int, int], other: int) -> int:
    """The pair whose lower term stands at shift 0, as one number."""
    if (two[1], two[0]) < (one[1], one[0]):
        one, two = two, one
    return ((one[0] << 24 | two[0]) * _SHIFTS + two[1] - one[1]) * 2 + (sign != other)


def _unpacked(key: int) -> tuple[int, int, int, bool]:
    pair, shift = divmod(key >> 1, _SHIFTS)
    return pair >> 24, pair & ((1 << 24) - 1), shift, bool(key & 1)


def _keys(terms: dict[tuple[int, int], int]) -> np.ndarray:
    """int64 [pairs]: `_key` of all pairs of terms."""
    table = np.array(sorted((k, v, s) for (v, k), s in terms.items()), np.int64)
    i, j = np.triu_indices(len(table), 1)
    place, value, sign = table.T
    return ((value[i] << 24 | value[j]) * _SHIFTS + place[j] - place[i]) * 2 + (sign[i] != sign[j])


def _share(graph: _Graph, first: int, last: int) -> None:
    """Pairs of terms of the inputs first..last - 1 that occur more than once become sums, the most frequent first."""
    inside = set(range(first, last))
    if graph.adds:  # products of these inputs
        for i, add in enumerate(graph.adds, graph.inputs + len(graph.constants)):
            if add.a in inside and add.b in inside:
                inside.add(i)
    terms = [{t: s for t, s in every.items() if t[0] in inside} for every in graph.terms]
    for every, some in zip(graph.terms, terms, strict=True):
        for term in some:
            del every[term]
    pairs = _Pairs(graph, terms)
    while (key := pairs.next()) is not None:
        places = pairs.places(key)
        if len(places) < 2:
            pairs.counts.pop(key)
            continue
        a, b, shift, opposite = _unpacked(key)
        pairs.replace(key, places, graph.add(a, b, shift, SUB if opposite else ADD))
    for every, some in zip(graph.terms, terms, strict=True):
        every.update(some)


# --- trees and stages -------------------------------------------------------------------------------------------------


def _tree(graph: _Graph, terms: dict[tuple[int, int], int]) -> Read:
    """The sum of an output's terms: those of the least level first, alike shifts together."""

    def entry(value: int, shift: int, sign: int) -> tuple[int, int, int, int, int]:
        return graph.level[value], shift + graph.width[value], shift, value, sign

    heap = sorted(entry(v, k, s) for (v, k), s in terms.items())
    positive = sum(e[4] > 0 for e in heap)
    while len(heap) > 1:
        one, two = heapq.heappop(heap), heapq.heappop(heap)
        if (two[2], two[3]) < (one[2], one[3]):
            one, two = two, one
        _, _, at, a, sign = one
        _, _, up, b, other = two
        op = ADD if sign == other else SUB
        if op == SUB and sign < 0 and positive == 1:
            op, sign = BACK, 1  # the last one to end with: an output is not negated
        positive += (sign > 0) - (one[4] > 0) - (other > 0)
        heapq.heappush(heap, entry(graph.add(a, b, up - at, op), at, sign))
    if not heap:
        return Read(-1, 0)
    _, _, shift, value, sign = heap[0]
    return Read(value if sign > 0 else graph.add(value, value, 1, SUB), shift)  # v - 2v


def _read(graph: _Graph, first: int) -> _Graph:
    """Without sums that nobody reads."""
    used = {r.of for r in graph.reads}
    for i in range(len(graph.adds) - 1, -1, -1):
        if first + i in used:
            used |= set(graph.adds[i][:2])
    kept = [*range(first), *(v for v in range(first, len(graph.level)) if v in used)]
    name = {v: n for n, v in enumerate(kept)} | {-1: -1}
    return replace(
        graph, adds=[Add(name[a], name[b], s, op) for a, b, s, op in (graph.adds[v - first] for v in kept[first:])],
        level=[graph.level[v] for v in kept], reads=[Read(name[r.of], r.shift) for r in graph.reads],
    )  # fmt: skip


def _staged(graph: _Graph, ranges: Sequence[tuple[int, int]], register: int) -> Adders:
    """Every sum in the earliest stage or the latest one, whichever takes fewer registers; two stages at least."""
    first = graph.inputs + len(graph.constants)
    graph = _read(graph, first)
    depth = max(graph.level, default=0)
    stages = max(2, -(-depth // register))
    late = [stages * register] * len(graph.level)
    for i in range(len(graph.adds) - 1, -1, -1):
        for v in graph.adds[i][:2]:
            late[v] = min(late[v], late[first + i] - 1)
    made = Adders(
        graph.inputs, tuple(graph.constants), tuple(graph.adds), tuple(graph.reads),
        tuple(linear_ranges(ranges, graph.constants, graph.adds)), (), stages,
    )  # fmt: skip
    ways = [replace(made, stage=tuple(max(n - 1, 0) // register for n in graph.level))]
    ways.append(replace(made, stage=(0,) * first + tuple((n - 1) // register for n in late[first:])))
    return min(ways, key=Adders.register_bits)
