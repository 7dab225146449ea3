"""Geometry of the report's plots, as fractions of the width; the templates draw them."""

from __future__ import annotations

from math import floor, log10
from typing import Any

from hwcomp.errors import shown
from hwcomp.report import waterfall as stages_
from hwcomp.report._words import end, number, share

ROW = 22  # pixels of one step of the memory map
INTERVAL_AT = 0.94  # where the interval line stands in the plot of the beats
_RATES = (-12, 0)  # decades of the plot of differing accumulators
_CHARACTER, _WIDE, _NARROW = 6.8, 520, 250  # pixels: of a character in a label; the least width of a map


def fraction(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def rate_position(part: int, total: int) -> float:
    """Where a rate stands on the logarithmic axis; 0 where nothing differs."""
    if not part or not total:
        return 0.0
    low, high = _RATES
    return min(max((log10(part / total) - low) / (high - low), 0.02), 1.0)


def rate_ticks() -> list[tuple[float, str]]:
    low, high = _RATES
    return [((e - low) / (high - low), f"1e{e}" if e else "all") for e in range(low, high + 1, 3)]


def ticks(top: float, count: int = 4) -> list[tuple[float, str]]:
    """Round values from 0 to `top`, about `count` steps, with their places."""
    if top <= 0:
        return [(0.0, "0")]
    raw = top / count
    unit = 10 ** floor(log10(raw))
    step = max(1, round(next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw)))
    return [(v / top, number(v)) for v in range(0, int(top) + 1, step)]


def range_bar(lo: int, hi: int, zero: int, bits: int, signed: bool) -> dict[str, float]:
    """Where the stored range and the zero point lie in the type."""
    least = -(1 << (bits - 1)) if signed else 0
    span = (1 << bits) - 1
    at = [min(max((v - least) / span, 0.0), 1.0) for v in (lo, hi, zero)]
    return {"left": at[0], "width": at[1] - at[0], "zero": at[2]}


def waterfall(stages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Bars of the weights' bytes, stage by stage: what is left, of this what is indices, and what the stage took away. The stored
    forms of several targets all follow the last stage before them. None without weights."""
    if not stages or not stages[0]["bytes"]:
        return None
    whole, before = stages[0]["bytes"], stages[0]["bytes"]
    top = max(s["bytes"] for s in stages)
    rows = []
    for s in stages:
        size, index = s["bytes"], s["index_bytes"]
        rows.append(
            {
                "stage": shown(s["stage"]), "what": stages_.WORDS.get(s["stage"], ""), "bytes": size, "index": index,
                "at": (size - index) / top, "index_at": index / top, "from": before / top, "share": share(size / whole),
                "weights": s["weights"], "zeros": s["zeros"], "macs": s["macs"], "constants": s["constant_bytes"],
            }
        )  # fmt: skip
        before = before if s["stage"] in stages_.STORED else size
    names = stages_.layers(stages)
    return {
        "rows": rows, "ticks": ticks(top), "names": [shown(s["stage"]) for s in stages],
        "layers": [{"node": end(n), "bytes": [s["layers"].get(n, 0) for s in stages]} for n in names],
        "sums": [s["bytes"] for s in stages],
    }  # fmt: skip


PANEL = (200, 110, 1.25)  # pixels of a break-even plot, and the largest ratio in it


def break_even(density: float, ratio: float | None, curves: dict[str, list[float]]) -> dict[str, Any] | None:
    """A panel: curves over density 0 to 1, in even steps up to 1, and this layer's point. None where nothing is known."""
    if ratio is None or not curves:
        return None
    wide, high, top = PANEL

    def place(x: float, y: float) -> tuple[float, float]:
        return round(x * wide, 1), round((1 - min(y, top) / top) * high, 1)

    lines = [
        {"name": name, "points": " ".join("{},{}".format(*place((i + 1) / len(ys), y)) for i, y in enumerate(ys))}
        for name, ys in curves.items()
    ]
    x, y = place(density, ratio)
    return {"lines": lines, "x": x, "y": y, "one": place(0, 1)[1], "half": place(0, 0.5)[1], "wide": wide, "high": high}


def memory_map(mcu: dict[str, Any], kernels: list[str]) -> dict[str, Any] | None:
    """Rows of steps and boxes of buffers: arena offset to the right, execution downwards. None without buffers."""
    buffers, arena = mcu.get("buffers"), mcu["arena_bytes"]
    if not buffers or not arena:
        return None
    first = min(0, *(b["first"] for b in buffers))
    last = max(len(kernels) - 1, *(b["last"] for b in buffers))
    live = {t: sum(b["bytes"] for b in buffers if b["first"] <= t <= b["last"]) for t in range(first, last + 1)}
    most = max(live.values())
    names = {-1: "load inputs", len(kernels): "store outputs"}
    rows = [
        {"name": kernels[t] if 0 <= t < len(kernels) else names.get(t, str(t)), "live": n, "peak": n == most}
        for t, n in live.items()
    ]
    return {
        "rows": rows, "height": ROW * len(rows), "row": ROW, "ticks": ticks(arena), "peak": most,
        "boxes": [_box(b, arena, first) for b in buffers],
    }  # fmt: skip


def _box(b: dict[str, Any], arena: int, first: int) -> dict[str, Any]:
    owner = shown(b["kernel"] or b["name"], 40)
    kind = "tensor" if b["name"] else "scratch"
    width = b["bytes"] / arena
    last = "" if b["last"] == b["first"] else f" to {b['last']}"
    what = f"'{shown(b['name'], 60)}'" if b["name"] else "scratch"
    words = owner if b["name"] else f"{owner} scratch"
    labels = [f"{words}  {number(b['bytes'])}", words, number(b["bytes"])]
    return {
        "x": b["offset"] / arena, "width": width, "y": ROW * (b["first"] - first),
        "height": ROW * (b["last"] - b["first"] + 1), "kind": kind,
        "title": f"{owner}: {what}, {number(b['bytes'])} bytes at {number(b['offset'])}, step {b['first']}{last}",
        "wide": _fitting(labels, width * _WIDE), "narrow": _fitting(labels, width * _NARROW),
    }  # fmt: skip


def _fitting(labels: list[str], pixels: float) -> str:
    return next((text for text in labels if len(text) * _CHARACTER + 12 <= pixels), "")
