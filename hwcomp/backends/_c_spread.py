"""Depthwise convolutions of the C back end on cores with DSP: four windows at a time, over a spread copy of four channels."""

from __future__ import annotations

from typing import Any

from hwcomp.backends._c_dot import Printed, acc_type, requantizer
from hwcomp.backends._c_text import short_name
from sw_ref.program import Kernel

_OFFSET = 4095  # farthest address in an instruction
_BYTES = ("int8_t", "uint8_t")


def of(kernel: Kernel, k: dict[str, Any], w_type: str) -> dict[str, Any] | None:
    """The copy of four channels, [height][width] of two words: None where the primitives can't take the layer."""
    width, height = (k["ow"] - 1) * k["sw"] + k["kw"], (k["oh"] - 1) * k["sh"] + k["kh"]
    bytes_ = {k["x"], k["y"], w_type} <= set(_BYTES) and acc_type(kernel) == "int32_t"
    far = 8 * ((k["kh"] - 1) * width + 3 * k["sw"] + k["kw"]) > _OFFSET or 4 * k["c"] > _OFFSET
    if not bytes_ or far or k["kw"] > 3 or k["ow"] < 4 or k["c"] < 4 or (k["dh"], k["dw"]) != (1, 1):
        return None
    rq = requantizer(kernel, "int32_t", kernel.params["acc_lo"], kernel.params["acc_hi"])[0]
    if rq["fn"] != "affine_high" or not rq["saturate"] or rq["single"] is not None:
        return None
    rows, columns = min(k["height"], height - k["pt"]), min(k["width"], width - k["pl"])
    if min(rows, columns) < 1:  # all windows lie in the padding
        return None
    return {
        "width": width, "height": height, "rows": rows, "columns": columns, "words": 2 * height * width,
        "bytes": 8 * (height * width + k["kh"] * k["kw"] + 4), "pad": (k["pad"] & 0xFFFF) * 0x10001,
        "head": 2 * (k["pt"] * width + k["pl"]), "gap": 2 * (width - columns),
        "tail": 2 * ((height - k["pt"] - rows) * width + width - k["pl"] - columns),
    }  # fmt: skip


def add(out: Printed, spread: dict[str, Any], unsigned: dict[str, str]) -> None:
    """Let a layer run this way: `spread` from `of`, `unsigned`: "u" of the extension of values and weights that have no sign."""
    k = out.k
    planes = f"{k['x'][:-2]}_{k['w'][:-2]}"
    out.prims["planes", planes] = {"name": planes, "x": k["x"], "w": k["w"]} | unsigned
    fours = {n: k[n] for n in ("y", "kh", "kw", "sh", "sw", "oh", "ow", "c")} | {
        "width": spread["width"], "high": k["rq"]["high"], "shift": k["rq"]["shift"], "saturate": k["rq"]["saturate"],
    }  # fmt: skip
    name = short_name(f"{k['kh']}x{k['kw']}", fours.values())
    out.prims["fours", name] = fours | {"name": name}
    k |= {"spread": spread | {"planes": planes, "fours": name}, "scratch": True}
