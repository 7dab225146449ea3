"""How much code a C product is: an estimate for the report.

Bytes for a Cortex-M4 at -O3, fitted to `arm-none-eabi-size` on 28 products of six networks: with bytes, zeros of several kinds, prefix
codes and codebooks. Within a fifth of each.
"""

from __future__ import annotations

from hwcomp.backends import _c_winograd
from hwcomp.backends._c_dot import Printed
from hwcomp.backends._c_sparse import CODE
from hwcomp.plan.index_lists import PAIR, QUAD
from sw_ref.program import Kernel, Program

_BASE, _DOTS = 120, 480  # the call of the layers, and dot products of bytes where there are some
# Padding makes a kernel's borders code of its own.
_CODE = {
    "add": 150, "argmax": 100, "avgpool2d": 450, "concat": 150, "conv2d": 800, "dense": 250, "gru": 1000, "layernorm": 1000,
    "lstm": 1900, "lut": 50, "matmul": 200, "maxpool2d": 250, "mul": 100, "pad": 100, "reorder": 100, "repeat": 60,
    "requantize": 150, "reshape": 0, "shuffle": 100, "slice": 60, "softmax": 250, "transpose": 0,
}  # fmt: skip
_POINTWISE, _DEPTHWISE = 450, 1050
_FOLLOWED = {"steps": 60, "scatter": 210, "book": 250}
"""Layers that are multiplied as they are read, by template; gcc makes each of the last two functions of its own."""
# More than of bytes.
_LISTS = {("conv2d", QUAD): 220, ("conv2d", PAIR): 420, ("dense", PAIR): 300}
_DECODED = 130
_SHARED = {"steps": 162, "scatter": 124, "decode": 90, "codes": 150, "book": 50, "vectors": 0}
_VECTORS = {False: 350, True: 600}  # of a decoder of vectors, of one of rows that are no whole pairs or quads
_LOOP = 40  # of index lists, beside a turn


def code_bytes(program: Program, printed: list[Printed]) -> int:
    """Of NAME.c."""
    prims = {prim: values for out in printed for prim, values in out.prims.items()}
    kinds = {kind for kind, _ in prims}
    others = kinds & {"dot", "fields", "mac", "xnor"} or not kinds & (_SHARED.keys() | {"sparse"})
    decoded = any(out.k.get("coded") for out in printed)
    shared = sum(_SHARED.get(kind, 0) for kind, _ in prims if decoded or kind != "codes")
    # gcc makes a decoder of vectors for each shape of a slice.
    coded = [(c, out.k["rows"]) for out in printed if (c := out.k.get("coded")) and c["vectors"]]
    shared += sum(
        _VECTORS[single] for *_, single in {(c["name"], c["parts"], c["each"], rows, c["any"]) for c, rows in coded}
    )
    # Where the core has DSP, loops of lists are walks, whose rescaling is a primitive of the layer.
    plain = {name for out in printed if not out.k.get("fused") for name in out.k.get("sparse") or ()}
    lists = (
        CODE[v["n"], v["unit"]]
        for (kind, name), v in prims.items()
        if kind == "sparse" and (name in plain or ("walk", name) in prims)
    )
    shared += sum(code * turn + _LOOP for code, turn in lists)
    each = (_layer(k, out) for k, out in zip(program.kernels, printed, strict=True))
    return _BASE + (_DOTS if others else 0) + sum(each) + shared + _c_winograd.shared_code_bytes(printed)


def _layer(kernel: Kernel, out: Printed) -> int:
    if out.template == "winograd":
        return _c_winograd.code_bytes(out)
    if out.template in _FOLLOWED:
        return _FOLLOWED[out.template]
    padded = any(kernel.params.get("pads", ()))
    size = (_DEPTHWISE if out.template == "depthwise2d" else _CODE[kernel.kind]) * (1 + padded)
    if kernel.kind == "conv2d" and not padded and kernel.params["kernel"] == [1, 1]:
        size = _POINTWISE
    return size + _LISTS.get((kernel.kind, out.k.get("unit")), 0) + (_DECODED if out.k.get("coded") else 0)
