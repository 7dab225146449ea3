"""Which form the C back end stores a dot product's weights in: candidates with their bytes and expected instructions, and what
`--c-weights` prefers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwcomp.backends import _c_book, _c_codes, _c_fields, _c_sparse, _c_steps, _c_vectors
from hwcomp.backends import _c_dot as dot
from hwcomp.plan.memory import WeightLayout
from sw_ref.program import Edge, Kernel

_SLOWER = 2.0  # instructions of indices into a codebook against those of bytes, at most


@dataclass(frozen=True)
class Candidate:
    """Of a layout: bytes of its arrays, instructions that a Cortex-M4 is expected to take for all windows."""

    layout: WeightLayout
    bytes: int
    instructions: float


def layout_of(
    kernel: Kernel, x: Edge, weight: np.ndarray, groups: int, count: int, form: str, codes: _c_vectors.Vectors | None
) -> WeightLayout:
    """Of `weight` [rows, k] as it lies in memory, against `count` windows; `codes`: of its vectors, if it has such.

    `fast`: bytes, index lists or steps, what is expected to be fastest. `packed`: fields of few bits where the weights allow it, else
    that of the same, of indices into a codebook and of `codes` which has the least product of bytes and instructions; none larger than
    bytes, none slower but indices, these twice as slow at most. `small`: what takes the fewest bytes of all these and prefix codes.
    """
    rows, k = weight.shape
    plain = WeightLayout(rows, k, -(-k // 4) * 4, 2, x.dtype.itemsize == 1, dot.weight_type(weight))
    fields = None if form == "fast" else _c_fields.choose(kernel, x, rows, k)
    if fields and form == "packed":
        return fields
    acc, windows = dot.acc_type(kernel), dot.side_by_side(count)
    once = kernel.kind == "dense" and count == 1 and acc == "int32_t"
    blocks = count / windows
    whole = _c_sparse.dense(rows, plain.k_stored, windows)
    bytes_ = Candidate(plain, dot.stored(weight, groups, plain).nbytes, blocks * whole.instructions)
    faster = []
    if groups == 1 and dot.dsp(x, plain, acc):
        for layout in _c_sparse.layouts(weight, plain, windows):
            of = _c_sparse.of(weight, layout, windows)
            faster.append(Candidate(layout, of.bytes, blocks * of.instructions))
    if once and plain.ctype in _c_steps.ELEMENT and weight.any():
        steps = replace(plain, steps=True)
        faster.append(Candidate(steps, _c_steps.size(weight), _c_steps.instructions(weight)))
    if form == "fast":
        return min([bytes_, *faster], key=lambda c: c.instructions).layout
    cut = _c_codes.sliced(plain, rows // groups, count == 1)
    indices, columns = [], blocks * _c_sparse.columns(plain.k_stored, windows)
    if (layout := _c_book.choose(weight, plain, cut, once)) is not None:
        expected = _c_book.instructions(layout, rows, bytes_.instructions, columns)
        indices.append(Candidate(layout, _c_book.size(weight, groups, layout), expected))
    if (layout := _c_vectors.layout(codes, plain, groups, count == 1)) is not None:
        expected = _c_vectors.instructions(codes, layout, bytes_.instructions, columns)
        indices.append(Candidate(layout, codes.bytes, expected))
    if form == "packed":
        return balanced(bytes_, faster, indices)
    few = [Candidate(fields, dot.stored(weight, groups, fields).nbytes, 0)] if fields else []
    least = min([bytes_, *faster, *indices, *few], key=lambda c: c.bytes)
    return _c_codes.choose(least.layout, least.bytes, weight, groups, cut, once, dot.stored, plain)


def balanced(bytes_: Candidate, faster: list[Candidate], indices: list[Candidate]) -> WeightLayout:
    """That with the least product of bytes and instructions, none larger than `bytes_`."""
    fit = [c for c in faster if c.instructions <= bytes_.instructions]
    fit += [c for c in indices if c.instructions <= _SLOWER * bytes_.instructions]
    fit = [bytes_, *(c for c in fit if c.bytes <= bytes_.bytes)]
    return min(fit, key=lambda c: c.bytes * c.instructions).layout
