"""Tensors of -1 and +1, or of few bits, as words of bits from one layer to the next: which they are, how they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sw_ref.program import Edge, Kernel, Layout, Program

WORD = 32
# Most planes of a tensor, by whether the weights that read it have zeros: with one more, fields need fewer instructions
# (benchmarks/few_bits.py).
MOST = {False: 3, True: 2}


@dataclass(frozen=True)
class Bits:
    """`planes` bits of each element, one plane behind the other; an element is `first` + `step` * their number.

    A plane has `count` groups of `group` elements in carried order; each group fills whole words, element i is bit i % 32, the
    last bits of a group are 0.
    """

    group: int
    count: int
    planes: int = 1
    first: int = -1
    step: int = 2

    @property
    def words(self) -> int:
        """Words of a group."""
        return -(-self.group // WORD)

    @property
    def plane(self) -> int:
        """Words of a plane."""
        return self.words * self.count

    @property
    def bytes(self) -> int:
        return 4 * self.plane * self.planes


def pack(values: np.ndarray, bits: Bits) -> np.ndarray:
    """Integers [..., elements in carried order] -> uint32 [..., planes * count * words]."""
    lead = values.shape[:-1]
    number = (values.astype(np.int64) - bits.first) // bits.step
    ones = np.zeros((*lead, bits.planes, bits.count, bits.words * WORD), np.uint32)
    for plane in range(bits.planes):
        ones[..., plane, :, : bits.group] = (number >> plane & 1).reshape(*lead, bits.count, bits.group)
    shifted = ones.reshape(*lead, bits.bytes // 4, WORD) << np.arange(WORD, dtype=np.uint32)
    return np.bitwise_or.reduce(shifted, axis=-1)


def unpack(words: np.ndarray, bits: Bits) -> np.ndarray:
    """uint32 [..., planes * count * words] -> int64 [..., elements in carried order]."""
    lead = words.shape[:-1]
    ones = (words[..., None] >> np.arange(WORD, dtype=np.uint32)) & 1
    ones = ones.reshape(*lead, bits.planes, bits.count, bits.words * WORD)[..., : bits.group].astype(np.int64)
    number = sum(ones[..., plane, :, :] << plane for plane in range(bits.planes))
    return (bits.first + bits.step * number).reshape(*lead, bits.count * bits.group)


def takes(kernel: Kernel, bits: Bits) -> bool:
    """Whether a dot product can take planes of bits: weights of -1, 0 and +1, not too many planes, and sums of 32 bits."""
    weight = kernel.constants["weight"]
    few = bool((np.abs(weight) <= 1).all()) and kernel.params["acc_bits"] <= WORD
    return few and bits.planes <= MOST[not weight.all()]


def packed(program: Program) -> dict[str, Bits]:
    """The edges that are stored as bits, and how: all kernels around such an edge can take it."""
    found = {n for n, e in program.edges.items() if e.bipolar or e.hi - e.lo < 1 << max(MOST.values())}
    found -= {*program.inputs, *program.outputs}
    while True:
        bits = {}
        for group in _aliases(program, found):
            size = _group_size(program, group)
            bits |= {n: _bits(program.edges[n], size) for n in group if size}
        wrong = {n for n in found if n not in bits or not _fits(program, n, bits)}
        if not wrong:
            return bits
        found -= wrong


def _bits(edge: Edge, group: int) -> Bits:
    if edge.bipolar:
        return Bits(group, edge.size // group)
    return Bits(group, edge.size // group, max((edge.hi - edge.lo).bit_length(), 1), edge.lo, 1)


def _aliases(program: Program, names: set[str]) -> list[list[str]]:
    """Sets of edges that a reshape only renames; all of a set are in `names`, or the set is left out."""
    root = {n: n for n in program.edges}
    for k in program.kernels:
        if k.kind == "reshape":
            root[k.outputs[0]] = root[k.inputs[0]]
    sets: dict[str, list[str]] = {}
    for n, r in root.items():
        sets.setdefault(r, []).append(n)
    return [s for s in sets.values() if names.issuperset(s)]


def _group_size(program: Program, names: list[str]) -> int:
    """Elements of a group, for edges that share memory; 0 where no size suits all kernels around them."""
    maps, rows = set(), []
    for k in program.kernels:
        for n in (*k.inputs, *k.outputs):
            if n not in names:
                continue
            shape = program.edges[n].shape
            if k.kind in ("conv2d", "maxpool2d"):
                maps.add(shape[0])
            elif k.kind == "dense":
                rows.append(shape[-1])
    if len(maps) > 1 or not (maps or rows):
        return 0
    size = maps.pop() if maps else rows[0]
    return size if all(r % size == 0 for r in rows) else 0


def _fits(program: Program, name: str, bits: dict[str, Bits]) -> bool:
    edge, maker = program.edges[name], program.producer(name)
    channels_last = edge.layout == Layout.channels_last(edge.shape)
    if maker.kind == "dense" and bits[name].group % WORD and bits[name].group != edge.shape[-1]:
        return False  # its rows fill words without a gap
    if not _made(maker, edge, bits):
        return False
    for k in program.consumers(name):
        if k.kind == "conv2d":
            if not (takes(k, bits[name]) and k.params["groups"] == 1 and channels_last):
                return False
        elif k.kind == "dense":
            if not takes(k, bits[name]) or not _rows_together(edge):
                return False
        elif k.kind == "reshape":
            if k.outputs[0] not in bits:
                return False
        elif k.kind != "maxpool2d" or not edge.bipolar or k.outputs[0] not in bits:
            return False
    return any(k.kind in ("conv2d", "dense", "maxpool2d", "reshape") for k in program.consumers(name))


def _made(maker: Kernel, edge: Edge, bits: dict[str, Bits]) -> bool:
    """Whether the kernel that computes an edge can give bits, itself or by way of bytes."""
    if maker.kind == "reshape":
        return maker.inputs[0] in bits
    if maker.kind == "maxpool2d":
        return maker.inputs[0] in bits or not edge.bipolar
    if maker.kind not in ("conv2d", "dense", "requantize"):
        return False
    record = maker.params["requantize"]
    wanted = (-1, 2) if edge.bipolar else (edge.lo, 1)
    return record["form"] == "threshold" and (record["lo"], record["step"]) == wanted


def _rows_together(edge: Edge) -> bool:
    """Whether the elements of each vector, on the last axis, lie in one stretch, all in the same order."""
    order = edge.layout.order().reshape(-1, edge.shape[-1])
    steps = np.arange(len(order))[:, None] * edge.shape[-1]
    return bool((order - order[:1] == steps).all() and order[0].max() < edge.shape[-1])


@dataclass(frozen=True)
class Adder:
    """One step of a carry-save count: sum and carry of a, b and c ("" in a half adder)."""

    sum: str
    carry: str
    a: str
    b: str
    c: str
    loads: tuple[int, ...]  # words x<i> that are read first


def counter(words: int) -> tuple[list[Adder], list[str], tuple[int, ...]]:
    """Full adders on words: (steps, planes, words that no step reads). Bit i of the count of ones in column i of the words
    x0, x1, .. is bit i of plane 2^i; a carry is consumed as soon as a pair of them is there, so that few words are alive.
    """
    steps: list[Adder] = []
    planes: list[str] = []
    pending: list[list[str]] = []
    waiting: list[int] = []

    def loads(*names: str) -> tuple[int, ...]:
        taken = tuple(i for i in waiting if f"x{i}" in names)
        waiting[:] = [i for i in waiting if i not in taken]
        return taken

    def push(level: int, name: str) -> None:
        if level == len(planes):
            planes.append(name)
            pending.append([])
            return
        pending[level].append(name)
        if len(pending[level]) == 2:
            b, c = pending[level]
            n = len(steps)
            steps.append(Adder(f"s{n}", f"c{n}", planes[level], b, c, loads(planes[level], b, c)))
            planes[level], pending[level] = f"s{n}", []
            push(level + 1, f"c{n}")

    for i in range(words):
        waiting.append(i)
        push(0, f"x{i}")
    level = 0
    while level < len(planes):
        if pending[level]:
            b, n = pending[level].pop(), len(steps)
            steps.append(Adder(f"s{n}", f"c{n}", planes[level], b, "", loads(planes[level], b)))
            planes[level] = f"s{n}"
            push(level + 1, f"c{n}")
        level += 1
    return steps, planes, tuple(waiting)
