"""Binary layers of the C back end: dot products of words of bits, max-pools by OR, and packing behind the other kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hwcomp.backends._c_bits import WORD, Bits, counter, pack
from hwcomp.backends._c_common import ends, heading, map_values, window_text
from hwcomp.backends._c_dot import Printed, add_record, requantizer
from hwcomp.plan.memory import MemoryPlan, Work
from sw_ref.program import Kernel, Program

_CHUNK = 36  # words that are added up at once: more registers than that are not there
_ALIGN = 8


def takes_bits(kernel: Kernel, bits: dict[str, Bits]) -> bool:
    """Whether a kernel reads words of bits, so that it is printed here."""
    return kernel.kind in ("conv2d", "dense", "maxpool2d") and kernel.inputs[0] in bits


def work(program: Program, kernel: Kernel, bits: dict[str, Bits]) -> Work:
    if kernel.kind != "conv2d" or not _copies(kernel):
        return Work()
    return Work((4 * _window_words(kernel, bits),))


def packing(work: Work, program: Program, kernel: Kernel) -> Work:
    """The work of a kernel that writes -1 and +1 as bytes, which are packed behind it: the bytes are scratch."""
    return replace(work, scratch=tuple(_round(s) + unpacked_bytes(program, kernel) for s in work.scratch), in_place=())


def unpacked_bytes(program: Program, kernel: Kernel) -> int:
    return _round(program.edges[kernel.outputs[0]].size)


def _round(n: int) -> int:
    return -(-n // _ALIGN) * _ALIGN


def add_packing(out: Printed, kernel: Kernel, bits: dict[str, Bits]) -> Printed:
    found = bits[kernel.outputs[0]]
    out.k |= {"pack": {"group": found.group, "count": found.count}, "kind": kernel.kind}
    out.prims["bits", "bits"] = {}
    return out


def _copies(kernel: Kernel) -> bool:
    """Whether the words of a window must be gathered."""
    return list(kernel.params["kernel"]) != [1, 1] or any(kernel.params["pads"])


def _window_words(kernel: Kernel, bits: dict[str, Bits]) -> int:
    kh, kw = kernel.params["kernel"]
    return kh * kw * bits[kernel.inputs[0]].words


def printed(program: Program, plan: MemoryPlan, index: int, bits: dict[str, Bits], orders) -> Printed:
    """`orders`: of a dense kernel: (order of k in a carried vector, order of rows in a carried output, vectors)."""
    kernel = program.kernels[index]
    if kernel.kind == "maxpool2d":
        return _pool(program, index, bits)
    c, found = kernel.constants, bits[kernel.inputs[0]]
    out = bits.get(kernel.outputs[0])
    if kernel.kind == "conv2d":
        k, rows, base = _conv(program, index, found)
        order = None
    else:
        order_in, order, vectors = orders
        k, m = {"vectors": vectors, "classes": 1, "scratch": False}, len(c["weight"])
        rows = pack(c["weight"][np.ix_(order, order_in)], Bits(found.group, len(order_in) // found.group))
        base = (c["bias"].astype(np.int64) + len(order_in))[order][None]
        k |= {"m": m}
    words = rows.shape[1]
    _, y = ends(program, kernel)
    macs = y.size * c["weight"][0].size
    line = f"{macs} products of bits; accumulator {kernel.params['acc_lo']}..{kernel.params['acc_hi']}."
    k |= {"id": index, "kind": kernel.kind, "words": words, "y_words": 0, "y": f"{y.dtype.name}_t"}
    text = [f"{window_text(kernel)}."] if kernel.kind == "conv2d" else []
    k["comment"] = heading(program, index, *text, line)
    result = Printed("xnor", k)
    result.arrays.append(("uint32_t", f"w{index}", rows, f"weights, {words} words of bits per row; bit 1 is +1"))
    if out is not None:
        limit = _limits(kernel, base, order)
        kind = "uint16_t" if limit.max(initial=0) < 1 << 16 else "uint32_t"
        k |= {"y": "uint32_t", "y_words": k["m"] // out.group * out.words, "limit": kind}
        result.arrays.append((kind, f"l{index}", limit, "limits: +1 where fewer bits differ"))
    else:
        rq, arrays = requantizer(kernel, "int32_t", kernel.params["acc_lo"], kernel.params["acc_hi"], order)
        k["rq"] = rq
        result.arrays.append(("int32_t", f"b{index}", base, "sums where no bit differs"))
        add_record(result, index, arrays)
    if k["classes"] > 1:
        result.arrays += [("uint8_t", f"{n}{index}", k[n], f"class of each output {what}") for n, what in
                          (("r", "row"), ("q", "column"))]  # fmt: skip
    result.prims["bits", "bits"] = {}
    _add_counts(result, words)
    return result


def _add_counts(out: Printed, words: int) -> None:
    """The primitive that counts how many of `words` words' bits differ, and those that it is made of."""
    parts = -(-words // _CHUNK)
    size = -(-words // parts)
    chunks = [(at, min(size, words - at)) for at in range(0, words, size)]
    for n in sorted({n for _, n in chunks}):
        adders, planes, rest = counter(n)
        out.prims["differ", n] = {"words": n, "chunks": [(0, n)], "adders": adders, "planes": planes, "rest": rest}
    if parts > 1:
        out.prims["differ", words] = {"words": words, "chunks": chunks, "adders": [], "planes": [], "rest": ()}


def _limits(kernel: Kernel, base: np.ndarray, order) -> np.ndarray:
    """base - 2d >= T where d < limit; int64 [classes, rows]."""
    threshold = kernel.constants["threshold"][:, 0].astype(np.int64)
    threshold = np.broadcast_to(threshold, base.shape[1:])
    threshold = threshold if order is None else threshold[order]
    return np.maximum(((base - threshold) >> 1) + 1, 0)


def _conv(program: Program, index: int, found: Bits) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(values, words of the weights [rows, words], sums without a difference [classes, rows]).

    A tap that lies outside and counts as 0 is read as bits 0, which is -1: the sum of its weights makes up for it, for each
    class of outputs that have the same taps outside.
    """
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    k, weight = map_values(kernel, x, y), kernel.constants["weight"].astype(np.int64)
    m, c, kh, kw = weight.shape
    rows = pack(weight.transpose(0, 2, 3, 1).reshape(m, -1), Bits(c, kh * kw))
    base = (kernel.constants["bias"].astype(np.int64) + c * kh * kw)[None]
    last = (1 << (c - 1) % WORD + 1) - 1
    ones = k["pad"] > 0
    whole = not k["border"] and k["dw"] == 1
    k |= {
        "classes": 1, "wpp": found.words, "scratch": _copies(kernel), "fill": ("0xffffffffu", f"0x{last:x}u") if ones else ("0", "0"),
        "run": kw * found.words if whole else 0,
    }  # fmt: skip
    if k["border"] and k["pad"] == 0:
        row, in_row = _classes(kh, k["sh"], k["dh"], k["pt"], k["height"], k["oh"])
        column, in_column = _classes(kw, k["sw"], k["dw"], k["pl"], k["width"], k["ow"])
        taps = weight.sum(axis=1)
        inside = in_row[:, None, :, None] & in_column[None, :, None, :]  # [row classes, column classes, kh, kw]
        outside = np.einsum("rckl,mkl->rcm", ~inside, taps).reshape(-1, m)
        base = base + outside
        k |= {"classes": len(base), "columns": len(in_column), "r": row, "q": column}
    return k, rows, base


def _classes(taps: int, stride: int, dilation: int, pad: int, size: int, outs: int) -> tuple[np.ndarray, np.ndarray]:
    """(class of each output [outs], bool [classes, taps]: which taps lie inside)."""
    at = np.arange(outs)[:, None] * stride - pad + np.arange(taps) * dilation
    inside, index = np.unique((at >= 0) & (at < size), axis=0, return_inverse=True)
    return index.reshape(-1), inside


def _pool(program: Program, index: int, bits: dict[str, Bits]) -> Printed:
    kernel = program.kernels[index]
    k = map_values(kernel, *ends(program, kernel))
    k |= {
        "id": index,
        "wpp": bits[kernel.inputs[0]].words,
        "comment": heading(program, index, window_text(kernel) + "."),
    }
    return Printed("orpool", k, prims={("bits", "bits"): {}})
