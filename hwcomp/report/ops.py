"""The operator x target matrix, from the registry: nothing in it is written by hand."""

from __future__ import annotations

from typing import Any

from hwcomp.registry import BACKENDS, OPS

_IMPORTED = {  # ONNX operators that the front end turns into another operator of the graph
    "Gemm": "Dense", "MatMul": "Dense", "Relu": "Clip", "Flatten": "Reshape", "Dropout": "Identity", "Constant": None,
}  # fmt: skip


def matrix() -> dict[str, Any]:
    """{"targets": [...], "operators": {name: {"targets": {target: bool}, "note": text}}} for every ONNX operator taken."""
    targets = list(BACKENDS)
    rows = {}
    for name in OPS:
        if not OPS[name].importable:
            continue
        becomes = _IMPORTED.get(name, name)
        entry = OPS[becomes] if becomes else None
        kernels = entry.kernels if entry else ()
        note = entry.note if entry else "folded"
        can = {t: not kernels or set(kernels) <= BACKENDS[t].kinds for t in targets}
        rows[name] = {"targets": can, "kernels": list(kernels), "note": note}
    return {"targets": targets, "operators": rows}


def matrix_text() -> str:
    data = matrix()
    width = max(len(n) for n in data["operators"])
    lines = [f"{'operator':{width}}  " + "  ".join(f"{t:5}" for t in data["targets"]) + "  becomes"]
    for name, row in data["operators"].items():
        marks = "  ".join(f"{'yes' if row['targets'][t] else 'no':5}" for t in data["targets"])
        text = ", ".join([*row["kernels"], *([row["note"]] if row["note"] else [])])
        lines.append(f"{name:{width}}  {marks}  {text}")
    return "\n".join(line.rstrip() for line in lines)
