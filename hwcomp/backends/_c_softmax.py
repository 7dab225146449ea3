"""Softmax in C: its tables, and the types that sums and numerators need."""

from __future__ import annotations

import math

import numpy as np

from hwcomp.backends._c_common import check_order, ends, heading, refuse, work_in_place
from hwcomp.backends._c_dot import Printed
from hwcomp.backends._c_text import c_type
from hwcomp.plan.memory import MemoryPlan
from sw_ref.program import Kernel, Program


def check(program: Program, kernel: Kernel) -> None:
    check_order(program, kernel)
    x, _ = ends(program, kernel)
    if x.bits > 30:
        raise refuse(kernel, f"its input has {x.bits} bits")


def printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    (x, y), p = ends(program, kernel), kernel.params
    n = math.prod(x.shape[a] for a in p["axes"])
    bits, split, coarse = p["bits"], p["split"], kernel.constants["exp"]
    entry = "uint32_t" if bits < 32 else "uint64_t"
    # The product of a quotient and the sum is no larger than the numerator.
    wide = "uint32_t" if max(n << bits, 1 << (bits + p["fraction"])) < 1 << 32 else "uint64_t"
    name = f"{x.dtype.name}_{wide[4:-2]}{'_split' if split else ''}"
    formula = f"exp of distances from the largest of {n} in units of 2^-{bits}, divided by their sum, in units of 2^-{p['fraction']}."
    k = {
        "id": index, "x": c_type(x.dtype), "y": c_type(y.dtype), "rows": x.size // n, "n": n, "wide": wide, "exp": name,
        "entries": len(coarse), "split": split, "bits": bits, "fraction": p["fraction"], "zero": p["zero"], "lo": p["lo"],
        "hi": p["hi"], "comment": heading(program, index, formula),
    }  # fmt: skip
    prim = {"name": name, "x": k["x"], "e": entry, "wide": wide, "split": bool(split)}
    out = Printed("softmax", k, prims={("softmax", name): prim, ("select", k["x"]): {"type": k["x"]}})
    tables = [("t", coarse, "exponentials")] + (
        [("u", kernel.constants["exp_fine"], "their finer steps")] if split else []
    )
    out.arrays += [(entry, f"{letter}{index}", np.asarray(v, entry[:-2]), what) for letter, v, what in tables]
    return out


KINDS = {"softmax": (check, work_in_place, printed)}
