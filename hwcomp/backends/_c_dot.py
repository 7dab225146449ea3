"""Dot products of the C back end: layout of the weights, ways to run them, the requantize record, primitives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwcomp.backends import _c_book, _c_codes, _c_fields, _c_sparse, _c_steps, _c_threshold, _c_vectors
from hwcomp.backends._c_text import c_type, literal
from hwcomp.plan import index_lists, row_steps
from hwcomp.plan.memory import WeightLayout
from hwcomp.plan.weight_forms import WINDOWS, scratch
from sw_ref.program import Edge, Kernel

_RECORD = {"m": "multipliers", "c": "offsets", "t": "thresholds", "d": "channels that fall"}
_INT32 = (-(1 << 31), (1 << 31) - 1)
_SHORT = {
    "int8_t": "s8", "uint8_t": "u8", "int16_t": "s16", "uint16_t": "u16", "int32_t": "s32", "uint32_t": "u32",
    "int64_t": "s64", "uint64_t": "u64",
}  # fmt: skip
_DIRECT = 32  # elements of a window that are put into columns one by one, at most: each takes code
_WEIGHT_TYPES = ("int8", "uint8", "int16", "int32")


@dataclass
class Printed:
    """One kernel for the templates: its file, values `k`, arrays [(C type, name, values, what)] and primitives used. For the
    report: `index_bytes` of the arrays that say where weights lie, not what they are, and weights of zero that are `skipped`."""

    template: str | None
    k: dict[str, Any]
    arrays: list[tuple[str, str, np.ndarray, str]] = field(default_factory=list)
    prims: dict[tuple, dict[str, Any]] = field(default_factory=dict)
    index_bytes: int = 0
    skipped: int = 0


def weight_type(weight: np.ndarray) -> str:
    """The smallest C type that stores every weight."""
    lo, hi = int(weight.min()), int(weight.max())
    return next(f"{n}_t" for n in _WEIGHT_TYPES if np.iinfo(n).min <= lo and hi <= np.iinfo(n).max)


def acc_type(kernel: Kernel) -> str:
    return "int32_t" if kernel.params["acc_bits"] <= 32 else "int64_t"


def _column_dtype(x: Edge) -> np.dtype:
    return np.dtype(np.int16) if x.dtype.itemsize == 1 else x.dtype


def dsp(x: Edge, layout: WeightLayout, acc: str) -> bool:
    halves = layout.bits > 0 or layout.ctype in ("int8_t", "uint8_t")
    return _column_dtype(x) == np.int16 and halves and acc == "int32_t"


def add_weights(
    out: Printed, index: int, weight: np.ndarray, groups: int, layout: WeightLayout, order: str, way: Way,
    codes: _c_vectors.Vectors | None,
) -> None:  # fmt: skip
    """Add the arrays of weights [rows, k], and what decodes them; `order` says what k runs over."""
    if layout.vector:
        out.arrays += _c_vectors.arrays(codes, index, layout)
        prim = _c_vectors.primitive(codes, layout)
        out.prims["vectors", prim["name"]] = prim
        at, count = way.scratch - _c_codes.buffer(layout), layout.rows * layout.k_stored
        out.k["coded"] = _c_vectors.call(codes, layout) | {"book": False, "runs": False, "at": at, "count": count}
        return
    if layout.slices:
        add_coded(out, index, weight, groups, layout, order, way.scratch, stored)
        return
    what = weights_text(layout, order)
    if groups == 1 and out.k["acc"] == "int32_t" and index_lists.possible(layout):
        out.k["zeros"] = _c_sparse.explained(weight, layout, out.k["n"])
    if not layout.unit:
        out.arrays.append((layout.ctype, f"w{index}", stored(weight, groups, layout), what))
        return
    stream, lists = _c_sparse.stored(weight, layout, out.k["n"])
    out.arrays.append(("uint32_t", f"w{index}", stream, what))
    out.arrays.append(("uint32_t", f"wl{index}", lists, "every 4 rows: bytes of the list, entry << 16"))
    units = stream.size // (2 * layout.unit + 1)
    out.index_bytes, out.skipped = 4 * units + lists.nbytes, weight.size - min(weight.size, 8 * layout.unit * units)


def add_coded(
    out: Printed, index: int, weight: np.ndarray, groups: int, layout: WeightLayout, order: str, scratch: int, store: Callable
) -> None:  # fmt: skip
    """Add weights [rows, k], of which slices are decoded into the end of `scratch` bytes, as indices or prefix codes of what
    `store`(weight, slices, layout) gives.
    """
    at = scratch - _c_codes.buffer(layout)
    if layout.book:
        _add_indices(out, index, weight, groups, layout, order, at, store)
        return
    flat = store(weight, groups * layout.slices, layout)
    _add_codes(out, index, _c_codes.coded(flat), layout, scratch - layout.tables)
    out.k["coded"] |= {"at": at, "count": flat.size // (groups * layout.slices)}


def _add_codes(out: Printed, index: int, found: _c_codes.Coded, layout: WeightLayout, at: int) -> None:
    """The codes of weights, their tables behind `at` bytes of other scratch, and what decodes them."""
    out.arrays += [(t, f"{n}{index}", v, what) for t, n, v, what in found.arrays]
    out.index_bytes = found.index_bytes
    weight = found.weights.dtype.name
    tables = [("values", found.values, "h", "v", weight)]
    tables += [("gaps", found.gaps, "e", "g", "uint8")] if found.gaps else []
    made = []
    for (name, code, counts, symbols, kind), size in zip(tables, found.tables, strict=True):
        entry = f"{_c_codes.ENTRY[kind]}_t"
        out.prims["codes", _SHORT[f"{kind}_t"]] = {"name": _SHORT[f"{kind}_t"], "symbol": f"{kind}_t", "entry": entry}
        made.append({
            "name": name, "codes": _SHORT[f"{kind}_t"], "counts": counts, "symbols": symbols, "entry": entry, "at": at,
            "least": code.least, "longest": code.longest,
        })  # fmt: skip
        at += size
    prim = {"w": layout.ctype, "entry": made[0]["entry"], "runs": found.gaps is not None, "per": found.per}
    name = f"{'runs' if found.gaps else 'each'}{found.per}_{_SHORT[layout.ctype]}"
    if layout.scatter:
        name = f"{_SHORT[out.k['x']]}_{_SHORT[layout.ctype]}" + ("" if found.per else "_twice")
        prim |= {"x": out.k["x"], "acc": out.k["acc"]}
    out.prims["scatter" if layout.scatter else "decode", name] = {"name": name, **prim}
    out.k["coded"] = {
        "book": False, "vectors": False, "name": name, "runs": prim["runs"], "first": found.first, "tables": made,
        "seen": (1 << found.values.longest) - 1, "far": (1 << found.gaps.longest) - 1 if found.gaps else 0,
    }  # fmt: skip


def add_scattered(out: Printed, index: int, weight: np.ndarray, layout: WeightLayout, acc: str) -> None:
    """Add the codes of weights [rows, k] that are multiplied as they are read, and what does so."""
    out.template = "scatter"
    out.k |= {"acc": acc, "w": layout.ctype, "scratch": True}
    out.skipped = int((weight == 0).sum())
    _add_codes(out, index, _c_codes.scattered(weight, layout), layout, 4 * layout.rows)


def _add_indices(
    out: Printed, index: int, weight, groups: int, layout: WeightLayout, order: str, at: int, store: Callable
) -> None:  # fmt: skip
    """Indices of weights, which are decoded behind `at` bytes of other scratch, and the decoder."""
    out.arrays += [
        (t, f"{n}{index}", v, what) for t, n, v, what in _c_book.arrays(weight, groups, layout, order, store)
    ]
    name = f"{layout.book}_{_SHORT[layout.ctype]}"
    out.prims["book", name] = {
        "name": name,
        "w": layout.ctype,
        "bits": layout.book,
        "decode": True,
        "pairs": _c_book.paired(layout),
    }
    size = layout.rows * layout.k_stored
    count = -(-size // _c_book.EIGHT) * _c_book.EIGHT
    pairs = _c_book.paired(layout)
    out.k["coded"] = {
        "book": True,
        "pairs": pairs,
        "vectors": False,
        "name": name,
        "runs": False,
        "at": at,
        "count": count,
    }


def add_multiplied(out: Printed, index: int, weight: np.ndarray, layout: WeightLayout, x: Edge, order: str) -> None:
    """Add weights [rows, k] as indices that are multiplied as they are read, and what does so."""
    xt = c_type(x.dtype)
    name = f"{layout.book}_{_SHORT[xt]}_{_SHORT[layout.ctype]}"
    out.template = "book"
    out.k |= {"acc": "int32_t", "w": "uint8_t", "scratch": True, "book": name}
    out.prims["book", name] = {"name": name, "x": xt, "w": layout.ctype, "bits": layout.book, "decode": False}
    out.arrays += [(t, f"{n}{index}", v, what) for t, n, v, what in _c_book.arrays(weight, 1, layout, order, stored)]


def add_steps(out: Printed, index: int, weight: np.ndarray, layout: WeightLayout, x: Edge, order: str) -> None:
    """Add weights [rows, k] as lists of steps, and what follows these."""
    element, xt = _c_steps.ELEMENT[layout.ctype], c_type(x.dtype)
    name = f"{_SHORT[xt]}_{_SHORT[layout.ctype]}"
    out.template = "steps"
    out.k |= {"acc": "int32_t", "w": element, "scratch": False, "steps": name, "zeros": _c_steps.explained(weight)}
    out.prims["steps", name] = {
        "name": name, "x": xt, "element": element, "acc": "int32_t", "dsp": x.dtype.itemsize == 1
    }  # fmt: skip
    steps, counts = _c_steps.stored(weight, layout), row_steps.count(weight)
    out.index_bytes, out.skipped = steps.nbytes // 2 + counts.nbytes, int((weight == 0).sum())
    out.arrays.append((element, f"w{index}", steps, _c_steps.text(order)))
    out.arrays.append((c_type(counts.dtype), f"wl{index}", counts, "steps of each row"))


def stored(weight: np.ndarray, groups: int, layout: WeightLayout) -> np.ndarray:
    """[rows, k] -> per group pairs of rows as [k_stored][2]; k in the layout's order. Weights in fields: _c_fields.stored.

    Sign extension takes bytes 0, 2 and 1, 3 of a word. Those are two k of each row of a pair; of an odd row, which
    stands alone, they are four k of its own, so that its order is the other one of the two.
    """
    if layout.bits:
        return _c_fields.stored(weight, groups, layout)
    rows, k = weight.shape
    padded = np.zeros((groups, rows // groups, layout.k_stored), layout.ctype[:-2])
    padded[:, :, :k] = weight.reshape(groups, rows // groups, k)
    swapped = padded.reshape(*padded.shape[:2], -1, 4)[..., [0, 2, 1, 3]].reshape(padded.shape)
    ordered, single = (swapped, padded) if layout.quads else (padded, swapped)
    even = rows // groups // 2 * 2
    pairs = ordered[:, :even].reshape(groups, even // 2, 2, layout.k_stored).transpose(0, 1, 3, 2)
    return np.concatenate([pairs.reshape(groups, -1), single[:, even:].reshape(groups, -1)], axis=1).ravel()


def requantizer(kernel: Kernel, acc: str, lo: int, hi: int, order=None) -> tuple[dict, dict[str, np.ndarray]]:
    """The record for the template and the arrays it reads; `lo`..`hi` bounds the accumulator."""
    rq = kernel.params["requantize"]
    if rq["form"] == "threshold":
        return _c_threshold.record(kernel, acc, order)
    affine = rq["form"] == "affine"
    constants = {"m": kernel.constants["multiplier"].astype(np.int64)}
    if affine:
        constants["c"] = kernel.constants["offset"].astype(np.int64)
    values = [_bounds(rq, int(m), c, lo, hi) for m, c in _pairs(constants)]
    narrow = _fits(values)
    shift, fn = rq["shift"], rq["form"]
    m_type = "int32_t" if _fits(constants["m"]) else "int64_t"
    if affine and narrow and acc == m_type == "int32_t" and (up := _high(constants, shift, lo, hi)) is not None:
        fn, shift = "affine_high", shift + up
        constants = {n: np.array([v << up for v in values.tolist()], object) for n, values in constants.items()}
    single = {n: int(v.flat[0]) for n, v in constants.items() if (v == v.flat[0]).all()}
    offset = single.get("c")
    if fn == "affine_high":
        rest = f"{literal(offset >> 32)}, {shift - 32}"
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
        "a": acc, "fn": fn, "rest": rest, "m": m_text, "narrow": narrow, "lo": rq["lo"], "hi": rq["hi"],
        "formula": formula, "saturate": saturation(rq["lo"], rq["hi"]),
        "args": [{"name": n, "type": types[n], "count": 1, "shared": False} for n in arrays],
    }  # fmt: skip
    if fn == "affine_high":
        record |= {"high": offset >> 32, "shift": shift - 32, "single": single.get("m")}
    return record, {n: v.astype(types[n][:-2]) for n, v in arrays.items()}


def saturation(lo: int, hi: int) -> tuple[str, int] | None:
    """The type that has exactly the range lo..hi."""
    bits = hi.bit_length()
    if bits >= 31 or bits == 0 or hi != (1 << bits) - 1:
        return None
    return ("UNSIGNED", bits) if lo == 0 else ("SIGNED", bits + 1) if lo == ~hi else None


def _fits(values) -> bool:
    """Whether int32 holds all of them."""
    return all(_INT32[0] <= v <= _INT32[1] for v in np.ravel(np.array(values, object)).tolist())


def _high(constants: dict[str, np.ndarray], shift: int, lo: int, hi: int) -> int | None:
    """By how many bits multipliers, offset and shift grow so that the high words of products suffice: the shift is 32 to 63
    bits, the low word of the offset is zero, and so is what carries from it; int32 holds the multipliers and the sums of high words.
    """
    m, c = constants["m"], constants["c"].tolist()
    if len(set(c)) > 1:
        return None
    low = (c[0] & -c[0]).bit_length() - 1 if c[0] else 32
    up = max(0, 32 - shift, 32 - low)
    scaled = [int(v) << up for v in m.tolist()]
    high = (c[0] << up) >> 32
    ends = [(v * a >> 32) + high for v in scaled for a in (lo, hi)]
    return up if shift + up < 64 and _fits([*scaled, high, *ends]) else None


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


def add_dot(out: Printed, x: Edge, layout: WeightLayout, acc: str, way: Way, rows: int) -> None:
    """Add the primitives of a dot product to `out`, and what the templates call them."""
    n, raw, paired = way.windows, not way.columns, dsp(x, layout, acc)
    xt = c_type(x.dtype)
    col = xt if raw else c_type(_column_dtype(x))
    out.k |= {"col": col, "w": layout.ctype, "acc": acc, "n": n, "dot": {}, "k_stored": layout.k_stored}
    out.k |= {"columns": way.columns, "window": way.window, "gathers": way.columns or way.window}
    out.k |= {"scratch": way.columns or way.window or layout.slices > 0, "coded": None}
    out.k["operand"] = "column" if way.columns else "window" if way.window else "x"
    out.k |= {"held": None, "fused": None, "put": None, "bits": 0, "unit": layout.unit, "per": n * layout.words // 2}
    if layout.unit:
        _add_sparse(out, layout, n, xt)
        return
    out.k["accs"] = [" = ".join(f"acc[{j * n + i}]" for i in range(n)) for j in range(2)]
    if way.columns:
        name = f"{n}_{_SHORT[xt]}" + ("" if paired else "_plain")
        out.k["expand"] = f"expand_{name}"
        made = {"name": name, "x": xt, "col": col, "n": n, "quads": layout.quads, "dsp": paired}
        out.k["put"] = f"put_{name}" if way.direct else None
        out.prims |= {(kind, name): made for kind in ["put"] * way.direct + ["expand"] * (way.window or not way.direct)}
    if layout.bits:
        _add_fields(out, layout, way, col, paired)
        return
    for c in [2] * (rows > 1) + [1] * (rows % 2):
        plain = "" if paired else f"_{acc[3:5]}"
        name = f"{'raw' if raw else n}x{c}_{_SHORT[col]}_{_SHORT[layout.ctype]}{plain}"
        out.prims["dot", name] = {
            "name": name, "n": n, "c": c, "x": col, "w": layout.ctype, "acc": acc, "dsp": paired, "raw": raw,
            "quads": layout.quads, "u": "u" if layout.ctype == "uint8_t" else "s",
        }  # fmt: skip
        out.k["dot"][c] = name


def _add_sparse(out: Printed, layout: WeightLayout, n: int, xt: str) -> None:
    """The primitives of index lists: values in pair words, and dot products of two rows, then two more, or of four."""
    name = f"{n}_{_SHORT[xt]}_{layout.words}"
    out.prims["words", name] = {
        "name": name, "x": xt, "n": n, "words": layout.words, "pairs": index_lists.PAIRS, "dsp": True,
    }  # fmt: skip
    out.k |= {"expand": f"words_{name}", "w": "uint32_t", "sparse": []}
    for following in range(1 if n == 1 else 2):
        name = f"{n}x{layout.unit}_{_SHORT[layout.ctype]}" + ("_next" if following else "")
        size, turn = _c_sparse.CODE[n, layout.unit]
        out.prims["sparse", name] = {
            "name": name, "n": n, "unit": layout.unit, "signed": layout.ctype == "int8_t", "next": following,
            "bytes": size, "turn": turn,
        }  # fmt: skip
        out.k["sparse"].append(name)


def _add_fields(out: Printed, layout: WeightLayout, way: Way, col: str, dsp: bool) -> None:
    """The primitives of weights in fields: always pairs of rows, and the sums of the windows."""
    raw, n = not way.columns, way.windows
    shape = f"{'raw' if raw else n}_{_SHORT[col]}" + ("" if dsp else "_plain")
    name = f"{layout.bits}_{shape}" + (f"_by{layout.step}" if layout.step > 1 else "")
    common = {"n": n, "x": col, "raw": raw, "quads": layout.quads, "dsp": dsp}
    out.prims["fields", name] = {"name": name, "bits": layout.bits, "step": layout.step, **common}
    out.prims["total", shape] = {"name": shape, **common}
    out.k |= {
        "bits": layout.bits,
        "fields": name,
        "total": shape,
        "first": layout.first,
        "words": _c_fields.words(layout),
    }


@dataclass(frozen=True)
class Way:
    """One way to run a dot product: `windows` side by side, in `columns` of halfwords or as they lie in memory.

    `window`: scratch for one window as it lies in memory. `scratch`: bytes of both, and of a decoded slice of weights.
    `direct`: the elements of windows inside the map go into the columns one by one.
    """

    windows: int
    columns: bool
    window: bool
    scratch: int
    direct: bool = False


def ways_of(x: Edge, layout: WeightLayout, acc: str, count: int, border: bool, split: bool, joined: bool) -> list[Way]:
    """The fastest first. `border`: some windows touch padding, so that columns are filled by way of a copy. `split`: a window's
    stretches of memory are no whole fours, so that columns are filled like this or element by element. `joined`: a window lies
    together in the input and touches no padding, so that it can be read there.
    """
    column, element = _column_dtype(x).itemsize, x.dtype.itemsize
    more = _c_codes.buffer(layout)
    if layout.steps or layout.scatter or (layout.book and not layout.slices):
        return [Way(1, False, False, more)]
    direct = split and layout.k <= _DIRECT and not layout.unit
    copied = border or (split and not direct)
    fit = [n for n in WINDOWS if n <= count]
    ways = [Way(n, True, copied, scratch(layout, n, column, copied, element) + more, direct) for n in fit]
    if not layout.unit and (x.dtype.itemsize == 1 or not dsp(x, layout, acc)):
        copied = not joined or layout.k != layout.k_stored
        ways.append(Way(1, False, copied, copied * element * layout.k_stored + more))
    return ways


def weights_text(layout: WeightLayout, order: str) -> str:
    if layout.bits:
        return _c_fields.text(layout, order)
    if layout.unit:
        return _c_sparse.text(layout, order)
    quads = ", 0,2,1,3 within four" if layout.quads else ""
    return f"weights, pairs of rows as [k][2]; k: {order}; {layout.k} padded to {layout.k_stored}{quads}"


def add_constants(out: Printed, index: int, bias, arrays) -> None:
    """Add the arrays of a dot product besides its weights: biases, short ones where weights are coded too and these fit, and
    what the requantize record has per channel.
    """
    if out.k.get("coded") and np.abs(bias.astype(np.int64)).max(initial=0) < 1 << 15:
        bias = bias.astype(np.int16)
    out.arrays.append((c_type(bias.dtype), f"b{index}", bias, "biases, with the input's zero point"))
    add_record(out, index, arrays)


def add_record(out: Printed, index: int, arrays: dict[str, np.ndarray]) -> None:
    """Add what the requantize record has per channel, and its primitive."""
    rq = out.k["rq"]
    if rq["fn"] == "threshold":
        name = f"{rq['a'][3:5]}_{rq['type'][3:-2]}"
        rq["prim"] = name
        out.prims["threshold", name] = {"name": name, "a": rq["a"], "t": rq["type"]}
    out.arrays += [(c_type(v.dtype), f"{n}{index}", v, _RECORD[n]) for n, v in arrays.items()]
