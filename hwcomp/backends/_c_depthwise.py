"""Depthwise convolutions of the C back end: window by window, or four windows at a time over a spread copy of four channels."""

from __future__ import annotations

from typing import Any

from hwcomp.backends import _c_dot as dot
from hwcomp.backends._c_dot import Printed, acc_type, requantizer
from hwcomp.plan.memory import WeightLayout, Work
from sw_ref.program import Edge, Kernel

_OFFSET = 4095  # farthest address in an instruction
_BYTES = ("int8_t", "uint8_t")


def is_depthwise(kernel: Kernel) -> bool:
    m, cg = kernel.constants["weight"].shape[:2]
    return cg == 1 and kernel.params["groups"] == m > 1


def work(kernel: Kernel, x: Edge, k: dict[str, Any]) -> Work:
    """`k`: _c_common.map_values."""
    taps, w_type = k["kh"] * k["kw"], dot.weight_type(kernel.constants["weight"])
    weights = WeightLayout(k["m"], taps, taps, k["m"], False, w_type)
    least = taps * k["c"] * x.dtype.itemsize if k["border"] else 0
    spread = _spread(kernel, k, w_type)
    return Work((max(least, spread["bytes"]), least) if spread else (least,), weights)


def add(out: Printed, kernel: Kernel, x: Edge, index: int, layout: WeightLayout, choice: int) -> None:
    """Add the primitives and arrays of layer `index`; `choice` as in the sizes of scratch of `work`."""
    out.template, k = "depthwise2d", out.k
    weight, w, acc = kernel.constants["weight"].reshape(k["m"], -1).T, layout.ctype, acc_type(kernel)
    mac = f"{x.dtype.name}_{w[:-2]}_{acc[:-2]}"
    dsp = k["x"] in _BYTES and w in _BYTES and acc == "int32_t"
    unsigned = {"ux": "u" if k["x"] == "uint8_t" else "s", "uw": "u" if w == "uint8_t" else "s"}
    out.prims["mac", mac] = {"name": mac, "x": k["x"], "w": w, "acc": acc, "dsp": dsp} | unsigned
    k |= {"mac": mac, "acc": acc, "w": w, "groups": 1, "scratch": k["border"], "spread": None}
    out.arrays.append((w, f"w{index}", weight, "weights, [kernel row][kernel column][channel]"))
    if choice == 0 and (spread := _spread(kernel, k, w)):
        k |= {"spread": spread, "scratch": True}
        planes = f"{k['x'][:-2]}_{w[:-2]}"
        out.prims["planes", planes] = {"name": planes, "x": k["x"], "w": w} | unsigned
        fours = {n: k[n] for n in ("y", "kh", "kw", "sh", "sw", "oh", "ow", "c")} | {
            "width": spread["width"], "high": k["rq"]["high"], "shift": k["rq"]["shift"], "saturate": k["rq"]["saturate"],
        }  # fmt: skip
        name = "_".join(str(v).replace("-", "n") for v in fours.values() if not isinstance(v, tuple))
        name += "_" + "_".join(map(str, fours["saturate"]))
        out.prims["fours", name] = fours | {"name": name}
        spread |= {"planes": planes, "fours": name}


def _spread(kernel: Kernel, k: dict[str, Any], w_type: str) -> dict[str, Any] | None:
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
    return {
        "width": width, "height": height, "rows": rows, "columns": columns, "words": 2 * height * width,
        "bytes": 8 * (height * width + k["kh"] * k["kw"] + 4), "pad": (k["pad"] & 0xFFFF) * 0x10001,
        "head": 2 * (k["pt"] * width + k["pl"]), "gap": 2 * (width - columns),
        "tail": 2 * ((height - k["pt"] - rows) * width + width - k["pl"] - columns),
    }  # fmt: skip
