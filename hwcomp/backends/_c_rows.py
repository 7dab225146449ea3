"""Dot products of the C back end on cores with DSP whose sums never leave the registers: four windows by two rows of weights."""

from __future__ import annotations

from typing import Any

from hwcomp.backends._c_dot import Printed
from hwcomp.backends._c_text import short_name

_TURN = 8  # pairs of k in a turn of prim/c/turns.c.j2
_STEP, _START = 52, 56  # bytes of code of a step of a turn, and of what comes before the turns
_MOST = 255  # pairs of k: addresses are offsets in an instruction


def add(out: Printed) -> None:
    """Let the pairs of rows of a dot product run this way where its primitives can: bytes by bytes, four windows of columns, a
    requantization by the high words of products and saturation.
    """
    k, rq = out.k, out.k["rq"]
    pairs, length = k["rows"] // 2, 2 * k["k_stored"]
    steps = -(-k["k"] // 4) * 2 - (k["k"] % 4 == 1)  # of four k, 0 and 2 are a pair, and 1 and 3
    plain = k["n"] == 4 and not k["bits"] and not k["unit"] and not k["coded"] and k["col"] == "int16_t"
    small = k["y"] in ("int8_t", "uint8_t", "int16_t", "uint16_t") and 2 <= steps <= _MOST
    dsp = plain and out.prims.get(("dot", k["dot"].get(2)), {}).get("dsp") and k["x"] in ("int8_t", "uint8_t")
    if not (dsp and small and rq["fn"] == "affine_high" and rq["narrow"] and rq["saturate"]):
        return
    high, shift, m = rq["high"], rq["shift"], rq["single"]
    prim: dict[str, Any] = {
        "y": k["y"], "x": k["col"], "w": k["w"], "steps": steps, "spare": length - 4 * steps, "pairs": pairs,
        "length": pairs * length, "m": m, "high": high, "shift": shift, "saturate": rq["saturate"], "behind": k["groups"] > 1,
        "entry": _START + (1 - steps) % _TURN * _STEP,
    }  # fmt: skip
    name = short_name(f"{2 * pairs}x{k['k']}", prim.values())
    turns = k["w"][:-2]
    out.prims["turns", turns] = {"name": turns, "u": "u" if k["w"] == "uint8_t" else "s"}
    out.prims["rows", name] = prim | {"name": name}
    k["fused"] = {"name": name, "turns": turns}
