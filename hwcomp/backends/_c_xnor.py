"""Layers of bits in C: dot products of +-1 and ternary weights with planes of bits, max-pools by OR, packing behind other kernels.

An input is x = first + step * sum 2^j u_j with planes u_j of bits. With the bits s and m of a row of weights, w = 0 where m is 0,
else +1 or -1 where s is 1 or 0, and d_j = popcount((u_j ^ s) & m): sum w u_j = (sum w + sum m) / 2 - d_j. So a dot product is a
constant of its row minus step * sum 2^j d_j; without a weight of 0 there is no m.
"""

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
    out.k |= {
        "pack": {n: getattr(found, n) for n in ("group", "count", "planes", "first", "step", "plane")},
        "kind": kernel.kind,
    }
    out.prims["bits", "bits"] = {}
    return out


def _copies(kernel: Kernel) -> bool:
    """Whether the words of a window must be gathered."""
    return list(kernel.params["kernel"]) != [1, 1] or any(kernel.params["pads"])


def _window_words(kernel: Kernel, bits: dict[str, Bits]) -> int:
    kh, kw = kernel.params["kernel"]
    return kh * kw * bits[kernel.inputs[0]].words * bits[kernel.inputs[0]].planes


def printed(program: Program, plan: MemoryPlan, index: int, bits: dict[str, Bits], orders) -> Printed:
    """`orders`: of a dense kernel: (order of k in a carried vector, order of rows in a carried output, vectors)."""
    kernel = program.kernels[index]
    if kernel.kind == "maxpool2d":
        return _pool(program, index, bits)
    found, out = bits[kernel.inputs[0]], bits.get(kernel.outputs[0])
    if out is not None:
        kernel = rising(kernel)
    c = kernel.constants
    if kernel.kind == "conv2d":
        k, weight, layout, outside = _conv(program, kernel, found)
        order = None
    else:
        order_in, order, vectors = orders
        k, outside = {"vectors": vectors, "classes": 1, "scratch": False, "stride": found.plane}, 0
        weight = c["weight"][np.ix_(order, order_in)].astype(np.int64)
        layout = Bits(found.group, len(order_in) // found.group)
        k["m"] = len(weight)
    masked = not weight.all()
    rows, words = _rows(weight, layout, masked)
    bias = c["bias"].astype(np.int64) if order is None else c["bias"].astype(np.int64)[order]
    base = (bias + _full(weight, found))[None] + outside
    _, y = ends(program, kernel)
    line = f"{y.size * weight.shape[1]} products of bits; accumulator {kernel.params['acc_lo']}..{kernel.params['acc_hi']}."
    k |= {
        "id": index, "kind": kernel.kind, "words": words, "row": rows.shape[1], "y_words": 0, "y": f"{y.dtype.name}_t",
        "planes": found.planes, "step": found.step, "masked": "_masked" if masked else "",
    }  # fmt: skip
    text = [f"{window_text(kernel)}."] if kernel.kind == "conv2d" else []
    k["comment"] = heading(program, index, *text, line)
    result = Printed("xnor", k)
    what = "bits, 1 is +1, and as many that say where the weight is not 0" if masked else "bits per row; bit 1 is +1"
    result.arrays.append(("uint32_t", f"w{index}", rows, f"weights, {words} words of {what}"))
    if out is not None:
        limit = _limits(kernel, base, found.step, order)
        kind = "uint16_t" if limit.max(initial=0) < 1 << 16 else "uint32_t"
        k |= {"y": "uint32_t", "y_words": k["m"] // out.group * out.words, "limit": kind, "levels": limit.shape[-1]}
        k |= {"y_planes": out.planes, "y_stride": out.plane}
        result.arrays.append((kind, f"l{index}", limit, "limits: a step more where fewer bits differ"))
    else:
        rq, arrays = requantizer(kernel, "int32_t", kernel.params["acc_lo"], kernel.params["acc_hi"], order)
        k["rq"] = rq
        result.arrays.append(("int32_t", f"b{index}", base, "sums where no bit differs"))
        add_record(result, index, arrays)
    if k["classes"] > 1:
        result.arrays += [("uint8_t", f"{n}{index}", k[n], f"class of each output {what}") for n, what in
                          (("r", "row"), ("q", "column"))]  # fmt: skip
    result.prims["bits", "bits"] = {}
    _add_counts(result, words, masked)
    return result


def rising(kernel: Kernel) -> Kernel:
    """The same function with descending staircases turned: count(a < T) is count(-a >= 1 - T)."""
    c = kernel.constants
    down = np.broadcast_to(c["descending"].astype(bool), len(c["bias"]))
    if not down.any():
        return kernel
    sign = np.where(down, -1, 1)
    t = np.broadcast_to(c["threshold"].astype(np.int64), (len(down), c["threshold"].shape[1]))
    turned = {
        "weight": c["weight"] * sign.reshape(-1, *(1,) * (c["weight"].ndim - 1)).astype(c["weight"].dtype),
        "bias": c["bias"].astype(np.int64) * sign,
        "threshold": np.where(down[:, None], 1 - t[:, ::-1], t),
        "descending": np.zeros_like(c["descending"]),
    }
    return replace(kernel, constants=c | turned)


def _full(weight: np.ndarray, found: Bits) -> np.ndarray:
    """int64 [rows]: the dot products where no bit differs."""
    total, most = weight.sum(axis=1), (1 << found.planes) - 1
    return found.first * total + found.step * most * ((total + np.abs(weight).sum(axis=1)) // 2)


def _rows(weight: np.ndarray, layout: Bits, masked: bool) -> tuple[np.ndarray, int]:
    """(uint32 [rows, words of a row], words that meet values): where masked, behind the bits of each chunk stands its mask."""
    signs = pack(weight, layout)
    if not masked:
        return signs, signs.shape[1]
    masks = pack(2 * np.abs(weight) - 1, layout)
    parts = [part[:, at : at + n] for at, n in _chunks(signs.shape[1]) for part in (signs, masks)]
    return np.concatenate(parts, axis=1), signs.shape[1]


def _chunks(words: int) -> list[tuple[int, int]]:
    """(first word, words) of what is added up at once."""
    size = -(-words // -(-words // _CHUNK))
    return [(at, min(size, words - at)) for at in range(0, words, size)]


def _add_counts(out: Printed, words: int, masked: bool) -> None:
    """The primitive that counts how many of `words` words' bits differ, and those that it is made of."""
    chunks = _chunks(words)
    for n in sorted({n for _, n in chunks}):
        adders, planes, rest = counter(n)
        out.prims["differ", (masked, n)] = {
            "words": n, "masked": masked, "chunks": [(0, n)], "adders": adders, "planes": planes, "rest": rest,
        }  # fmt: skip
    if len(chunks) > 1:
        out.prims["differ", (masked, words)] = {
            "words": words, "masked": masked, "chunks": chunks, "adders": [], "planes": [], "rest": (),
        }  # fmt: skip


def _limits(kernel: Kernel, base: np.ndarray, step: int, order) -> np.ndarray:
    """base - step * d >= T where d < limit; int64 [classes, rows, levels]."""
    threshold = kernel.constants["threshold"].astype(np.int64)
    threshold = np.broadcast_to(threshold, (base.shape[1], threshold.shape[1]))
    threshold = threshold if order is None else threshold[order]
    return np.maximum((base[..., None] - threshold) // step + 1, 0)


def _conv(program: Program, kernel: Kernel, found: Bits) -> tuple[dict[str, Any], np.ndarray, Bits, np.ndarray | int]:
    """(values, weights [rows, k], how they lie, what taps outside add [classes, rows]).

    A tap that lies outside is read as bits of `pad_value` where these exist, else as bits 0, which is `first`: the sum of its
    weights makes up for it, for each class of outputs that have the same taps outside.
    """
    x, y = ends(program, kernel)
    k, weight = map_values(kernel, x, y), kernel.constants["weight"].astype(np.int64)
    m, c, kh, kw = weight.shape
    number, rest = divmod(k["pad"] - found.first, found.step)
    exact = rest == 0 and 0 <= number < 1 << found.planes
    last = (1 << (c - 1) % WORD + 1) - 1
    fill = [("0xffffffffu", f"0x{last:x}u") if exact and number >> j & 1 else ("0", "0") for j in range(found.planes)]
    whole = not k["border"] and k["dw"] == 1
    k |= {
        "classes": 1, "wpp": found.words, "scratch": _copies(kernel), "fill": fill, "map": found.plane,
        "run": kw * found.words if whole else 0, "stride": kh * kw * found.words if _copies(kernel) else found.plane,
    }  # fmt: skip
    outside: np.ndarray | int = 0
    if k["border"] and not exact:
        row, in_row = _classes(kh, k["sh"], k["dh"], k["pt"], k["height"], k["oh"])
        column, in_column = _classes(kw, k["sw"], k["dw"], k["pl"], k["width"], k["ow"])
        inside = in_row[:, None, :, None] & in_column[None, :, None, :]  # [row classes, column classes, kh, kw]
        outside = np.einsum("rckl,mkl->rcm", ~inside, weight.sum(axis=1)).reshape(-1, m) * (k["pad"] - found.first)
        k |= {"classes": len(outside), "columns": len(in_column), "r": row, "q": column}
    return k, weight.transpose(0, 2, 3, 1).reshape(m, -1), Bits(c, kh * kw), outside


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
