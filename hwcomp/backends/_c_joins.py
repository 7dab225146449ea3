"""Kinds of residual and compact networks: sums, averages, and what only moves elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwcomp.backends._c_common import check_map, ends, heading, map_values, no_work, refuse, window_text
from hwcomp.backends._c_dot import Printed, acc_type, requantizer, saturation
from hwcomp.backends._c_text import c_type, literal, multiple
from hwcomp.plan.memory import MemoryPlan, Work
from sw_ref import numerics as nm
from sw_ref.program import Edge, Kernel, Program

_ALL_PAIRS = 1 << 16  # pairs of inputs that are all tried when multipliers are shortened: two bytes
_MOST32, _MOST64 = (1 << 31) - 1, (1 << 63) - 1
_LANE_TAPS = 256  # sums of so many bytes fit 16 bits, signed or not


# Sums -------------------------------------------------------------------------------------------------------------


def add_check(program: Program, kernel: Kernel) -> None:
    edges = [program.edges[n] for n in (*kernel.inputs, *kernel.outputs)]
    if any(e.layout != edges[0].layout for e in edges):
        raise refuse(kernel, "its tensors lie in different orders")


def add_work(program: Program, kernel: Kernel) -> Work:
    return Work(in_place=(0, 1))


def add_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    a, b = (program.edges[n] for n in kernel.inputs)
    y, rq = program.edges[kernel.outputs[0]], kernel.params["requantize"]
    form, shift, zero = rq["form"], rq["shift"], rq.get("zero", 0) if rq["form"] == "rne" else 0
    ma, mb = (int(m) for m in kernel.constants["multiplier"])
    c = int(kernel.constants["offset"][0])
    inner = f"a * {ma} + b * {mb} + {c}"
    limits = f"{rq['lo']}, {rq['hi']}"
    formula = (
        f"clamp(({inner}) >> {shift}, {limits})" if form == "affine"
        else f"clamp(round_half_even(({inner}) / 2^{shift}) + {zero}, {limits})"
    )  # fmt: skip
    note = ""
    if form == "rne" or _most(a, b, ma, mb, c) > _MOST32:
        short = shorter_sum(a, b, ma, mb, c, rq)
        if short is not None:
            form, (ma, mb, c, shift), zero = "affine", short, 0
            note = "computed with shorter multipliers: equal for all inputs, tried when this was compiled"
    low = sum(min(m * e.lo, m * e.hi) for m, e in ((ma, a), (mb, b))) + c
    high = sum(max(m * e.lo, m * e.hi) for m, e in ((ma, a), (mb, b))) + c
    reach = [(low >> shift) + zero, (high >> shift) + 1 + zero]
    most = _most(a, b, ma, mb, c) + ((1 << shift) if form == "rne" else 0)
    wide = max(most, *map(abs, reach)) > _MOST32 or shift > 31
    ctype = "int64_t" if wide else "int32_t"
    arguments = [_cast(a, ctype) + "a", literal(ma, ctype), _cast(b, ctype) + "b", literal(mb, ctype)]
    arguments += [literal(c, ctype), str(shift)]
    if form == "rne":
        high = zero << shift
        inside = most + abs(high) <= (_MOST64 if wide else _MOST32)
        arguments += [literal(high if inside else 0, ctype), literal(0 if inside else zero, ctype)]
    name = f"{form}{64 if wide else 32}"
    k = {
        "id": index, "a": c_type(a.dtype), "b": c_type(b.dtype), "y": c_type(y.dtype), "size": y.size, "sum": name,
        "call": ", ".join(arguments), "wide": wide, "lo": rq["lo"], "hi": rq["hi"],
        "narrow": not wide or max(map(abs, reach)) <= _MOST32, "formula": formula, "note": note,
        "saturate": saturation(rq["lo"], rq["hi"]), "comment": heading(program, index),
    }  # fmt: skip
    return Printed("add", k, prims={("add", name): {"name": name, "form": form, "type": ctype}})


def _cast(e: Edge, ctype: str) -> str:
    return f"({ctype})" if e.dtype.itemsize > 2 else ""


def _most(a: Edge, b: Edge, ma: int, mb: int, c: int) -> int:
    """No partial sum of a*ma + b*mb + c is larger."""
    return max(abs(a.lo), abs(a.hi)) * abs(ma) + max(abs(b.lo), abs(b.hi)) * abs(mb) + abs(c)


def shorter_sum(a: Edge, b: Edge, ma: int, mb: int, c: int, rq: dict[str, Any]) -> tuple[int, int, int, int] | None:
    """(ma, mb, c, shift) such that clamp((a*ma + b*mb + c) >> shift, lo, hi) takes 32 bits and is equal for all inputs.

    All pairs are tried. For given multipliers the offsets that are right for a pair are an interval: any offset in the
    intersection will do.
    """
    if (a.hi - a.lo + 1) * (b.hi - b.lo + 1) > _ALL_PAIRS:
        return None
    left, right = np.arange(a.lo, a.hi + 1)[:, None], np.arange(b.lo, b.hi + 1)[None, :]
    lo, hi, shift = rq["lo"], rq["hi"], rq["shift"]
    if rq["form"] == "rne":
        y = nm.add_rne(left, right, ma, mb, c, shift, rq["zero"], lo, hi)
    else:
        y = nm.add_affine(left, right, ma, mb, c, shift, lo, hi)
    drop = max(0, (_most(a, b, ma, mb, c).bit_length() - 31))
    for less in (drop, drop + 1):
        if less > shift:
            break
        s = shift - less
        first, second = (int(nm.rshift_rne(m, less)) for m in (ma, mb))
        for m in (first, first - 1, first + 1):
            for n in (second, second - 1, second + 1):
                total = left * m + right * n
                least = np.where(y > lo, (y << s) - total, -_MOST32).max()
                most = np.where(y < hi, ((y + 1) << s) - 1 - total, _MOST32).min()
                middle = int(least + most) >> 1
                if least <= most and _most(a, b, m, n, middle) <= _MOST32:
                    return m, n, middle, s
    return None


# Averages ---------------------------------------------------------------------------------------------------------


def average_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    (x, y), p = ends(program, kernel), kernel.params
    k = map_values(kernel, x, y)
    taps, bias = k["kh"] * k["kw"], int(kernel.constants["bias"][0])
    # The padded elements of a window are added at once.
    acc = "int64_t" if taps * abs(k["pad"]) + abs(bias) > _MOST32 else acc_type(kernel)
    rq, arrays = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])
    dsp = x.dtype.itemsize == 1 and acc == "int32_t"
    if k["dh"] == k["dw"] == 1 and k["kw"] == k["width"] and not k["border"]:
        k |= {"ny": 1, "nx": taps}  # whole rows lie together
    else:
        k |= {"ny": k["kh"], "nx": k["kw"]}
    whole = taps <= _LANE_TAPS
    name = f"{x.dtype.name}_{acc[:-2]}" + ("" if whole or not dsp else "_parts")
    classes = kernel.constants["count_class"].astype(np.int64)
    inner = np.unique(classes[k["oy0"] : k["oy1"], k["ox0"] : k["ox1"]])
    sums = f"{taps} elements each; accumulator {p['acc_lo']}..{p['acc_hi']} ({p['acc_bits']} bits)."
    k |= {
        "id": index, "rq": rq, "acc": acc, "sum": name, "taps": taps, "bias": literal(bias, acc),
        "inner": str(inner[0]) if len(inner) == 1 else f"t{index}", "table": False,
        "comment": heading(program, index, window_text(kernel) + ".", sums),
    }  # fmt: skip
    prim = {"name": name, "x": k["x"], "acc": acc, "dsp": dsp, "whole": whole, "taps": _LANE_TAPS}
    out = Printed("avgpool2d", k, prims={("sum", name): prim})
    out.arrays += [(c_type(v.dtype), f"{n}{index}", v, "multipliers, by class of output") for n, v in arrays.items()]
    if arrays and (k["border"] or len(inner) > 1):
        k["table"] = True
        small = classes.astype(np.uint8 if classes.max() < 256 else np.uint16)
        out.arrays.append((c_type(small.dtype), f"t{index}", small, "class of each output"))
    return out


# What only moves --------------------------------------------------------------------------------------------------


def _positions(edge: Edge) -> np.ndarray:
    """Where each element lies in memory, in the logical shape."""
    found = np.empty(edge.size, np.int64)
    found[edge.layout.order()] = np.arange(edge.size)
    return found.reshape(edge.shape)


def _loops(at: np.ndarray) -> tuple[int, list[tuple[int, int]]] | None:
    """`at` as start + sum of index*stride over nested loops -> (start, [(count, stride)], outermost first), or None."""
    start, loops = int(at[0]), []
    while len(at) > 1:
        step = int(at[1] - at[0])
        changes = np.flatnonzero(np.diff(at) != step)
        count = int(changes[0]) + 1 if len(changes) else len(at)
        blocks = at.reshape(-1, count) if len(at) % count == 0 else None
        if step < 0 or blocks is None or (blocks != blocks[:, :1] + np.arange(count) * step).any():
            return None
        loops.insert(0, (count, step))
        at = blocks[:, 0]
    return start, loops


def _move(at: np.ndarray) -> dict[str, Any] | None:
    """For the template: elements that lie together on one side, and at `at` on the other."""
    found = _loops(at)
    if found is None:
        return None
    start, loops = found
    run = loops.pop()[0] if loops and loops[-1][1] == 1 else 1
    terms = [multiple("ijklmnop"[n], stride) for n, (_, stride) in enumerate(loops) if stride]
    return {
        "loops": [("ijklmnop"[n], count) for n, (count, _) in enumerate(loops)], "run": run,
        "at": " + ".join([*([str(start)] if start else []), *terms]),
    }  # fmt: skip


def _one_type(program: Program, kernel: Kernel) -> None:
    edges = [program.edges[n] for n in (*kernel.inputs, *kernel.outputs)]
    if any(e.dtype != edges[0].dtype for e in edges):
        raise refuse(kernel, "its tensors are stored in different types")


def _move_values(program: Program, index: int, moves: list, into: bool, *lines: str) -> dict[str, Any]:
    kernel = program.kernels[index]
    x, _ = ends(program, kernel)
    depth = max(len(m["loops"]) for m in moves)
    return {
        "id": index, "kind": kernel.kind, "x": c_type(x.dtype), "x_bytes": x.dtype.itemsize, "moves": moves,
        "variables": "ijklmnop"[:depth], "into": into, "comment": heading(program, index, *lines),
    }  # fmt: skip


def _concat_moves(program: Program, kernel: Kernel) -> list[dict[str, Any] | None]:
    y, axis = program.edges[kernel.outputs[0]], kernel.params["axis"]
    parts = [program.edges[n] for n in kernel.inputs]
    pieces = np.split(_positions(y), np.cumsum([e.shape[axis] for e in parts])[:-1], axis)
    return [_move(at.ravel()[e.layout.order()]) for e, at in zip(parts, pieces, strict=True)]


def concat_check(program: Program, kernel: Kernel) -> None:
    _one_type(program, kernel)
    if None in _concat_moves(program, kernel):
        raise refuse(kernel, "the elements of its inputs don't lie in regular steps in its output")


def concat_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    moves = _concat_moves(program, kernel)
    return Printed("move", _move_values(program, index, moves, True, f"axis {kernel.params['axis']}."))


def slice_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    p = kernel.params
    taken = np.take(_positions(ends(program, kernel)[0]), np.arange(p["start"], p["stop"]), p["axis"])
    return _gathered(program, index, taken, f"axis {p['axis']}, from {p['start']} up to {p['stop'] - 1}.")


def repeat_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    p = kernel.params
    taken = np.repeat(_positions(ends(program, kernel)[0]), p["times"], p["axis"])
    return _gathered(program, index, taken, f"axis {p['axis']}, {p['times']} times each.")


def shuffle_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    taken = _positions(ends(program, kernel)[0])[kernel.constants["order"].astype(np.int64)]
    return _gathered(program, index, taken)


def reorder_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    return _gathered(program, index, _positions(ends(program, program.kernels[index])[0]), "Another order in memory.")


def transpose_check(program: Program, kernel: Kernel) -> None:
    x, y = ends(program, kernel)
    order = _positions(x).transpose(kernel.params["perm"]).ravel()[y.layout.order()]
    if (order != np.arange(x.size)).any() or x.dtype != y.dtype:
        raise refuse(kernel, "its output is not the same memory as its input")


def _pad_move(program: Program, kernel: Kernel) -> dict[str, Any] | None:
    (x, y), (top, left, _, _) = ends(program, kernel), kernel.params["pads"]
    inner = _positions(y)[:, top : top + x.shape[1], left : left + x.shape[2]]
    return _move(inner.ravel()[x.layout.order()])


def pad_check(program: Program, kernel: Kernel) -> None:
    _one_type(program, kernel)
    check_map(program, kernel)


def pad_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    p, y = kernel.params, program.edges[kernel.outputs[0]]
    k = _move_values(program, index, [_pad_move(program, kernel)], True, f"pads {p['pads']} of {p['pad_value']}.")
    return Printed("move", k | {"fill": p["pad_value"], "size": y.size})


def _gathered(program: Program, index: int, taken: np.ndarray, *lines: str) -> Printed:
    """The output's elements are those at `taken` (in its logical order) in the input: by loops, else by a table."""
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    at = taken.ravel()[y.layout.order()]
    move = _move(at)
    if move is not None:
        return Printed("move", _move_values(program, index, [move], False, *lines))
    period = next(d for d in range(1, at.size + 1) if at.size % d == 0 and _shifts(at, d))
    run = math.gcd(period, *(np.flatnonzero(np.diff(at) != 1) + 1).tolist())
    table = at[:period:run]
    dtype = next(t for t in (np.uint8, np.uint16, np.uint32) if table.max() <= np.iinfo(t).max)
    k = {
        "id": index, "kind": kernel.kind, "x": c_type(x.dtype), "x_bytes": x.dtype.itemsize, "count": len(table),
        "run": run, "period": period, "outer": at.size // period, "comment": heading(program, index, *lines),
    }  # fmt: skip
    return Printed("gather", k, [(c_type(dtype), f"t{index}", table.astype(dtype), "where the elements lie")])


def _shifts(at: np.ndarray, period: int) -> bool:
    """Whether each stretch of `period` positions is the first one, moved on by the stretch."""
    blocks = at.reshape(-1, period)
    return bool((blocks == blocks[:1] + np.arange(len(blocks))[:, None] * period).all())


# kind -> (check, work, printed); a transpose is an alias
KINDS = {
    "add": (add_check, add_work, add_printed),
    "avgpool2d": (check_map, no_work, average_printed),
    "concat": (concat_check, no_work, concat_printed),
    "pad": (pad_check, no_work, pad_printed),
    "reorder": (_one_type, no_work, reorder_printed),
    "repeat": (_one_type, no_work, repeat_printed),
    "shuffle": (_one_type, no_work, shuffle_printed),
    "slice": (_one_type, no_work, slice_printed),
}
