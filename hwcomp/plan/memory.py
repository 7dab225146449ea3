"""Where every tensor of a Program lives in a microcontroller's memory: one arena, offsets from liveness.

Knows no kernel kind: a backend says what each kernel needs (`Work`), which kinds only rename their input, and gets the
offsets back. Time runs from -1 (inputs are loaded) over the kernel indices to `len(kernels)` (outputs are stored).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sw_ref.program import Layout, Program


@dataclass(frozen=True)
class WeightLayout:
    """How the constants of a dot product are stored: blocks of `block` rows, each [k_stored][block].

    `quads`: within 4 neighbours, k runs 0, 2, 1, 3, so that sign extension of byte pairs gives matching halves.
    `k_stored` is `k` rounded up; the extra columns are zero. `ctype` is the C type of one weight; where `bits` is not 0, it is
    the type of a word with fields of so many bits, and a weight is `first` + `step` * field. `unit`: not 0 where only what is
    not all zero is stored, so many pair words of values at a time, of `words` for every four k. Where `slices` is not 0 the
    weights are codes, and `rows` of them are decoded so many times per group: prefix codes, or of vectors of `vector` weights; with
    `scatter` prefix codes are multiplied as they are read, input by input. `tables`: bytes of scratch that decoding needs. With
    `steps` each row is a list of weights that are not 0, with the distances between them; with `book` weights are indices of so
    many bits into their values.
    `winograd`: transformed, 16 for nine.
    """

    rows: int
    k: int
    k_stored: int
    block: int
    quads: bool
    ctype: str
    bits: int = 0
    first: int = 0
    step: int = 1
    unit: int = 0
    words: int = 2
    slices: int = 0
    scatter: bool = False
    tables: int = 0
    steps: bool = False
    book: int = 0
    vector: int = 0
    winograd: bool = False


@dataclass(frozen=True)
class Work:
    """What one kernel asks for: sizes of its scratch, the preferred one first, and how its weights are laid out.

    `in_place`: inputs (by number, the preferred one first) whose memory the output may take over if they die here.
    """

    scratch: tuple[int, ...] = (0,)
    weights: WeightLayout | None = None
    in_place: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """`where` is "arena" (at `offset`), "input" or "output" (the caller's array number `port`)."""

    where: str
    bytes: int
    offset: int = 0
    port: int = 0


@dataclass(frozen=True)
class Step:
    """One kernel: `choice` says which of the offered scratch sizes it got; None where nothing runs (an alias)."""

    kernel: int
    choice: int | None
    scratch: int = 0
    scratch_offset: int = 0
    weights: WeightLayout | None = None


@dataclass(frozen=True)
class MemoryPlan:
    """`loads` / `stores`: ports whose tensor has another order than the caller's array, and is copied.

    `peak_tensors`: the most bytes of tensors in the arena that are alive at once; `peak_live` counts scratch too.
    `owner`: tensor -> the first tensor in the same memory (itself, what it renames, or the input that it took over).
    """

    steps: tuple[Step, ...]
    places: dict[str, Place]
    loads: tuple[int, ...]
    stores: tuple[int, ...]
    arena_bytes: int
    align: int
    peak_live: int
    peak_tensors: int
    owner: dict[str, str]


@dataclass(frozen=True)
class Block:
    """A stretch of memory that is alive from `first` to `last`, both included."""

    bytes: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Buffer:
    """What holds `bytes` of the arena at `offset` while steps `first` to `last` run: a tensor, or a kernel's scratch.

    `kernel` computes the tensor (None: it is an input) or owns the scratch; `name` is the tensor's, empty for scratch.
    """

    name: str
    kernel: str | None
    bytes: int
    offset: int
    first: int
    last: int


def peak(blocks: Sequence[Block]) -> int:
    """The most bytes alive at one time: no arena can be smaller."""
    times = {b.first for b in blocks}
    return max((sum(b.bytes for b in blocks if b.first <= t <= b.last) for t in times), default=0)


def assign(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Offsets so that blocks alive together never overlap -> (offsets, total). Deterministic.

    Best fit in a few fixed orders, then orders in which a block that ended highest is moved to the front.
    """
    floor = peak(blocks)
    order = list(range(len(blocks)))
    keys = (
        lambda i: (-blocks[i].bytes, blocks[i].first),
        lambda i: (-(blocks[i].last - blocks[i].first + 1) * blocks[i].bytes, blocks[i].first),
        lambda i: (blocks[i].first, -blocks[i].bytes),
        lambda i: (-blocks[i].last, -blocks[i].bytes),
    )
    best = min((_best_fit(blocks, sorted(order, key=k)) for k in keys), key=lambda r: r[1])
    trial = sorted(order, key=keys[0])
    for _ in range(4 * len(blocks)):
        if best[1] == floor:
            break
        offsets, total = _best_fit(blocks, trial)
        if total < best[1]:
            best = offsets, total
        top = max(trial, key=lambda i: (offsets[i] + blocks[i].bytes, -trial.index(i)))
        if top == trial[0]:
            break
        trial.remove(top)
        trial.insert(0, top)
    return best


def _best_fit(blocks: Sequence[Block], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for i in order:
        taken = sorted((offsets[j], offsets[j] + blocks[j].bytes) for j in placed if blocks[i].meets(blocks[j]))
        gaps, end = [], 0
        for start, stop in taken:
            if start - end >= blocks[i].bytes:
                gaps.append((start - end, end))
            end = max(end, stop)
        offsets[i] = min(gaps)[1] if gaps else end
        placed.append(i)
    return offsets, max((offsets[i] + blocks[i].bytes for i in order), default=0)


SLACK = 0.10
"""How much scratch may raise the arena above what is alive, where nobody says."""


def rooms(blocks: Sequence[Block], steps: Sequence[int], slack: float = SLACK) -> list[int]:
    """Bytes of scratch that `plan` may give at these steps, from the tensors in the arena."""
    limit = (1 + slack) * peak(blocks)
    return [int(limit) - sum(b.bytes for b in blocks if b.first <= i <= b.last) for i in steps]


def plan(
    program: Program, work: Sequence[Work], aliases: Collection[str], *, slack: float = SLACK,
    stored: dict[str, int] | None = None,
) -> MemoryPlan:  # fmt: skip
    """`work[i]` belongs to kernel i; kernels of a kind in `aliases` give their input another name.

    Each kernel gets its preferred scratch unless the arena would then exceed the live tensors by more than `slack`; the
    kernels that cost most step down first. The least scratch is always granted, and others may use what that takes anyway, unless
    `slack` is negative: then each gets its least. `stored`: bytes of the edges that are not stored as their elements.
    """
    stored = stored or {}
    sizes = {n: stored.get(n, e.size * e.dtype.itemsize) for n, e in program.edges.items()}
    align = max([4, *(e.dtype.itemsize for e in program.edges.values())])
    groups = _groups(program, work, aliases, sizes)
    places, loads, stores, spans = _spans(program, groups, sizes)
    names = list(spans)
    tensors = [Block(_round(spans[n][0], align), *spans[n][1:]) for n in names]
    peak_tensors = peak(tensors)

    choice = [0] * len(work)
    limit = (1 + slack) * peak_tensors
    if slack >= 0:
        least = [Block(_round(w.scratch[-1], align), i, i) for i, w in enumerate(work) if w.scratch[-1]]
        limit = max(limit, assign([*tensors, *least])[1])
    live = [sum(b.bytes for b in tensors if b.first <= i <= b.last) for i in range(len(work))]
    for i, w in enumerate(work):
        while live[i] + w.scratch[choice[i]] > limit and choice[i] + 1 < len(w.scratch):
            choice[i] += 1
    while True:
        scratch = {
            i: Block(_round(w.scratch[c], align), i, i) for i, (w, c) in enumerate(zip(work, choice, strict=True))
        }
        scratch = {i: b for i, b in scratch.items() if b.bytes}
        blocks = [*tensors, *scratch.values()]
        offsets, total = assign(blocks)
        larger = [i for i in scratch if choice[i] + 1 < len(work[i].scratch)]
        if total <= limit or not larger:
            break
        choice[max(larger, key=lambda i: (live[i] + scratch[i].bytes, -i))] += 1

    at = dict(zip(names, offsets, strict=False))
    scratch_at = dict(zip(scratch, offsets[len(names) :], strict=True))
    for name, place in places.items():
        if place.where == "arena":
            places[name] = Place("arena", place.bytes, at[groups[name]])
    steps = tuple(
        Step(
            i,
            None if k.kind in aliases else choice[i],
            work[i].scratch[choice[i]],
            scratch_at.get(i, 0),
            work[i].weights,
        )
        for i, k in enumerate(program.kernels)
    )
    return MemoryPlan(steps, places, loads, stores, total, align, peak(blocks), peak_tensors, groups)


def buffers(program: Program, plan: MemoryPlan) -> list[Buffer]:
    """Everything in the arena, in the order in which it comes to life."""
    found = []
    for name, (size, first, last) in _spans(program, plan.owner, {n: p.bytes for n, p in plan.places.items()})[
        3
    ].items():
        kernel = program.kernels[first].name if first >= 0 else None
        found.append(Buffer(name, kernel, size, plan.places[name].offset, first, last))
    for step in plan.steps:
        if step.scratch:
            kernel = program.kernels[step.kernel].name
            found.append(Buffer("", kernel, step.scratch, step.scratch_offset, step.kernel, step.kernel))
    return sorted(found, key=lambda b: (b.first, b.offset))


def is_row_major(program: Program, name: str) -> bool:
    """Whether an edge carries its elements in the order of its ONNX tensor."""
    edge = program.edges[name]
    return edge.layout == Layout.row_major(edge.shape)


def _round(n: int, align: int) -> int:
    return -(-n // align) * align


def _groups(program: Program, work: Sequence[Work], aliases: Collection[str], sizes: dict[str, int]) -> dict[str, str]:
    """Edge -> the first edge that has the same memory."""
    root = {n: n for n in program.inputs}
    last: dict[str, int] = {}
    for i, k in enumerate(program.kernels):
        last |= dict.fromkeys(k.inputs, i)
    last |= dict.fromkeys(program.outputs, len(program.kernels))
    for i, k in enumerate(program.kernels):
        for out in k.outputs:
            taken = [k.inputs[0]] if k.kind in aliases else _taken_over(program, root, last, aliases, i, work[i], sizes)
            root[out] = root[taken[0]] if taken else out
    return root


def _taken_over(program: Program, root, last, aliases, index: int, work: Work, sizes: dict[str, int]) -> list[str]:
    """Inputs of a kernel whose memory its output can take over: in the arena, of the same size, and not read again."""
    kernel = program.kernels[index]
    out = program.edges[kernel.outputs[0]]
    names = {out.name}
    for k in program.kernels[index:]:
        if k.kind in aliases and k.inputs[0] in names:
            names.update(k.outputs)
    if any(n in names and is_row_major(program, n) for n in program.outputs):
        return []  # it goes to the caller's array

    def free(name: str) -> bool:
        group = root[name]
        caller = group in program.inputs and is_row_major(program, group)
        return not caller and all(last.get(n, -1) <= index for n in root if root[n] == group)

    inputs = [kernel.inputs[j] for j in work.in_place]
    return [n for n in inputs if sizes[n] == sizes[out.name] and free(n)]


def _spans(program: Program, groups: dict[str, str], sizes: dict[str, int]):
    """Who owns each group, and how long the ones in the arena live: group -> (bytes, first, last)."""
    end = len(program.kernels)
    first = dict.fromkeys(program.inputs, -1)
    last: dict[str, int] = {}
    for i, k in enumerate(program.kernels):
        for out in k.outputs:
            first.setdefault(groups[out], i)
        for name in (*k.inputs, *k.outputs):
            last[groups[name]] = i
    owner: dict[str, Place] = {}
    loads, stores = [], []
    for port, name in enumerate(program.inputs):
        if is_row_major(program, name):
            owner[name] = Place("input", 0, port=port)
        else:
            loads.append(port)
    for port, name in enumerate(program.outputs):
        group = groups[name]
        if is_row_major(program, name) and group not in owner and group not in program.inputs:
            owner[group] = Place("output", 0, port=port)
        else:
            stores.append(port)
            last[group] = end
    places, spans = {}, {}
    for name, group in groups.items():
        size = sizes[name]
        own = owner.get(group)
        places[name] = Place("arena", size) if own is None else Place(own.where, size, port=own.port)
        if own is None:
            spans[group] = (size, first[group], last.get(group, first[group]))
    return places, tuple(loads), tuple(stores), spans
