"""Dot products of few bits: codes of weights, what biases make up for, thresholds in them, borders, idle lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwcomp.plan import bits
from hwcomp.plan.lanes import weight_words
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel


@dataclass(frozen=True)
class Starts:
    """What accumulators start from: `values` [zones, outputs], in `width` bits; `rows`, `columns`: the zone of each row of
    pixels, and what each column adds. `double`: the lanes give half of what the sums need."""

    values: np.ndarray
    width: int
    double: bool
    rows: np.ndarray
    columns: np.ndarray


def weight_codes(kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> np.ndarray:
    """int64 [groups * chunks, lanes]: the weights as hwc_product takes them."""
    return bits.encoded(weight_words(kernel, stage, x, y), bits.weights_of(kernel, x))


def used_lanes(kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> np.ndarray | None:
    """int64 [chunks, lanes]: 1 where a lane has something to add; None where all do, or where weights of 0 say so."""
    if not bits.weights_of(kernel, x).masks:
        return None
    ones = replace(kernel, constants=kernel.constants | {"weight": np.ones_like(kernel.constants["weight"])})
    fold = stage.fold
    words = weight_words(ones, stage, x, y).reshape(fold.groups, fold.chunks, -1, fold.taps * fold.read)
    used = words.any(axis=(0, 2)).astype(np.int64)
    return None if used.all() else used


def starts(kernel: Kernel, x: Edge, y: Edge) -> Starts:
    """Source: docs/hardware.md, "Few bits"."""
    p, held = kernel.params, bits.weights_of(kernel, x)
    weight = kernel.constants["weight"].astype(np.int64)
    sums = weight.reshape(len(weight), -1)
    begin = kernel.constants["bias"].astype(np.int64)[None]
    rows = columns = np.zeros(1, np.int64)
    if x.bipolar:  # x = 2b - 1, agreeing bits p: 2p - K
        begin = begin - (sums.shape[1] if held.agree else sums.sum(1))
    elif held.kind != bits.PRODUCT:
        begin = begin + (sums < 0).sum(1)
    if bits.zoned(kernel, x):
        rows, columns, outside = _borders(kernel, x)
        begin = begin + outside
    if not bits.decides(kernel, y):
        return Starts(begin, p["acc_bits"], x.bipolar, rows, columns)
    # The sum less the threshold: its sign is the answer. Twice a count is not below 2t exactly if it is not below t.
    spread = kernel.constants["threshold"][:, 0].astype(np.int64)
    least, most = np.minimum(sums * x.lo, sums * x.hi).sum(1), np.maximum(sums * x.lo, sums * x.hi).sum(1)
    if "pad_value" in p:
        pad = sums * p["pad_value"]
        least, most = (
            np.minimum(pad, np.minimum(sums * x.lo, sums * x.hi)).sum(1),
            np.maximum(pad, np.maximum(sums * x.lo, sums * x.hi)).sum(1),
        )
    ends = np.stack([least, most]) + kernel.constants["bias"].astype(np.int64) - spread
    begin = begin - spread
    if x.bipolar:
        begin, ends = begin >> 1, ends >> 1
    return Starts(begin, bits.magnitude(ends) + 1, False, rows, columns)


def _borders(kernel: Kernel, x: Edge) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(zone of each row [rows], zones that each column adds [columns], [zones, outputs]: weights of taps outside)."""
    p, weight = kernel.params, kernel.constants["weight"].astype(np.int64)
    _, _, kh, kw = weight.shape
    top, left, bottom, right = p["pads"]
    (sh, sw), (dh, dw) = p["strides"], p["dilations"]
    row, in_row = _inside(kh, sh, dh, top, bottom, x.shape[1])
    column, in_column = _inside(kw, sw, dw, left, right, x.shape[2])
    inside = in_row[:, None, :, None] & in_column[None, :, None, :]
    outside = np.einsum("rckl,mkl->rcm", ~inside, weight.sum(axis=1)).reshape(-1, len(weight))
    return row * len(in_column), column, outside


def _inside(taps: int, stride: int, dilation: int, before: int, after: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(class of each output, bool [classes, taps]: which taps lie inside)."""
    outs = (size + before + after - (taps - 1) * dilation - 1) // stride + 1
    at = np.arange(outs)[:, None] * stride - before + np.arange(taps) * dilation
    inside, index = np.unique((at >= 0) & (at < size), axis=0, return_inverse=True)
    return index.reshape(-1), inside
