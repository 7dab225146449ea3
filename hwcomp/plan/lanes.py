"""Weights by word and lane: in the order in which an engine reads them."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.plan.folding import DEPTHWISE
from sw_ref.program import Edge, Kernel

if TYPE_CHECKING:
    from hwcomp.plan.stages import Stage


def row_sequence(kernel: Kernel, stage: Stage, out: Edge) -> np.ndarray:
    """int64 [sets, outputs of a set]: the row of the weights of each result, in the order in which the engine gives them."""
    rows, fold = len(kernel.constants["bias"]), stage.fold
    if fold.kind == DEPTHWISE:
        if fold.repeat == 1:
            return np.arange(rows)[None]
        return np.arange(rows).reshape(fold.sets, fold.simd, fold.repeat).transpose(0, 2, 1).reshape(1, rows)
    if kernel.kind == "dense" and out.size == rows:
        return out.layout.order()[None]
    return np.arange(rows).reshape(fold.sets, -1)


def weight_words(kernel: Kernel, stage: Stage, x: Edge, out: Edge) -> np.ndarray:
    """int64 [groups * chunks, lanes] of hwc_mvu (lane: output, tap, channel read) or hwc_dwc (tap, channel); idle lanes are
    zero."""
    fold, weight = stage.fold, kernel.constants["weight"].astype(np.int64)
    if kernel.kind == "dense" and x.size == weight.shape[1]:
        slots = np.full(fold.chunks * fold.read, -1, np.int64)
        stream = stage.sources[0].stream
        slots[: stream.beats * stream.lanes] = stream.slots(x)
        weight = np.where(slots >= 0, weight[row_sequence(kernel, stage, out)[0]][:, slots], 0)
        weight = padded(weight, fold.groups * fold.pe, fold.chunks * fold.read)
        blocks = weight.reshape(fold.groups, fold.pe, fold.chunks, fold.read).transpose(0, 2, 1, 3)
        return blocks.reshape(fold.groups * fold.chunks, -1)
    m, c = weight.shape[:2]
    taps = weight.reshape(m, c, -1)
    tap_groups = ceil(taps.shape[2] / fold.taps)
    if fold.kind == DEPTHWISE:
        apart = taps.reshape(m // fold.repeat, fold.repeat, -1)
        full = padded(apart, fold.sets * fold.simd, fold.repeat, tap_groups * fold.taps)
        blocks = full.reshape(fold.sets, fold.simd, fold.repeat, tap_groups, fold.taps)
        return blocks.transpose(0, 2, 3, 4, 1).reshape(fold.groups * fold.chunks, -1)
    words = ceil(c / fold.read)
    grouped = taps.transpose(0, 2, 1).reshape(fold.sets, m // fold.sets, taps.shape[2], c)
    full = padded(grouped, fold.sets, fold.repeat * fold.pe, tap_groups * fold.taps, words * fold.read)
    blocks = full.reshape(fold.groups, fold.pe, tap_groups, fold.taps, words, fold.read)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(fold.groups * fold.chunks, -1)


def padded(values: np.ndarray, *shape: int) -> np.ndarray:
    """Filled up with zeros behind each axis."""
    return np.pad(values, [(0, want - have) for have, want in zip(values.shape, shape, strict=True)])
