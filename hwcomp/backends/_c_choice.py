"""Which form the C back end stores a dot product's weights in: candidates with their bytes and expected instructions, and what
`--c-weights` prefers.
"""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _c_book, _c_codes, _c_fields, _c_steps, _c_vectors
from hwcomp.backends import _c_dot as dot
from hwcomp.plan import index_lists, weight_forms
from hwcomp.plan.memory import WeightLayout
from hwcomp.plan.weight_forms import Candidate
from sw_ref.program import Edge, Kernel

_SLOWER = 2.0  # instructions of indices into a codebook against those of bytes, at most


def layout_of(
    kernel: Kernel, x: Edge, weight: np.ndarray, groups: int, count: int, form: str, codes: _c_vectors.Vectors | None
) -> WeightLayout:
    """Of `weight` [rows, k] as it lies in memory, against `count` windows; `codes`: of its vectors, if it has such.

    `fast`: bytes, index lists or steps, what is expected to be fastest. `packed`: fields of few bits where the weights allow it, else
    that of the same, of indices into a codebook and of `codes` which has the least product of bytes and instructions; none larger than
    bytes, none slower but indices, these twice as slow at most. `small`: what takes the fewest bytes of all these and prefix codes.
    """
    rows, k = weight.shape
    plain = weight_forms.plain(rows, k, x.dtype.itemsize == 1, dot.weight_type(weight))
    fields = None if form == "fast" else _c_fields.choose(kernel, x, rows, k)
    if fields and form == "packed":
        return fields
    acc = dot.acc_type(kernel)
    once = kernel.kind == "dense" and count == 1 and acc == "int32_t"
    lists = groups == 1 and dot.dsp(x, plain, acc)
    steps = once and plain.ctype in _c_steps.ELEMENT
    bytes_, *others = weight_forms.candidates(weight, plain, count, lists, steps)
    if form == "fast":
        return min([bytes_, *others], key=lambda c: c.instructions).layout
    cut = _c_codes.sliced(plain, rows // groups, count == 1)
    indices, windows = [], weight_forms.side_by_side(count)
    columns = count / windows * index_lists.columns(plain.k_stored, windows)
    if (layout := _c_book.choose(weight, plain, cut, once)) is not None:
        expected = _c_book.instructions(layout, rows, bytes_.instructions, columns)
        indices.append(Candidate(layout, _c_book.size(weight, groups, layout), expected))
    if (layout := _c_vectors.layout(codes, plain, groups, count == 1)) is not None:
        expected = _c_vectors.instructions(codes, layout, bytes_.instructions, columns)
        indices.append(Candidate(layout, codes.bytes, expected))
    if form == "packed":
        return balanced(bytes_, others, indices)
    few = [Candidate(fields, dot.stored(weight, groups, fields).nbytes, 0)] if fields else []
    least = min([bytes_, *others, *indices, *few], key=lambda c: c.bytes)
    return _c_codes.choose(least.layout, least.bytes, weight, groups, cut, once, dot.stored, plain)


def balanced(bytes_: Candidate, others: list[Candidate], indices: list[Candidate]) -> WeightLayout:
    """That with the least product of bytes and instructions, none larger than `bytes_`."""
    fit = weight_forms.faster(bytes_, others) + [c for c in indices if c.instructions <= _SLOWER * bytes_.instructions]
    return weight_forms.chosen(bytes_, fit).layout
