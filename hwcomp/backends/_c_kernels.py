"""Per kernel kind: what the C back end can't take, what it asks of the memory plan, and the values of its template."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwcomp.backends._c_text import c_type, comment, literal
from hwcomp.errors import UnsupportedError
from hwcomp.plan.memory import MemoryPlan, WeightLayout, Work
from sw_ref.program import Edge, Kernel, Layout, Program

WINDOWS = (4, 2, 1)  # windows that a dot product takes side by side, the fastest first
_INT32 = (-(1 << 31), (1 << 31) - 1)
_SHORT = {
    "int8_t": "s8", "uint8_t": "u8", "int16_t": "s16", "uint16_t": "u16", "int32_t": "s32", "uint32_t": "u32",
    "int64_t": "s64", "uint64_t": "u64",
}  # fmt: skip
_WEIGHT_TYPES = ("int8", "uint8", "int16", "int32")


@dataclass
class Printed:
    """One kernel for the templates: its file, values `k`, arrays [(C type, name, values, what)] and primitives used."""

    template: str | None
    k: dict[str, Any]
    arrays: list[tuple[str, str, np.ndarray, str]] = field(default_factory=list)
    prims: dict[tuple, dict[str, Any]] = field(default_factory=dict)


def refuse(kernel: Kernel, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"the C back end can't print a {kernel.kind} kernel", node=(kernel.origin or (kernel.name,))[0], why=why
    )


def supports(program: Program, kernel: Kernel) -> None:
    if kernel.kind not in KINDS:
        raise refuse(kernel, f"it knows {', '.join(sorted(KINDS))}")
    KINDS[kernel.kind][0](program, kernel)


def work(program: Program, kernel: Kernel) -> Work:
    return KINDS[kernel.kind][1](program, kernel)


def printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    return KINDS[program.kernels[index].kind][2](program, plan, index)


def ends(program: Program, kernel: Kernel) -> tuple[Edge, Edge]:
    return program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]


def macs(program: Program, kernel: Kernel) -> int:
    _, y = ends(program, kernel)
    if kernel.kind not in ("conv2d", "dense"):
        return 0
    return y.size * math.prod(kernel.constants["weight"].shape[1:])


# Shared by the dot products ------------------------------------------------------------------------------------------


def _smallest(values: np.ndarray, names: tuple[str, ...]) -> str:
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return next(n for n in names if np.iinfo(n).min <= lo and hi <= np.iinfo(n).max)


def _acc_type(kernel: Kernel) -> str:
    return "int32_t" if kernel.params["acc_bits"] <= 32 else "int64_t"


def _column_dtype(x: Edge) -> np.dtype:
    return np.dtype(np.int16) if x.dtype.itemsize == 1 else x.dtype


def _dsp(x: Edge, layout: WeightLayout, acc: str) -> bool:
    return _column_dtype(x) == np.int16 and layout.ctype in ("int8_t", "uint8_t") and acc == "int32_t"


def _layout(kernel: Kernel, x: Edge, rows: int, k: int) -> WeightLayout:
    ctype = _smallest(kernel.constants["weight"], _WEIGHT_TYPES) + "_t"
    return WeightLayout(rows, k, -(-k // 4) * 4, 2, x.dtype.itemsize == 1, ctype)


def _stored(weight: np.ndarray, groups: int, layout: WeightLayout) -> np.ndarray:
    """[rows, k] -> per group pairs of rows as [k_stored][2]; k in the layout's order.

    Sign extension takes bytes 0, 2 and 1, 3 of a word. Those are two k of each row of a pair; of an odd row, which stands
    alone, they are four k of its own, so that its order is the other one of the two.
    """
    rows, k = weight.shape
    padded = np.zeros((groups, rows // groups, layout.k_stored), weight.dtype)
    padded[:, :, :k] = weight.reshape(groups, rows // groups, k)
    swapped = padded.reshape(*padded.shape[:2], -1, 4)[..., [0, 2, 1, 3]].reshape(padded.shape)
    ordered, single = (swapped, padded) if layout.quads else (padded, swapped)
    even = rows // groups // 2 * 2
    pairs = ordered[:, :even].reshape(groups, even // 2, 2, layout.k_stored).transpose(0, 1, 3, 2)
    return np.concatenate([pairs.reshape(groups, -1), single[:, even:].reshape(groups, -1)], axis=1).ravel()


def _requantizer(kernel: Kernel, acc: str, lo: int, hi: int, order=None) -> tuple[dict, dict[str, np.ndarray]]:
    """The record for the template and the arrays it reads; `lo`..`hi` bounds the accumulator."""
    rq = kernel.params["requantize"]
    affine = rq["form"] == "affine"
    constants = {"m": kernel.constants["multiplier"].astype(np.int64)}
    if affine:
        constants["c"] = kernel.constants["offset"].astype(np.int64)
    values = [_bounds(rq, int(m), c, lo, hi) for m, c in _pairs(constants)]
    narrow = all(_INT32[0] <= v <= _INT32[1] for v in np.ravel(values).tolist())
    shift, fn = rq["shift"], rq["form"]
    single = {n: int(v.flat[0]) for n, v in constants.items() if (v == v.flat[0]).all()}
    offset = single.get("c")
    m_type = "int32_t" if all(_INT32[0] <= m <= _INT32[1] for m in constants["m"].tolist()) else "int64_t"
    high = affine and narrow and acc == m_type == "int32_t" and shift >= 32 and offset is not None
    if high and offset % (1 << 32) == 0:
        fn, rest = "affine_high", f"{literal(offset >> 32)}, {shift - 32}"
    elif affine:
        rest = f"{'c' if offset is None else literal(offset, 'int64_t')}, {shift}"
    else:
        rest = f"{shift}, {literal(rq['zero'], 'int64_t')}"
    types = {"m": m_type, "c": "int64_t"}
    arrays = {n: v if order is None or v.size == 1 else v[order] for n, v in constants.items() if n not in single}
    m_text = literal(single["m"], m_type) if "m" in single else "m"
    c_text = "c" if affine and offset is None else str(offset)
    m_shown = str(single.get("m", "m[channel]"))
    c_shown = "c[channel]" if c_text == "c" else c_text
    formula = (
        f"clamp((a * {m_shown} + {c_shown}) >> {shift}, {rq['lo']}, {rq['hi']})"
        if affine
        else f"clamp(round_half_even(a * {m_shown} / 2^{shift}) + {rq['zero']}, {rq['lo']}, {rq['hi']})"
    )
    record = {
        "a": acc, "fn": fn, "rest": rest, "m": m_text, "narrow": narrow, "lo": rq["lo"], "hi": rq["hi"], "formula": formula,
        "saturate": _saturation(rq["lo"], rq["hi"]), "args": [{"name": n, "type": types[n]} for n in arrays],
    }  # fmt: skip
    return record, {n: v.astype(types[n][:-2]) for n, v in arrays.items()}


def _saturation(lo: int, hi: int) -> tuple[str, int] | None:
    """The type that has exactly the range lo..hi."""
    bits = hi.bit_length()
    if bits >= 31 or bits == 0 or hi != (1 << bits) - 1:
        return None
    return ("UNSIGNED", bits) if lo == 0 else ("SIGNED", bits + 1) if lo == ~hi else None


def _pairs(constants: dict[str, np.ndarray]):
    m, c = constants["m"].tolist(), constants.get("c", np.zeros(1, np.int64)).tolist()
    n = max(len(m), len(c))
    return zip(m * n if len(m) == 1 else m, c * n if len(c) == 1 else c, strict=True)


def _bounds(rq: dict, m: int, c: int, lo: int, hi: int) -> tuple[int, int]:
    """Requantized, unclamped ends of lo..hi (the function is monotone)."""
    low, high = sorted((lo * m, hi * m))
    if rq["form"] == "affine":
        return (low + c) >> rq["shift"], (high + c) >> rq["shift"]
    return (low >> rq["shift"]) + rq["zero"], (high >> rq["shift"]) + 1 + rq["zero"]


def _dot_prims(out: Printed, x: Edge, layout: WeightLayout, acc: str, way: Way, rows: int) -> None:
    """Add the primitives of a dot product to `out`, and what the templates call them."""
    n, raw, dsp = way.windows, not way.columns, _dsp(x, layout, acc)
    xt = c_type(x.dtype)
    col = xt if raw else c_type(_column_dtype(x))
    out.k |= {"col": col, "w": layout.ctype, "acc": acc, "n": n, "dot": {}, "k_stored": layout.k_stored}
    out.k |= {"columns": way.columns, "window": way.window, "scratch": way.columns or way.window}
    out.k["operand"] = "column" if way.columns else "window" if way.window else "x"
    out.k["accs"] = [" = ".join(f"acc[{j * n + i}]" for i in range(n)) for j in range(2)]
    if way.columns:
        name = out.k["expand"] = f"{n}_{_SHORT[xt]}" + ("" if dsp else "_plain")
        out.prims["expand", name] = {"name": name, "x": xt, "col": col, "n": n, "quads": layout.quads, "dsp": dsp}
    for c in [2] * (rows > 1) + [1] * (rows % 2):
        plain = "" if dsp else f"_{acc[3:5]}"
        name = f"{'raw' if raw else n}x{c}_{_SHORT[col]}_{_SHORT[layout.ctype]}{plain}"
        out.prims["dot", name] = {
            "name": name, "n": n, "c": c, "x": col, "w": layout.ctype, "acc": acc, "dsp": dsp, "raw": raw,
            "quads": layout.quads, "u": "u" if layout.ctype == "uint8_t" else "s",
        }  # fmt: skip
        out.k["dot"][c] = name


@dataclass(frozen=True)
class Way:
    """One way to run a dot product: `windows` side by side, in `columns` of halfwords or as they lie in memory.

    `window`: scratch for one window as it lies in memory. `scratch`: bytes of both.
    """

    windows: int
    columns: bool
    window: bool
    scratch: int


def _ways(x: Edge, layout: WeightLayout, acc: str, count: int, copied: bool, joined: bool) -> list[Way]:
    """The fastest first. `copied`: columns are filled by way of a copy of the window. `joined`: a window lies together
    in the input and touches no padding, so that it can be read there.
    """
    column, window = layout.k_stored * _column_dtype(x).itemsize, layout.k_stored * x.dtype.itemsize
    ways = [Way(n, True, copied, n * column + copied * window) for n in WINDOWS if n <= count]
    if x.dtype.itemsize == 1 or not _dsp(x, layout, acc):
        copied = not joined or layout.k != layout.k_stored
        ways.append(Way(1, False, copied, copied * window))
    return ways


# Maps ------------------------------------------------------------------------------------------------------------------


def _check_map(program: Program, kernel: Kernel) -> None:
    for edge in ends(program, kernel):
        if len(edge.shape) != 3:
            raise refuse(kernel, f"it needs tensors [channels, height, width], not {list(edge.shape)}")
        if edge.layout != Layout.channels_last(edge.shape):
            raise refuse(kernel, "it needs its maps channels last")


def _map_values(kernel: Kernel, x: Edge, y: Edge) -> dict[str, Any]:
    p = kernel.params
    (kh, kw), (sh, sw), (dh, dw) = p["kernel"], p["strides"], p["dilations"]
    (c, height, width), (m, oh, ow) = x.shape, y.shape
    top, left, _, _ = p["pads"]

    def inner(pad: int, size: int, extent: int, stride: int, outs: int) -> tuple[int, int]:
        """The outputs whose windows lie inside."""
        first = min(-(-pad // stride), outs)
        return first, max(first, min(outs, (size - extent + pad) // stride + 1))

    oy0, oy1 = inner(top, height, (kh - 1) * dh + 1, sh, oh)
    ox0, ox1 = inner(left, width, (kw - 1) * dw + 1, sw, ow)
    return {
        "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw, "c": c, "height": height, "width": width, "m": m, "oh": oh,
        "ow": ow, "pt": top, "pl": left, "oy0": oy0, "oy1": oy1, "ox0": ox0, "ox1": ox1, "pad": p["pad_value"],
        "border": (oy0, oy1, ox0, ox1) != (0, oh, 0, ow), "x": c_type(x.dtype), "y": c_type(y.dtype),
        "x_bytes": x.dtype.itemsize,
    }  # fmt: skip


def _window_text(kernel: Kernel) -> str:
    p = kernel.params
    text = f"kernel {p['kernel'][0]}x{p['kernel'][1]}, stride {p['strides'][0]}x{p['strides'][1]}"
    if list(p["dilations"]) != [1, 1]:
        text += f", dilation {p['dilations'][0]}x{p['dilations'][1]}"
    if any(p["pads"]):
        text += f", pads {list(p['pads'])} of {p['pad_value']}"
    if p.get("groups", 1) > 1:
        text += f", {p['groups']} groups"
    return text


def _heading(program: Program, index: int, *lines: str) -> str:
    """The comment over a kernel's function."""
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    origin = f", from ONNX {comment(', '.join(kernel.origin))}" if kernel.origin else ""
    text = [f"/* Layer {index}: {comment(kernel.name)} ({kernel.kind}){origin}."]
    text.append(f"   {_shown(x)} -> {_shown(y)}")
    text += [f"   {line}" for line in lines]
    return "\n".join(text) + " */"


def _shown(e: Edge) -> str:
    last = ", channels last" if e.layout == Layout.channels_last(e.shape) != Layout.row_major(e.shape) else ""
    return f"{c_type(e.dtype)} {list(e.shape)}{last}, {e.lo}..{e.hi}"


def _acc_line(kernel: Kernel, program: Program) -> str:
    p = kernel.params
    return f"{macs(program, kernel)} MACs; accumulator {p['acc_lo']}..{p['acc_hi']} ({p['acc_bits']} bits)"


# Kinds -----------------------------------------------------------------------------------------------------------------


def _is_depthwise(kernel: Kernel) -> bool:
    m, cg = kernel.constants["weight"].shape[:2]
    return cg == 1 and kernel.params["groups"] == m > 1


def _conv_runs(kernel: Kernel) -> tuple[int, int]:
    """Stretches of a window that lie together in a channels-last map: (elements, stretches per row)."""
    p, cg = kernel.params, kernel.constants["weight"].shape[1]
    whole = p["groups"] == 1 and (p["dilations"][1] == 1 or p["kernel"][1] == 1)
    return (cg * p["kernel"][1], 1) if whole else (cg, p["kernel"][1])


def _conv_work(program: Program, kernel: Kernel) -> Work:
    x, y = ends(program, kernel)
    k = _map_values(kernel, x, y)
    if _is_depthwise(kernel):
        weights = WeightLayout(k["m"], k["kh"] * k["kw"], k["kh"] * k["kw"], k["m"], False, _dw_type(kernel))
        return Work((k["kh"] * k["kw"] * k["c"] * x.dtype.itemsize if k["border"] else 0,), weights)
    layout, ways = _conv_ways(kernel, x, k)
    return Work(tuple(w.scratch for w in ways), layout)


def _conv_ways(kernel: Kernel, x: Edge, k: dict[str, Any]) -> tuple[WeightLayout, list[Way]]:
    layout = _layout(kernel, x, k["m"], math.prod(kernel.constants["weight"].shape[1:]))
    run, runs = _conv_runs(kernel)
    joined = k["kh"] * runs == 1 and not k["border"]
    return layout, _ways(x, layout, _acc_type(kernel), k["oh"] * k["ow"], k["border"] or run % 4 != 0, joined)


def _dw_type(kernel: Kernel) -> str:
    return _smallest(kernel.constants["weight"], _WEIGHT_TYPES) + "_t"


def _conv_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel, step = program.kernels[index], plan.steps[index]
    (x, y), p, c = ends(program, kernel), kernel.params, kernel.constants
    k = _map_values(kernel, x, y) | {"id": index, "kind": "conv2d", "groups": p["groups"]}
    acc = _acc_type(kernel)
    rq, arrays = _requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])
    heading = _heading(program, index, _window_text(kernel) + ".", _acc_line(kernel, program) + ".")
    k |= {"rq": rq, "comment": heading}
    bias = c["bias"].astype(np.int32 if acc == "int32_t" else np.int64)
    out = Printed("conv2d", k)
    if _is_depthwise(kernel):
        out.template, weight = "depthwise2d", c["weight"].reshape(k["m"], -1).T
        w = step.weights.ctype
        mac = f"{x.dtype.name}_{w[:-2]}_{acc[:-2]}"
        dsp = x.dtype.itemsize == 1 and w in ("int8_t", "uint8_t") and acc == "int32_t"
        unsigned = {"ux": "u" if k["x"] == "uint8_t" else "s", "uw": "u" if w == "uint8_t" else "s"}
        out.prims["mac", mac] = {"name": mac, "x": k["x"], "w": w, "acc": acc, "dsp": dsp} | unsigned
        k |= {"mac": mac, "acc": acc, "w": w, "groups": 1, "scratch": k["border"]}
        what = "weights, [kernel row][kernel column][channel]"
    else:
        run, runs = _conv_runs(kernel)
        m, cg, kh, kw = c["weight"].shape
        weight = c["weight"].transpose(0, 2, 3, 1).reshape(m, -1)
        weight = _stored(weight, p["groups"], step.weights)
        way = _conv_ways(kernel, x, k)[1][step.choice]
        k |= {"run": run, "runs": runs, "cg": cg, "rows": m // p["groups"], "k": cg * kh * kw}
        k["in_place"] = not way.columns and not way.window
        _dot_prims(out, x, step.weights, acc, way, k["rows"])
        what = _weights_text(step.weights, "kernel row, kernel column, channel")
    _constants(out, index, weight, step.weights.ctype, what, bias, arrays)
    return out


def _weights_text(layout: WeightLayout, order: str) -> str:
    quads = "; k 0,2,1,3 within four" if layout.quads else ""
    return f"weights, pairs of rows as [k][2]; k runs over {order}, {layout.k} padded to {layout.k_stored}{quads}"


def _constants(out: Printed, index: int, weight, w_type: str, what: str, bias, arrays: dict[str, np.ndarray]) -> None:
    names = {"m": "multipliers", "c": "offsets"}
    out.arrays.append((w_type, f"w{index}", weight, what))
    out.arrays.append((c_type(bias.dtype), f"b{index}", bias, "biases, with the input's zero point"))
    out.arrays += [(c_type(v.dtype), f"{n}{index}", v, names[n]) for n, v in arrays.items()]


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


def _dense_check(program: Program, kernel: Kernel) -> None:
    if _dense_orders(program, kernel) is None:
        raise refuse(kernel, "the elements of its vectors don't lie together in memory")


def _dense_work(program: Program, kernel: Kernel) -> Work:
    x, _ = ends(program, kernel)
    m, k = kernel.constants["weight"].shape
    layout = _layout(kernel, x, m, k)
    ways = _ways(x, layout, _acc_type(kernel), x.size // k, copied=False, joined=True)
    return Work(tuple(w.scratch for w in ways), layout)


def _dense_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel, step = program.kernels[index], plan.steps[index]
    (x, y), p, c = ends(program, kernel), kernel.params, kernel.constants
    order_in, order_out, vectors = _dense_orders(program, kernel)
    m, k_size = c["weight"].shape
    acc = _acc_type(kernel)
    rq, arrays = _requantizer(kernel, acc, p["acc_lo"], p["acc_hi"], order_out)
    out = Printed("dense", {
        "id": index, "rq": rq, "x": c_type(x.dtype), "y": c_type(y.dtype), "x_bytes": x.dtype.itemsize, "groups": 1, "border": False, "m": m,
        "rows": m, "k": k_size, "vectors": vectors,
        "comment": _heading(program, index, _acc_line(kernel, program) + "."),
    })  # fmt: skip
    way = _ways(x, step.weights, acc, vectors, copied=False, joined=True)[step.choice]
    _dot_prims(out, x, step.weights, acc, way, m)
    weight = _stored(c["weight"][np.ix_(order_out, order_in)], 1, step.weights)
    bias = c["bias"][order_out].astype(np.int32 if acc == "int32_t" else np.int64)
    what = _weights_text(step.weights, "the input as it lies in memory")
    _constants(out, index, weight, step.weights.ctype, what, bias, arrays)
    return out


def _pool_check(program: Program, kernel: Kernel) -> None:
    _check_map(program, kernel)
    x, y = ends(program, kernel)
    if x.dtype != y.dtype:
        raise refuse(kernel, f"its input and output are stored as {x.dtype} and {y.dtype}")


def _pool_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    k = _map_values(kernel, x, y)
    k |= {"id": index, "bytes": x.dtype.itemsize == 1, "comment": _heading(program, index, _window_text(kernel) + ".")}
    return Printed("maxpool2d", k, prims={("select", k["x"]): {}})


def _requantize_printed(program: Program, plan: MemoryPlan, index: int) -> Printed:
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    channel = x.layout.order() // (x.size // (x.shape[0] if x.shape else 1))
    inner = _run(channel)
    outer_table = channel[::inner]
    period = next(d for d in range(1, len(outer_table) + 1) if len(outer_table) % d == 0 and _repeats(outer_table, d))
    table = outer_table[:period]
    acc = "int64_t" if x.dtype.itemsize > 4 or x.dtype == np.uint32 else "int32_t"
    rq, arrays = _requantizer(kernel, acc, x.lo, x.hi, table)
    k = {
        "id": index, "rq": rq, "x": c_type(x.dtype), "y": c_type(y.dtype), "size": x.size, "inner": inner, "period": period,
        "outer": x.size // inner // period, "comment": _heading(program, index),
    }  # fmt: skip
    names = {"m": "multipliers", "c": "offsets"}
    return Printed("requantize", k, [(c_type(v.dtype), f"{n}{index}", v, names[n]) for n, v in arrays.items()])


def _run(values: np.ndarray) -> int:
    """The longest d such that `values` consists of stretches of d equal elements."""
    changes = np.flatnonzero(np.diff(values)) + 1
    return math.gcd(len(values), *changes.tolist())


def _repeats(values: np.ndarray, period: int) -> bool:
    return bool((values.reshape(-1, period) == values[:period]).all())


def _requantize_check(program: Program, kernel: Kernel) -> None:
    x, y = ends(program, kernel)
    if x.layout != y.layout:
        raise refuse(kernel, "its input and output lie in different orders")


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
        "comment": _heading(program, index, f"axis {kernel.params['axis']}."),
    }  # fmt: skip
    out = Printed("argmax", k, prims={("select", c_type(x.dtype)): {}})
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
    out.arrays.append(("uint32_t", f"t{index}", lines, "where the compared elements lie, [output][index along the axis]"))
    return out


def _none(program: Program, kernel: Kernel) -> None:
    return None


def _no_work(program: Program, kernel: Kernel) -> Work:
    return Work()


def _no_print(program: Program, plan: MemoryPlan, index: int) -> Printed:
    return Printed(None, {"comment": _heading(program, index, "The same memory under another shape: nothing runs.")})


# kind -> (check, work, printed)
KINDS = {
    "argmax": (_none, _no_work, _argmax_printed),
    "conv2d": (_check_map, _conv_work, _conv_printed),
    "dense": (_dense_check, _dense_work, _dense_printed),
    "maxpool2d": (_pool_check, _no_work, _pool_printed),
    "requantize": (_requantize_check, _no_work, _requantize_printed),
    "reshape": (_reshape_check, _no_work, _no_print),
}
ALIASES = frozenset({"reshape"})
