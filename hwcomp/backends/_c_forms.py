"""How the C back end stores the weights of each layer, and why: for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwcomp.backends._c_dot import Printed
from hwcomp.plan.index_lists import QUAD
from hwcomp.plan.memory import Step
from sw_ref.program import Kernel

_CODED = "wvhge"  # first letters of arrays that hold weights, or codes and what belongs to them
_FLOAT = 4  # bytes of a float32 weight, which the saving is measured against
_FEW = 16  # neighbouring values that fields hold
# Instructions per product on a Cortex-M4 (benchmarks/few_bits.py): what the choice rests on.
_PLANE, _MASKED, _FIELDS = "0.28", "0.33", "0.88 to 1.6"


def of(kernel: Kernel, step: Step, printed: Printed) -> dict[str, Any] | None:
    """{"form", "why", "weights", "skipped": of these zeros that no product is made of, "bytes", "index_bytes": of these what says where
    weights lie, "saving": times less than float, "stages"} of a layer with weights; None of another."""
    if "weight" not in kernel.constants:
        return None
    weight = np.concatenate([kernel.constants[n].ravel() for n in ("weight", "recurrent") if n in kernel.constants])
    stored = stored_bytes(printed)
    form, why = _form(kernel, step, printed)
    return {
        "form": form, "why": why, "weights": int(weight.size), "skipped": printed.skipped, "bytes": stored,
        "index_bytes": printed.index_bytes, "saving": round(_FLOAT * weight.size / stored, 1), "stages": stages(weight),
    }  # fmt: skip


def stored_bytes(printed: Printed) -> int:
    """Bytes of a kernel's arrays of weights, with the tables of their codes."""
    letters = _CODED if printed.k.get("coded") or printed.k.get("book") else "w"
    return int(sum(np.dtype(t[:-2]).itemsize * v.size for t, n, v, _ in printed.arrays if n[0] in letters))


def stages(weight: np.ndarray) -> dict[str, int]:
    """Bytes of weights as float32, as integers, without zeros, and as indices: what comes before codes, each with its overhead.

    Without zeros each weight has the distance to it in a byte, and distances beyond 255 a zero of their own (Deep Compression
    has 5 or 8 bits). Indices are as wide as the values that are not 0 ask for, whose table counts.
    """
    flat, size = (
        weight.ravel(),
        -(-max(int(weight.max()).bit_length() + 1, (~int(weight.min())).bit_length() + 1, 8) // 8),
    )
    values = np.unique(flat[flat != 0])
    distances = np.diff(np.concatenate([[-1], np.flatnonzero(flat)]))
    kept = int((1 + (distances - 1) // 256).sum())
    index = max(1, len(values) - 1).bit_length()
    return {
        "float": _FLOAT * flat.size, "integers": size * flat.size, "sparse": kept * (size + 1),
        "shared": -(-kept * (8 + index) // 8) + size * len(values),
    }  # fmt: skip


def _form(kernel: Kernel, step: Step, printed: Printed) -> tuple[str, str]:
    if printed.template == "xnor":
        planes, masked = printed.k["planes"], bool(printed.k["masked"])
        each = _MASKED if masked else _PLANE
        form = "two bit planes, sign and mask" if masked else "one bit each"
        inputs = f"{planes} planes of bits" if planes > 1 else "one bit each"
        return form, f"inputs of {inputs}: {each} instructions per product and plane, packed products take {_FIELDS}"
    if step.weights is None:
        types = dict.fromkeys(t for t, n, *_ in printed.arrays if n[0] == "w")
        return " and ".join(types), "every step multiplies them anew"
    if step.weights.book:
        return _indices(step, printed)
    if coded := printed.k.get("coded"):
        if step.weights.scatter:
            how = f"multiplied as they are read, with {4 * step.weights.rows} bytes of sums"
        else:
            size = coded["count"] * np.dtype(step.weights.ctype[:-2]).itemsize
            how = f"{_part(printed)} at a time are decoded into {size} bytes"
        if coded["vectors"]:
            stages = f", {coded['stages']} stages" if coded["stages"] > 1 else ""
            what = f"indices of {coded['bits']} bits for {coded['size']} weights{stages}"
            return what, f"few vectors, codebooks included; {how} of the arena"
        what = "Huffman codes of distances and weights" if coded["runs"] else "Huffman codes"
        return what, f"fewest bytes (--c-weights small); {how} and {step.weights.tables} of tables in the arena"
    if step.weights.winograd:
        return "Winograd F(2x2, 3x3), int16_t", printed.k["zeros"]
    if step.weights.bits:
        why = f"{_FIELDS} instructions per product; each plane of bits of weights or inputs would multiply {_PLANE} ({_MASKED} if ternary)"
        return f"fields of {step.weights.bits} bits", f"{why}; bytes are at most a tenth faster (--c-weights fast)"
    if step.weights.steps:
        return "lists of weights and distances", printed.k["zeros"]
    if step.weights.unit:
        each = "4 outputs x 4 inputs" if step.weights.unit == QUAD else "4 outputs x 2 of 4 inputs"
        return f"index lists, {each}", printed.k["zeros"]
    least, most = int(kernel.constants["weight"].min()), int(kernel.constants["weight"].max())
    if most - least >= _FEW:
        zeros = f"; {printed.k['zeros']}" if printed.k.get("zeros") else ""
        return step.weights.ctype, f"weights from {least} to {most}{zeros}"
    if printed.template == "depthwise2d":
        return step.weights.ctype, "depthwise: few weights, which are read by channel"
    return step.weights.ctype, "bytes were asked for (--c-weights fast), or sums of fields would leave 32 bits"


def _indices(step: Step, printed: Printed) -> tuple[str, str]:
    layout = step.weights
    if layout.slices:
        how = f"{_part(printed)} at a time are decoded into {printed.k['coded']['count']} bytes"
    else:
        how = "multiplied as they are read"
    tables = f", with {layout.tables} of tables in the arena" if layout.tables else ""
    return f"indices of {layout.book} bits", f"few values; {how}{tables}"


def _part(printed: Printed) -> str:
    """What is decoded at a time."""
    return f"{printed.k['rows']} {'channels' if printed.template == 'depthwise2d' else 'rows'}"
