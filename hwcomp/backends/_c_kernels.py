"""Per kernel kind: what the C back end can't take, what it asks of the memory plan, and the values of its template."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwcomp.backends import (
    _c_attention,
    _c_depthwise,
    _c_elements,
    _c_joins,
    _c_recurrent,
    _c_softmax,
    _c_vectors,
    _c_winograd,
    _c_xnor,
)
from hwcomp.backends import _c_dot as dot
from hwcomp.backends._c_bits import Bits
from hwcomp.backends._c_choice import layout_of
from hwcomp.backends._c_common import check_map, check_order, ends, heading, map_values, no_work, refuse, window_text
from hwcomp.backends._c_dot import Printed, Way, acc_type, add_constants, add_dot, add_record, requantizer
from hwcomp.backends._c_text import c_type
from hwcomp.plan.memory import MemoryPlan, WeightLayout, Work
from hwcomp.plan.work import macs
from sw_ref.program import Edge, Kernel, Program


def supports(program: Program, kernel: Kernel) -> None:
    if kernel.kind not in KINDS:
        raise refuse(kernel, f"it knows {', '.join(sorted(KINDS))}")
    KINDS[kernel.kind][0](program, kernel)


def work(program: Program, kernel: Kernel, bits: dict[str, Bits], form: str) -> Work:
    """`bits`: the edges that are stored as words of bits (_c_bits.packed). `form`: `--c-weights`."""
    if _c_xnor.takes_bits(kernel, bits):
        return _c_xnor.work(program, kernel, bits)
    if kernel.kind in _DOTS:
        found = _DOTS[kernel.kind](program, kernel, form)
    else:
        found = KINDS[kernel.kind][1](program, kernel)
    packs = kernel.outputs[0] in bits and kernel.kind not in ALIASES
    return _c_xnor.packing(found, program, kernel) if packs else found


def printed(program: Program, plan: MemoryPlan, index: int, bits: dict[str, Bits]) -> Printed:
    kernel = program.kernels[index]
    if _c_xnor.takes_bits(kernel, bits):
        orders = _dense_orders(program, kernel) if kernel.kind == "dense" else None
        return _c_xnor.printed(program, plan, index, bits, orders)
    found = KINDS[kernel.kind][2](program, plan, index)
    packs = kernel.outputs[0] in bits and kernel.kind not in ALIASES
    return _c_xnor.add_packing(found, kernel, bits) if packs else found


def _acc_line(kernel: Kernel, program: Program) -> str:
    p = kernel.params
    return f"{macs(program, kernel)} MACs; accumulator {p['acc_lo']}..{p['acc_hi']} ({p['acc_bits']} bits)"


# Kinds ------------------------------------------------------------------------------------------------------------


def _conv_runs(kernel: Kernel) -> tuple[int, int]:
    """Stretches of a window that lie together in a channels-last map: (elements, stretches per row)."""
    p, cg = kernel.params, kernel.constants["weight"].shape[1]
    whole = p["groups"] == 1 and (p["dilations"][1] == 1 or p["kernel"][1] == 1)
    return (cg * p["kernel"][1], 1) if whole else (cg, p["kernel"][1])


def _conv_work(program: Program, kernel: Kernel, form: str) -> Work:
    if _c_depthwise.is_depthwise(kernel):
        return _c_depthwise.work(program, kernel, form)
    x, y = ends(program, kernel)
    k = map_values(kernel, x, y)
    if form == "fast" and _c_winograd.chosen(program, kernel):
        return Work((_c_winograd.scratch(kernel),), _c_winograd.layout(kernel))
    groups, codes = kernel.params["groups"], _conv_codes(kernel)
    layout = layout_of(kernel, x, _conv_rows(kernel), groups, k["oh"] * k["ow"], form, codes)
    return Work(tuple(w.scratch for w in _conv_ways(kernel, x, k, layout)), layout)


def _conv_rows(kernel: Kernel) -> np.ndarray:
    """The weights [M, K], K in the order of a window of a channels-last map."""
    weight = kernel.constants["weight"]
    return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)


def _conv_codes(kernel: Kernel) -> _c_vectors.Vectors | None:
    shape = kernel.constants["weight"].shape[1:]
    return _c_vectors.of(kernel, np.arange(math.prod(shape)).reshape(shape).transpose(1, 2, 0).ravel())


def _conv_ways(kernel: Kernel, x: Edge, k: dict[str, Any], layout: WeightLayout) -> list[Way]:
    run, runs = _conv_runs(kernel)
    joined = k["kh"] * runs == 1 and not k["border"]
    return dot.ways_of(x, layout, acc_type(kernel), k["oh"] * k["ow"], k["border"] or run % 4 != 0, joined)


def _conv_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel, step = program.kernels[index], plan.steps[index]
    (x, y), p, c = ends(program, kernel), kernel.params, kernel.constants
    k = map_values(kernel, x, y) | {"id": index, "kind": "conv2d", "groups": p["groups"]}
    acc = acc_type(kernel)
    rq, arrays = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])
    k |= {"rq": rq}
    k["comment"] = heading(program, index, window_text(kernel) + ".", _acc_line(kernel, program) + ".")
    bias = c["bias"].astype(np.int32 if acc == "int32_t" else np.int64)
    out = Printed("conv2d", k)
    if step.weights.winograd:
        _c_winograd.add(out, program, index)
    elif _c_depthwise.is_depthwise(kernel):
        _c_depthwise.add(out, program, step, index)
    else:
        run, runs = _conv_runs(kernel)
        m, cg, kh, kw = c["weight"].shape
        way = _conv_ways(kernel, x, k, step.weights)[step.choice]
        k |= {"run": run, "runs": runs, "cg": cg, "k": cg * kh * kw}
        each = m // p["groups"]
        k |= {"rows": each // max(1, step.weights.slices), "each": each}
        k["in_place"] = not way.columns and not way.window
        add_dot(out, x, step.weights, acc, way, k["rows"])
        order = "kernel row, kernel column, channel"
        dot.add_weights(out, index, _conv_rows(kernel), p["groups"], step.weights, order, way, _conv_codes(kernel))
    add_constants(out, index, bias, arrays)
    return out


def _dense_orders(program: Program, kernel: Kernel):
    """(order of k in a carried vector, order of rows in a carried output, vectors), or None where they don't exist."""
    x, y = ends(program, kernel)
    m, k = kernel.constants["weight"].shape
    found = []
    for edge, size in ((x, k), (y, m)):
        order = edge.layout.order().reshape(-1, size)
        if not (order - order[:1] == np.arange(len(order))[:, None] * size).all() or order[0].max() >= size:
            return None
        found.append(order[0])
    return found[0], found[1], x.size // k


def _dense_rows(program: Program, kernel: Kernel) -> np.ndarray:
    """The weights [M, K] in the order in which outputs and inputs lie in memory."""
    order_in, order_out, _ = _dense_orders(program, kernel)
    return kernel.constants["weight"][np.ix_(order_out, order_in)]


def _dense_codes(program: Program, kernel: Kernel) -> _c_vectors.Vectors | None:
    order_in, order_out, _ = _dense_orders(program, kernel)
    return _c_vectors.of(kernel, order_in, order_out)


def rows_of(program: Program, kernel: Kernel) -> np.ndarray:
    """The weights [M, K] of a convolution or a dense layer as they lie in memory."""
    return _conv_rows(kernel) if kernel.kind == "conv2d" else _dense_rows(program, kernel)


def _dense_check(program: Program, kernel: Kernel) -> None:
    if _dense_orders(program, kernel) is None:
        raise refuse(kernel, "the elements of its vectors don't lie together in memory")


def _dense_work(program: Program, kernel: Kernel, form: str) -> Work:
    x, _ = ends(program, kernel)
    weight, vectors = _dense_rows(program, kernel), x.size // kernel.constants["weight"].shape[1]
    layout = layout_of(kernel, x, weight, 1, vectors, form, _dense_codes(program, kernel))
    ways = dot.ways_of(x, layout, acc_type(kernel), vectors, copied=False, joined=True)
    return Work(tuple(w.scratch for w in ways), layout)


def _dense_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel, step = program.kernels[index], plan.steps[index]
    (x, y), p, c = ends(program, kernel), kernel.params, kernel.constants
    _, order_out, vectors = _dense_orders(program, kernel)
    m, k_size = c["weight"].shape
    acc = acc_type(kernel)
    rq, arrays = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"], order_out)
    out = Printed("dense", {
        "id": index, "rq": rq, "x": c_type(x.dtype), "y": c_type(y.dtype), "x_bytes": x.dtype.itemsize, "groups": 1,
        "border": False, "m": m, "rows": m // max(1, step.weights.slices), "each": m, "cg": 0, "k": k_size, "vectors": vectors,
        "comment": heading(program, index, _acc_line(kernel, program) + "."),
    })  # fmt: skip
    way = dot.ways_of(x, step.weights, acc, vectors, copied=False, joined=True)[step.choice]
    bias = c["bias"][order_out].astype(np.int32 if acc == "int32_t" else np.int64)
    weight, order = _dense_rows(program, kernel), "input as in memory"
    if step.weights.scatter:
        dot.add_scattered(out, index, weight, step.weights, acc)
    elif step.weights.book and not step.weights.slices:
        dot.add_multiplied(out, index, weight, step.weights, x, order)
    elif step.weights.steps:
        dot.add_steps(out, index, weight, step.weights, x, order)
    else:
        add_dot(out, x, step.weights, acc, way, out.k["rows"])
        dot.add_weights(out, index, weight, 1, step.weights, order, way, _dense_codes(program, kernel))
    add_constants(out, index, bias, arrays)
    return out


def _pool_check(program: Program, kernel: Kernel) -> None:
    check_map(program, kernel)
    x, y = ends(program, kernel)
    if x.dtype != y.dtype:
        raise refuse(kernel, f"its input and output are stored as {x.dtype} and {y.dtype}")


def _pool_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    k = map_values(kernel, x, y)
    k |= {"id": index, "bytes": x.dtype.itemsize == 1, "comment": heading(program, index, window_text(kernel) + ".")}
    return Printed("maxpool2d", k, prims={("select", k["x"]): {"type": k["x"]}})


def _requantize_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    channel = x.layout.order() // (x.size // (x.shape[0] if x.shape else 1))
    inner = _run(channel)
    outer_table = channel[::inner]
    period = next(d for d in range(1, len(outer_table) + 1) if len(outer_table) % d == 0 and _repeats(outer_table, d))
    table = outer_table[:period]
    acc = "int64_t" if x.dtype.itemsize > 4 or x.dtype == np.uint32 else "int32_t"
    rq, arrays = requantizer(kernel, acc, x.lo, x.hi, table)
    k = {
        "id": index, "rq": rq, "x": c_type(x.dtype), "y": c_type(y.dtype), "size": x.size, "inner": inner,
        "period": period, "outer": x.size // inner // period, "comment": heading(program, index),
    }  # fmt: skip
    out = Printed("requantize", k)
    add_record(out, index, arrays)
    return out


def _run(values: np.ndarray) -> int:
    """The longest d such that `values` consists of stretches of d equal elements."""
    changes = np.flatnonzero(np.diff(values)) + 1
    return math.gcd(len(values), *changes.tolist())


def _repeats(values: np.ndarray, period: int) -> bool:
    return bool((values.reshape(-1, period) == values[:period]).all())


def _reshape_check(program: Program, kernel: Kernel) -> None:
    x, y = ends(program, kernel)
    if x.layout != y.layout or x.dtype != y.dtype:
        raise refuse(kernel, "its output is not the same memory as its input")


def _argmax_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    position = np.empty(x.size, np.int64)  # where each logical element lies
    position[x.layout.order()] = np.arange(x.size)
    lines = np.moveaxis(position.reshape(x.shape), kernel.params["axis"], -1).reshape(y.size, -1)[y.layout.order()]
    k = {
        "id": index, "x": c_type(x.dtype), "y": c_type(y.dtype), "size": y.size, "n": lines.shape[1], "table": False,
        "comment": heading(program, index, f"axis {kernel.params['axis']}."),
    }  # fmt: skip
    out = Printed("argmax", k, prims={("select", k["x"]): {"type": k["x"]}})
    first, i = lines[:, 0], np.arange(y.size)
    step = int(lines[0, 1] - lines[0, 0]) if lines.shape[1] > 1 else 1
    for near_count in (d for d in range(1, y.size + 1) if y.size % d == 0):
        near = int(first[1] - first[0]) if near_count > 1 else 0
        far = int(first[near_count] - first[0]) if near_count < y.size else 0
        starts = i // near_count * far + i % near_count * near
        if min(step, near, far) >= 0 and (lines == starts[:, None] + np.arange(lines.shape[1]) * step).all():
            k |= {"near_count": near_count, "near": near, "far": far, "step": step}
            return out
    k["table"] = True
    out.arrays.append(("uint32_t", f"t{index}", lines, "where the elements lie, [output][index along the axis]"))
    return out


def _none(program: Program, kernel: Kernel) -> None:
    return None


def _no_print(program: Program, plan: MemoryPlan, index: int) -> Printed:
    return Printed(None, {"comment": heading(program, index, "The same memory under another shape: nothing runs.")})


_DOTS = {"conv2d": _conv_work, "dense": _dense_work}  # what lies in memory as the plan's options say
# kind -> (check, work, printed)
KINDS = {
    **_c_joins.KINDS,
    **_c_softmax.KINDS,
    **_c_elements.KINDS,
    **_c_recurrent.KINDS,
    **_c_attention.KINDS,
    "argmax": (_none, no_work, _argmax_printed),
    "conv2d": (check_map, None, _conv_printed),
    "dense": (_dense_check, None, _dense_printed),
    "maxpool2d": (_pool_check, no_work, _pool_printed),
    "requantize": (check_order, no_work, _requantize_printed),
    "reshape": (_reshape_check, no_work, _no_print),
    "transpose": (_c_joins.transpose_check, no_work, _no_print),
}
ALIASES = frozenset({"reshape", "transpose"})
