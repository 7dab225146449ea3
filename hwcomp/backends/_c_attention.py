"""Products of two computed matrices, and LayerNormalization, in C."""

from __future__ import annotations

import numpy as np

from hwcomp.backends._c_common import ends, heading, no_work, refuse, work_in_place
from hwcomp.backends._c_dot import Printed, acc_type, add_record, requantizer
from hwcomp.backends._c_text import c_type, literal
from hwcomp.plan.memory import MemoryPlan
from hwcomp.plan.work import macs
from sw_ref.program import Kernel, Layout, Program


def _transposed(program: Program, kernel: Kernel) -> bool | None:
    """Whether the columns of b lie together; None: neither they nor its rows do."""
    b = program.edges[kernel.inputs[1]]
    rank = len(b.shape)
    if b.layout == Layout.row_major(b.shape):
        return False
    return True if b.layout == Layout(b.shape, (*range(rank - 2), rank - 1, rank - 2)) else None


def matmul_check(program: Program, kernel: Kernel) -> None:
    a, y = ends(program, kernel)
    if any(e.layout != Layout.row_major(e.shape) for e in (a, y)) or _transposed(program, kernel) is None:
        raise refuse(kernel, "the rows of its matrices don't lie together")


def matmul_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    a, b = (program.edges[n] for n in kernel.inputs)
    y, p = program.edges[kernel.outputs[0]], kernel.params
    acc = acc_type(kernel)
    if any(e.bits - e.signed > 30 for e in (a, b)):
        acc = "int64_t"
    rq, _ = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])
    (m, inner), n = a.shape[-2:], b.shape[-1]
    turned = _transposed(program, kernel)
    name = f"{a.dtype.name}_{b.dtype.name}_{acc[:-2]}"
    sums = f"{macs(program, kernel)} MACs; accumulator {p['acc_lo']}..{p['acc_hi']} ({p['acc_bits']} bits)."
    k = {
        "id": index, "rq": rq, "a": c_type(a.dtype), "b": c_type(b.dtype), "y": c_type(y.dtype), "m": m, "k": inner, "n": n,
        "count": a.size // (m * inner), "step": 1 if turned else n, "column": inner if turned else 1, "products": name,
        "zeros": [literal(z, acc) for z in p["zeros"]], "comment": heading(program, index, sums),
    }  # fmt: skip
    prim = {"name": name, "a": k["a"], "b": k["b"], "acc": acc}
    return Printed("matmul", k, prims={("products", name): prim})


def layernorm_check(program: Program, kernel: Kernel) -> None:
    if any(e.layout != Layout.row_major(e.shape) for e in ends(program, kernel)):
        raise refuse(kernel, "its rows don't lie together")


def layernorm_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    (x, y), p = ends(program, kernel), kernel.params
    most = 1 << p["bits"]
    rq, arrays = requantizer(kernel, "int32_t", -most, most)
    formula = (
        f"(x - mean) / deviation of {p['size']} elements each, in steps of 2^-{p['bits']}, times sqrt({p['size']})."
    )
    k = {
        "id": index, "rq": rq, "x": c_type(x.dtype), "y": c_type(y.dtype), "n": p["size"], "rows": x.size // p["size"],
        "name": x.dtype.name, "fraction": p["fraction"], "epsilon": p["epsilon"],
        "whole": 61 - p["bits"] - p["fraction"] // 2, "comment": heading(program, index, formula),
    }  # fmt: skip
    out = Printed(
        "layernorm", k, prims={("normal", x.dtype.name): {"name": x.dtype.name, "x": k["x"]}, ("root", ""): {}}
    )
    add_record(out, index, {n: np.asarray(v) for n, v in arrays.items()})
    return out


# kind -> (check, work, printed)
KINDS = {
    "layernorm": (layernorm_check, work_in_place, layernorm_printed),
    "matmul": (matmul_check, no_work, matmul_printed),
}
