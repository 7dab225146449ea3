"""Dot products of the C back end on cores with DSP whose sums never leave the registers: four windows by two rows of weights."""

from __future__ import annotations

from typing import Any

from hwcomp.backends._c_dot import Printed
from hwcomp.backends._c_text import short_name
from hwcomp.plan.index_lists import ROWS

_TURN = 8  # pairs of k in a turn of prim/c/turns.c.j2
_STEP, _START = 52, 56  # bytes of code of a step of a turn, and of what comes before the turns
_MOST = 255  # pairs of k: addresses are offsets in an instruction
_BACK = 20  # where the frame of prim/c/lists.c.j2 has the first way back


def add(out: Printed) -> None:
    """Let the pairs of rows of a dot product run this way where its primitives can: bytes by bytes, four windows of columns, a
    requantization by the high words of products and saturation.
    """
    k, rq = out.k, out.k["rq"]
    plain = (
        k["n"] == 4 and not k["bits"] and not k["coded"] and k["col"] == "int16_t" and k["x"] in ("int8_t", "uint8_t")
    )
    small = k["y"] in ("int8_t", "uint8_t", "int16_t", "uint16_t")
    if not (plain and small and rq["fn"] == "affine_high" and rq["narrow"] and rq["saturate"]):
        return
    requantized = {"y": k["y"], "m": rq["single"], "high": rq["high"], "shift": rq["shift"], "saturate": rq["saturate"]}
    if k["unit"]:
        _add_lists(out, requantized)
    elif out.prims.get(("dot", k["dot"].get(2)), {}).get("dsp"):
        _add_pairs(out, requantized)


def _add_pairs(out: Printed, requantized: dict[str, Any]) -> None:
    k = out.k
    pairs, length = k["rows"] // 2, 2 * k["k_stored"]
    steps = -(-k["k"] // 4) * 2 - (k["k"] % 4 == 1)  # of four k, 0 and 2 are a pair, and 1 and 3
    if not 2 <= steps <= _MOST:
        return
    prim = requantized | {
        "x": k["col"], "w": k["w"], "steps": steps, "spare": length - 4 * steps, "pairs": pairs, "length": pairs * length,
        "behind": k["groups"] > 1, "entry": _START + (1 - steps) % _TURN * _STEP,
    }  # fmt: skip
    name = short_name(f"{2 * pairs}x{k['k']}", prim.values())
    turns = k["w"][:-2]
    out.prims["turns", turns] = {"name": turns, "u": "u" if k["w"] == "uint8_t" else "s"}
    out.prims["rows", name] = prim | {"name": name}
    k["fused"] = {"name": name, "turns": turns}


def _add_lists(out: Printed, requantized: dict[str, Any]) -> None:
    """Index lists: what walks each of the two pairs of rows of a list, and what goes from list to list."""
    k = out.k
    for back, name in enumerate(k["sparse"]):
        prim = out.prims["sparse", name]
        fields = {"unit": prim["unit"], "next": prim["next"], "turn": prim["turn"], "u": "s" if prim["signed"] else "u"}
        out.prims["walk", name] = fields | {"name": name, "back": _BACK + 4 * back}
    prim = requantized | {"unit": k["unit"], "count": k["rows"] // ROWS}
    name = short_name(f"{k['rows']}x{k['unit']}", prim.values())
    out.prims["lists", name] = prim | {"name": name}
    k["fused"] = {"name": name}
