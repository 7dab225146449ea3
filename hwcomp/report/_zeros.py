"""What the report says of zeros: for each layer with some, whether a target skips them, and why."""

from __future__ import annotations

from typing import Any

from hwcomp.errors import shown
from hwcomp.report import _plots as plots
from hwcomp.report import _words as words


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """{"target", "kernel", "density", "used", "ratio": of the dense instructions or beats (None: unknown), "why", "curves"} of every
    layer whose weights have zeros worth speaking of."""
    found = []
    for kernel in report["targets"].get("mcu", {}).get("kernels", []):
        if (zeros := kernel.get("zeros")) is not None:
            forms = zeros["forms"]
            mine = [f for f in forms if f["unit"] == zeros["unit"]] or sorted(forms, key=lambda f: f["instructions"])
            ratio = mine[0]["instructions"] if mine else None
            found.append(_row("mcu", kernel["name"], zeros, zeros["used"], ratio))
    for stage in report["targets"].get("fpga", {}).get("stages", []):
        if (zeros := stage.get("sparse")) is not None:
            lanes = f"{zeros['lanes']} lane{'s' * (zeros['lanes'] != 1)}"
            used = f"skips beats, {lanes}" if zeros["skips"] else f"all beats, {lanes}"
            found.append(_row("fpga", stage["kernel"], zeros, used, zeros["beats"]))
    return found


def _row(target: str, kernel: str, zeros: dict[str, Any], used: str, ratio: float | None) -> dict[str, Any]:
    return {
        "target": target, "kernel": shown(kernel), "density": zeros["density"], "used": used, "ratio": ratio,
        "why": zeros["why"], "curves": zeros["curves"],
    }  # fmt: skip


def values(report: dict[str, Any]) -> list[dict[str, Any]]:
    """For the page: a group per target."""
    groups = []
    for target, what in (("mcu", "instructions"), ("fpga", "beats for a pixel")):
        mine = [r for r in rows(report) if r["target"] == target]
        if mine:
            panels = [(r["kernel"], plots.break_even(r["density"], r["ratio"], r["curves"])) for r in mine]
            shown_ = [
                {**r, "density": words.share(r["density"]), "ratio": "" if r["ratio"] is None else f"{r['ratio']:.2f}"}
                for r in mine
            ]
            panels = [p for p in panels if p[1] is not None]
            names = list(dict.fromkeys(line["name"] for _, p in panels for line in p["lines"]))
            groups.append({"target": target, "what": what, "rows": shown_, "panels": panels, "names": names})
    return groups
