"""LSTM and GRU in C: weights by row, one table per function for all of them, states in scratch memory."""

from __future__ import annotations

import numpy as np

from hwcomp.backends._c_common import heading, refuse
from hwcomp.backends._c_dot import Printed, acc_type, weight_type
from hwcomp.backends._c_text import c_type
from hwcomp.plan.memory import MemoryPlan, Work
from hwcomp.plan.work import macs
from sw_ref.program import Edge, Kernel, Layout, Program

_TYPES = {"sigmoid": "uint16_t", "tanh": "int16_t"}


def _edges(program: Program, kernel: Kernel) -> dict[str, Edge]:
    """x, y, and those of h (the hidden states, where they are not the output), first_h, first_c that are inputs."""
    inputs = list(kernel.inputs)
    found = {"x": program.edges[inputs.pop(0)], "y": program.edges[kernel.outputs[0]]}
    found["h"] = program.edges[inputs.pop(0)] if kernel.params.get("output") == "cell" else found["y"]
    return found | {f"first_{n}": program.edges[inputs.pop(0)] for n in kernel.params["initial"]}


def check(program: Program, kernel: Kernel) -> None:
    for edge in _edges(program, kernel).values():
        if edge.layout != Layout.row_major(edge.shape):
            raise refuse(kernel, "its tensors don't lie row by row")
        if edge.bits > 24:
            raise refuse(kernel, f"a tensor has {edge.bits} bits")


def work(program: Program, kernel: Kernel) -> Work:
    hidden, e = kernel.params["hidden"], _edges(program, kernel)
    held = (1 if kernel.params.get("linear_before_reset") else 2) if kernel.kind == "gru" else "first_h" in e
    return Work((4 * hidden + held * hidden * e["h"].dtype.itemsize,))


def printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel, e = program.kernels[index], _edges(program, program.kernels[index])
    p, c, acc = kernel.params, kernel.constants, acc_type(kernel)
    first = next(i for i, k in enumerate(program.kernels) if k.kind in KINDS)
    weight, back = weight_type(c["weight"]), weight_type(c["recurrent"])
    names = [f"{t.dtype.name}_{w[:-2]}_{acc[:-2]}" for t, w in ((e["x"], weight), (e["h"], back))]
    sizes = f"{p['steps']} steps of {p['input']} values, {p['hidden']} states, {' and '.join(p['directions'])}; "
    sizes += f"{macs(program, kernel)} MACs."
    k = {
        "id": index, "x": c_type(e["x"].dtype), "y": c_type(e["y"].dtype), "h": c_type(e["h"].dtype), "scratch": True,
        "h0": c_type(e["first_h"].dtype) if "first_h" in e else "", "c0": c_type(e["first_c"].dtype) if "first_c" in e else "",
        "first_h": p.get("h_requantize"), "first_c": p.get("c_requantize"), "record": p["requantize"],
        "input": p["input"], "hidden": p["hidden"], "steps": p["steps"], "shift": p["shift"],
        "reverse": [d == "reverse" for d in p["directions"]], "cell": p.get("output") == "cell",
        "linear": p.get("linear_before_reset"), "tables": first, "inner_x": names[0], "inner_h": names[1], "total": acc[:-2],
        "comment": heading(program, index, sizes),
    }  # fmt: skip
    out = Printed(kernel.kind, k)
    for name, t, w in zip(names, (e["x"], e["h"]), (weight, back), strict=True):
        dsp = t.dtype.itemsize == 1 and w == "int8_t" and acc == "int32_t"
        out.prims["inner", name] = {"name": name, "x": c_type(t.dtype), "w": w, "acc": acc, "dsp": dsp}
    out.prims["recurrent", acc[:-2]] = {"name": acc[:-2], "acc": acc}
    out.prims["state", ""] = {}
    for name, kind in _TYPES.items():
        out.prims["curve", name] = {"name": name, "type": kind}
    arrays = [
        (weight, f"w{index}", c["weight"], "weights of the input, by gate and state"),
        (back, f"wh{index}", c["recurrent"], "weights of the hidden states"),
        ("int32_t", f"m{index}", c["multiplier"], "multipliers of the input's sums"),
        ("int32_t", f"n{index}", c["recurrent_multiplier"], "multipliers of the hidden states' sums"),
        ("int64_t", f"c{index}", c["offset"], "biases with the zero points and the rounding"),
    ]
    if "recurrent_offset" in c:
        arrays.append(("int64_t", f"e{index}", c["recurrent_offset"], "biases of what the reset gate scales"))
    if "h" in c:
        arrays.append(
            (
                "int32_t" if kernel.kind == "gru" else k["h"],
                f"h{index}",
                c["h"],
                "hidden states in front of the first step",
            )
        )
    if "c" in c:
        arrays.append(("int32_t", f"i{index}", c["c"], "cell states in front of the first step"))
    if index == first:
        arrays += [(_TYPES[n], f"{letter}{index}", c[n], n) for letter, n in (("s", "sigmoid"), ("a", "tanh"))]
    out.arrays += [(t, name, v.astype(np.dtype(t[:-2])), what) for t, name, v, what in arrays]
    return out


KINDS = {"gru": (check, work, printed), "lstm": (check, work, printed)}
