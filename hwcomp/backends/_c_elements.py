"""Kinds that take single elements: tables, and products of two tensors."""

from __future__ import annotations

import numpy as np

from hwcomp.backends._c_common import check_order, ends, heading, refuse
from hwcomp.backends._c_dot import Printed, acc_type, requantizer
from hwcomp.backends._c_text import c_type, literal
from hwcomp.plan.memory import MemoryPlan, Work
from sw_ref.program import Kernel, Layout, Program

# Tables -----------------------------------------------------------------------------------------------------------


def lut_work(program: Program, kernel: Kernel) -> Work:
    return Work(in_place=(0,))


def lut_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    table, first = kernel.constants["table"], kernel.params["first"]
    k = {
        "id": index, "x": c_type(x.dtype), "y": c_type(y.dtype), "size": x.size, "zero": -first,
        "comment": heading(program, index, f"A table with an entry per value, the first for {first}."),
    }  # fmt: skip
    return Printed("lut", k, [(c_type(y.dtype), f"t{index}", table.astype(y.dtype), "the function's values")])


# Products ---------------------------------------------------------------------------------------------------------


def _stretches(program: Program, kernel: Kernel) -> tuple[int, int, int] | None:
    """(times, factors, elements): the factors in a row, each for so many elements, and that so many times; None: irregular."""
    a, b = (program.edges[n] for n in kernel.inputs)
    if a.shape == b.shape:
        return (1, a.size, 1) if a.layout == b.layout else None
    inner = 1 if a.layout == Layout.channels_last(a.shape) else a.size // b.size
    channel = a.layout.order() // (a.size // b.size)
    wanted = np.tile(np.repeat(np.arange(b.size), inner), a.size // b.size // inner)
    same = b.layout == Layout.row_major(b.shape) and (channel == wanted).all()
    return (a.size // b.size // inner, b.size, inner) if same else None


def mul_check(program: Program, kernel: Kernel) -> None:
    if program.edges[kernel.inputs[0]].layout != program.edges[kernel.outputs[0]].layout:
        raise refuse(kernel, "its tensors lie in different orders")
    if _stretches(program, kernel) is None:
        raise refuse(kernel, "the factors of its channels don't lie in the order of the channels")


def mul_work(program: Program, kernel: Kernel) -> Work:
    return Work(in_place=(0, 1))


def mul_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    a, b = (program.edges[n] for n in kernel.inputs)
    y, p = program.edges[kernel.outputs[0]], kernel.params
    acc = acc_type(kernel)
    least = [min(0, e.lo, e.lo - z, -z) for e, z in zip((a, b), p["zeros"], strict=True)]
    most = [max(0, e.hi, e.hi - z, -z) for e, z in zip((a, b), p["zeros"], strict=True)]
    if min(least) < -(1 << 31) or max(most) >= 1 << 31:
        acc = "int64_t"
    rq, _ = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])
    times, factors, elements = _stretches(program, kernel)
    product = f"product of (a - {p['zeros'][0]}) * (b - {p['zeros'][1]}): {p['acc_lo']}..{p['acc_hi']} ({p['acc_bits']} bits)."
    k = {
        "id": index, "rq": rq, "a": c_type(a.dtype), "b": c_type(b.dtype), "y": c_type(y.dtype), "acc": acc,
        "zeros": [literal(z, acc) for z in p["zeros"]], "times": times, "factors": factors, "elements": elements,
        "casts": [f"({acc})" if e.dtype == np.uint32 and acc == "int32_t" else "" for e in (a, b)],
        "product": acc[:-2], "comment": heading(program, index, product),
    }  # fmt: skip
    return Printed("mul", k, prims={("mul", acc[:-2]): {"name": acc[:-2], "acc": acc}})


# kind -> (check, work, printed)
KINDS = {"lut": (check_order, lut_work, lut_printed), "mul": (mul_check, mul_work, mul_printed)}
