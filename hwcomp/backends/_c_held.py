"""Convolutions of the C back end with few products per output, on cores with DSP: each window is held in registers while all rows of
weights, which a record in scratch has as pairs of halfwords, pass by.
"""

from __future__ import annotations

from typing import Any

from hwcomp.backends import _c_dot as dot
from hwcomp.backends._c_dot import Printed, requantizer
from hwcomp.backends._c_text import short_name
from hwcomp.plan.memory import WeightLayout
from sw_ref.program import Edge, Kernel

_WORDS = 8  # of a window, at most
_WINDOWS = 16  # at least: the record is made for each call
_OFFSET = 4095  # farthest address in an instruction
_UNROLLED = 4  # rows of weights, at most
_BYTES = ("int8_t", "uint8_t")
_ACC, _HIGH = 10, 9  # registers of the sum and, where a window leaves one free, of the requantization's constant
_QUADS = (0, 2, 1, 3)
Pair = tuple[int, int | None]  # of k: low and high halfword


def of(kernel: Kernel, x: Edge, k: dict[str, Any], layout: WeightLayout) -> dict[str, Any] | None:
    """The values of the primitives and of the template, with "scratch" in bytes; None where they can't take the layer.
    `k`: _c_common.map_values.
    """
    weight, p = kernel.constants["weight"], kernel.params
    (m, cg, kh, kw), acc = weight.shape, dot.acc_type(kernel)
    rows, special = m // p["groups"], layout.bits or layout.unit or layout.slices or layout.winograd
    bytes_ = {k["x"], k["y"], layout.ctype} <= set(_BYTES) and dot.dsp(x, layout, acc)
    if special or not bytes_ or rows % 2 or k["oh"] * k["ow"] < _WINDOWS or cg * kh * kw > 2 * _WORDS:
        return None
    rq = requantizer(kernel, acc, p["acc_lo"], p["acc_hi"])[0]
    if rq["fn"] != "affine_high" or not rq["saturate"] or rq["single"] is not None:
        return None
    width = (k["ow"] - 1) * k["sw"] + (kw - 1) * k["dw"] + 1 if k["border"] else k["width"]
    height = (k["oh"] - 1) * k["sh"] + (kh - 1) * k["dh"] + 1
    loads, pairs = _window(k, cg, width * k["c"])
    if len(pairs) > _WORDS or max(offset for _, offset, *_ in loads) > _OFFSET:
        return None
    chunks, record = _chunks(pairs)
    across, down = k["sw"] * k["c"], k["sh"] * width * k["c"]
    oh, ow = (1, k["oh"] * k["ow"]) if down == k["ow"] * across else (k["oh"], k["ow"])
    copied = (min(k["height"], height - k["pt"]), min(k["width"], width - k["pl"]))
    if min(copied) < 1:  # all windows lie in the padding
        return None
    return {
        "loads": loads, "words": len(pairs), "chunks": chunks, "record": record, "k_stored": layout.k_stored,
        "rows": rows, "unrolled": next(n for n in range(_UNROLLED, 0, -1) if rows % n == 0), "m": m, "oh": oh, "ow": ow, "across": across,
        "down": down, "high": rq["high"], "shift": rq["shift"], "saturate": rq["saturate"], "ux": "u" if k["x"] == "uint8_t" else "s",
        "x": k["x"], "y": k["y"], "w": layout.ctype, "width": width, "height": height, "copied": copied,
        "scratch": 4 * rows * len(record) + (width * height * k["c"] + 4 if k["border"] else 0),
    }  # fmt: skip


def add(out: Printed, held: dict[str, Any]) -> None:
    """Let a layer run this way: `held` from `of`."""
    k = out.k
    name = short_name(f"{k['kh']}x{k['kw']}x{k['cg']}", held.values())
    out.prims["held", name] = held | {"name": name}
    k |= {"held": held | {"name": name}, "scratch": True}


def _window(k: dict[str, Any], cg: int, pitch: int) -> tuple[list[tuple], list[Pair]]:
    """How a window comes into registers: [(what, offset, register)], and the pairs of k in registers 2, 3, ...

    "word" makes pairs of a word's bytes 0, 2 and 1, 3 in this register and the next; "byte" loads a halfword; "upper" loads one and
    puts it into the upper half. Windows of a copy may read behind a stretch of three: nothing but their own product meets that.
    """
    whole = k["groups"] == 1 and (k["dw"] == 1 or k["kw"] == 1)
    run, runs = (cg * k["kw"], 1) if whole else (cg, k["kw"])
    loads: list[tuple] = []
    pairs: list[Pair] = []
    single: int | None = None  # index of a pair with one k

    def add_single(at: int, load: tuple[str, int]) -> None:
        nonlocal single
        if single is None:
            single = len(pairs)
            pairs.append((at, None))
            loads.append((load[0], load[1], single + 2))
        else:
            pairs[single] = (pairs[single][0], at)
            loads.append((f"{load[0]} upper", load[1], single + 2))
            single = None

    for ky in range(k["kh"]):
        for kx in range(runs):
            first, offset = (ky * runs + kx) * run, ky * k["dh"] * pitch + kx * k["dw"] * k["c"]
            for at in range(0, run // 4 * 4, 4):
                loads.append(("word", offset + at, len(pairs) + 2))
                pairs += [(first + at, first + at + 2), (first + at + 1, first + at + 3)]
            rest = range(run // 4 * 4, run)
            if len(rest) == 3 and k["border"]:
                at = rest[0]
                pairs.append((first + at, first + at + 2))
                loads.append(("even", offset + at, len(pairs) + 1))
                add_single(first + at + 1, ("odd", offset + at))
            else:
                for at in rest:
                    add_single(first + at, ("byte", offset + at))
    return loads, pairs


def _chunks(pairs: list[Pair]) -> tuple[list[dict[str, Any]], list]:
    """The loads of a row's record: [{"registers", "products": [(register of weights, register of the window)]}], the last with
    "m" and "high"; and what the record holds: "b", pairs of k, "m", "h".
    """
    free = [*range(2 + len(pairs), _HIGH), 11, 12, 14]
    items: list = [*range(len(pairs)), "m", *(["h"] if len(pairs) == _WORDS else [])]
    chunks: list[dict[str, Any]] = []
    record: list = []
    places: dict = {"h": _HIGH}
    while items:
        some, items = items[: len(free)], items[len(free) :]
        held = dict(zip(free, some, strict=False)) | ({_ACC: "b"} if not chunks else {})
        order = sorted(held)
        places |= {item: register for register, item in held.items()}
        record += [pairs[held[r]] if isinstance(held[r], int) else held[r] for r in order]
        products = [(r, held[r] + 2) for r in order if isinstance(held[r], int)]
        chunks.append({"registers": order, "products": products})
    return [*chunks[:-1], chunks[-1] | {"m": places["m"], "high": places["h"]}], record
