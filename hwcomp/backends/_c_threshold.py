"""The threshold form of the requantize record in C: lo + step * (how many thresholds an accumulator reaches)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwcomp.backends._c_text import literal
from sw_ref.program import Kernel


def record(kernel: Kernel, acc: str, order=None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record for the template and the arrays it reads, in the order of the channels in memory."""
    rq = kernel.params["requantize"]
    t, d = kernel.constants["threshold"], kernel.constants["descending"]
    t, d = (v if order is None or len(v) == 1 else v[order] for v in (t, d))
    count, kind = t.shape[1], "int64_t" if acc == "int64_t" else _type(t)
    shared = bool((t == t[:1]).all())
    args, arrays = [], {}
    if count == 1 and shared:
        threshold = literal(int(t.flat[0]), acc)
    else:
        threshold = "t"
        args.append({"name": "t", "type": f"const {kind} *" if count > 1 else kind, "count": count, "shared": shared})
        arrays["t"] = (t[:1] if shared else t).astype(kind[:-2])
    if 0 < d.sum() < len(d):
        args.append({"name": "d", "type": "uint8_t", "count": 1, "shared": False})
        arrays["d"] = d.astype(np.uint8)
    shown = f"{rq['lo']} + {rq['step']} * count(a >= t[channel][0..{count - 1}])"
    return {
        "a": acc, "fn": "threshold", "t": threshold, "count": count, "lo": rq["lo"], "step": rq["step"], "args": args,
        "falls": "d" if "d" in arrays else int(d.any()), "top": rq["lo"] + rq["step"] * count, "type": kind,
        "formula": shown + (" from the other end where d is set" if d.any() else ""),
    }, arrays  # fmt: skip


def _type(values: np.ndarray) -> str:
    return next(f"{n}_t" for n in ("int8", "int16", "int32", "int64") if (values == values.astype(n)).all())
