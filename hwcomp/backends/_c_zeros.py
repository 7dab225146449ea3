"""What the report says of zeros in C: for each layer with some, the forms that there are, what the plan expects of them, and which
one is taken. hwcomp.backends._c_choice chooses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwcomp.plan import index_lists as sparse
from hwcomp.plan.memory import WeightLayout
from sw_ref.program import Kernel

FEW = 0.1  # zeros that the report speaks of
_NAMES = {sparse.QUAD: "4 outputs x 4 inputs", sparse.PAIR: "4 outputs x 2 of 4 inputs"}
CURVE = tuple(i / 20 for i in range(1, 21))
"""Densities of the break-even plot."""


def of(kernel: Kernel, rows: np.ndarray, layout: WeightLayout | None, windows: int, form: str) -> dict[str, Any] | None:
    """Of weights `rows` [M, K] as they lie in memory, stored as `layout` in the form that the report calls `form`, against
    `windows` of them side by side; None of a layer without zeros. Instructions are those of a block of windows."""
    density = float(np.count_nonzero(rows)) / rows.size
    if density > 1 - FEW:
        return None
    facts = {"density": round(density, 4), "used": form, "unit": layout.unit if layout else 0}
    if why := _impossible(kernel, layout):
        return {**facts, "forms": [], "curves": {}, "why": f"no index lists: {why}"}
    plain = WeightLayout(len(rows), rows.shape[1], -(-rows.shape[1] // 4) * 4, 2, True, layout.ctype)
    dense, *others = sparse.forms(rows, plain.k_stored, windows)
    found = [
        {
            "form": f"index lists, {_NAMES[f.unit]}", "unit": f.unit, "instructions": round(f.instructions / dense.instructions, 4),
            "bytes": round(f.bytes / dense.bytes, 4),
        }
        for f in others
    ]  # fmt: skip
    curves = {f["form"]: sparse.curve(len(rows), plain.k_stored, windows, f["unit"], CURVE) for f in found}
    return {**facts, "forms": found, "curves": curves, "why": _why(found, layout)}


def _impossible(kernel: Kernel, layout: WeightLayout | None) -> str:
    if kernel.params.get("groups", 1) > 1:
        return "the layer has groups"
    if layout is None or kernel.params["acc_bits"] > 32 or layout.ctype not in ("int8_t", "uint8_t"):
        return "its products are not those of bytes"
    if layout.bits:
        return f"its weights are fields of {layout.bits} bits"
    if layout.rows * max(1, layout.slices) % sparse.ROWS:
        return f"{sparse.ROWS} outputs share a list, it has {layout.rows * max(1, layout.slices)}"
    if not layout.quads:
        return "its inputs have more than 8 bits"
    return ""


def _why(found: list[dict[str, Any]], layout: WeightLayout) -> str:
    best = min(found, key=lambda f: f["instructions"])
    if layout.unit:
        mine = next(f for f in found if f["unit"] == layout.unit)
        return f"{mine['instructions']:.2f} of the dense kernel's instructions, {mine['bytes']:.2f} of its bytes"
    text = (
        f"{best['form']} would take {best['instructions']:.2f} of the instructions and {best['bytes']:.2f} of the bytes"
    )
    if layout.steps or layout.book:
        return text
    if layout.slices or layout.scatter:
        return f"{text}, codes fewest bytes"
    if best["instructions"] < 1:
        return f"{text}: faster, but larger (--c-weights fast takes it)"
    return text
