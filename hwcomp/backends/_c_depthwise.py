"""Depthwise convolutions in C: weights by tap and channel, as bytes or as codes that are decoded for some channels at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.backends import _c_book, _c_choice, _c_codes, _c_spread
from hwcomp.backends import _c_dot as dot
from hwcomp.backends._c_choice import Candidate
from hwcomp.backends._c_common import ends, map_values
from hwcomp.backends._c_dot import Printed
from hwcomp.plan.memory import Step, WeightLayout, Work
from sw_ref.program import Kernel, Program

_FOUR = 4  # channels that are computed together, and weights that are decoded together
_CHANNELS = 32  # decoded together at least: each slice walks the map again
# Instructions on a Cortex-M4: of a product, of an output, of a slice's walk over an output.
_PRODUCT, _OUTPUT, _WALK = 3.4, 4.5, 30.0


def is_depthwise(kernel: Kernel) -> bool:
    m, cg = kernel.constants["weight"].shape[:2]
    return cg == 1 and kernel.params["groups"] == m > 1


def work(program: Program, kernel: Kernel, form: str) -> Work:
    x, y = ends(program, kernel)
    k = map_values(kernel, x, y)
    layout = _layout(kernel, k["oh"] * k["ow"], form)
    least = _window(layout, k["border"] * x.dtype.itemsize) + _c_codes.buffer(layout)
    spread = None if layout.slices else _c_spread.of(kernel, k, layout.ctype)
    return Work((max(least, spread["bytes"]), least) if spread else (least,), layout)


def _window(layout: WeightLayout, itemsize: int) -> int:
    """Bytes of a copied window of the channels that are computed together."""
    size = layout.k * layout.rows * itemsize
    return -(-size // 4) * 4 if layout.slices else size


def _layout(kernel: Kernel, outputs: int, form: str) -> WeightLayout:
    """As _c_choice.layout_of, of a map with `outputs` places."""
    weight = _rows(kernel)
    m, taps = weight.shape
    plain = WeightLayout(m, taps, taps, m, False, dot.weight_type(weight))
    bytes_ = Candidate(plain, m * taps * np.dtype(plain.ctype[:-2]).itemsize, outputs * m * (_PRODUCT * taps + _OUTPUT))
    each = _channels(m)
    cut = replace(plain, rows=each, block=each, slices=m // each)
    if form == "fast":
        return plain
    indices = []
    if (layout := _c_book.choose(weight, plain, cut, multiplies=False)) is not None:
        expected = _c_book.instructions(layout, m, bytes_.instructions, outputs * _WALK)
        indices.append(Candidate(layout, _c_book.size(weight, 1, layout), expected))
    if form == "packed":
        return _c_choice.balanced(bytes_, [], indices)
    least = min([bytes_, *indices], key=lambda c: c.bytes)
    return _c_codes.choose(least.layout, least.bytes, weight, 1, cut, False, stored, plain)


def _channels(m: int) -> int:
    """Channels of a slice, a divisor of `m`, whole fours where there are several slices."""
    return next((n for n in range(_CHANNELS, m, _FOUR) if m % n == 0), m)


def _rows(kernel: Kernel) -> np.ndarray:
    """The weights [M, taps]."""
    weight = kernel.constants["weight"]
    return weight.reshape(len(weight), -1)


def stored(weight: np.ndarray, slices: int, layout: WeightLayout) -> np.ndarray:
    """[M, taps] -> of each slice [taps][channels], filled up to whole fours with its last weight."""
    flat = weight.reshape(slices, -1, layout.k).transpose(0, 2, 1).reshape(slices, -1).astype(layout.ctype[:-2])
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % _FOUR)), mode="edge").ravel()


def add(out: Printed, program: Program, step: Step, index: int) -> None:
    """Add the values of the template, the weights and the primitives to `out`, which has those of the map."""
    kernel, layout, k = program.kernels[index], step.weights, out.k
    x, acc, w = ends(program, kernel)[0], dot.acc_type(kernel), layout.ctype
    mac = f"{x.dtype.name}_{w[:-2]}_{acc[:-2]}"
    dsp = x.dtype.itemsize == 1 and w in ("int8_t", "uint8_t") and acc == "int32_t"
    unsigned = {"ux": "u" if k["x"] == "uint8_t" else "s", "uw": "u" if w == "uint8_t" else "s"}
    out.template = "depthwise2d"
    out.prims["mac", mac] = {"name": mac, "x": k["x"], "w": w, "acc": acc, "dsp": dsp} | unsigned
    k |= {"mac": mac, "acc": acc, "w": w, "groups": 1, "scratch": k["border"] or layout.slices > 0, "coded": None}
    k |= {"spread": None}
    k |= {"rows": layout.rows, "each": 1, "cg": 1, "gathers": k["border"]}
    order = "[kernel row][kernel column][channel]"
    if layout.slices:
        dot.add_coded(out, index, _rows(kernel), 1, layout, order, step.scratch, stored)
    else:
        out.arrays.append((w, f"w{index}", _rows(kernel).T, f"weights, {order}"))
        if step.choice == 0 and (spread := _c_spread.of(kernel, k, w)):
            _c_spread.add(out, spread, unsigned)
