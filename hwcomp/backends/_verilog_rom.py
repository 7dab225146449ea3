"""ROM contents for the streaming engines: constants of a kernel in the order in which its plan reads them."""

from __future__ import annotations

from math import ceil

import numpy as np

from hwcomp.plan.dataflow import Stage
from sw_ref.program import Edge, Kernel


def hex_words(values: np.ndarray, bits: int) -> str:
    """int64 [words, lanes] -> $readmemh text: one word a line, `bits` per lane in two's complement, lane 0 lowest."""
    words, lanes = values.shape
    width = lanes * bits
    ones = (values.astype(np.int64)[:, :, None] >> np.arange(bits)) & 1
    flat = np.zeros((words, ceil(width / 8) * 8), np.uint8)
    flat[:, :width] = ones.reshape(words, width)
    data = np.packbits(flat, axis=1, bitorder="little")[:, ::-1]
    digits = ceil(width / 4)
    return "".join(row.tobytes().hex()[-digits:] + "\n" for row in data)


def carried_rows(kernel: Kernel, out: Edge) -> np.ndarray:
    """Output index (row of the weights) at each place of the order in which the engine produces outputs."""
    rows = len(kernel.constants["bias"])
    return out.layout.order() if out.size == rows else np.arange(rows)


def weight_words(kernel: Kernel, stage: Stage, x: Edge, out: Edge) -> np.ndarray:
    """int64 [groups * chunks, pe * simd lanes] of hwc_mvu; idle lanes are zero."""
    fold, weight = stage.fold, kernel.constants["weight"].astype(np.int64)
    if kernel.kind == "dense":
        slots = np.full(fold.chunks * fold.simd, -1, np.int64)
        slots[: stage.source.beats * stage.source.lanes] = stage.source.slots(x)
        weight = np.where(slots >= 0, weight[carried_rows(kernel, out)][:, slots], 0)
        weight = _padded(weight, fold.groups * fold.pe, fold.chunks * fold.simd)
        blocks = weight.reshape(fold.groups, fold.pe, fold.chunks, fold.simd).transpose(0, 2, 1, 3)
        return blocks.reshape(fold.groups * fold.chunks, -1)
    m, c, kh, kw = weight.shape
    tap_groups, words = ceil(kh * kw / fold.taps), ceil(c / fold.simd)
    taps = weight.transpose(0, 2, 3, 1).reshape(m, kh * kw, c)
    full = _padded(taps, fold.groups * fold.pe, tap_groups * fold.taps, words * fold.simd)
    blocks = full.reshape(fold.groups, fold.pe, tap_groups, fold.taps, words, fold.simd)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(fold.groups * fold.chunks, -1)


def bias_words(kernel: Kernel, stage: Stage, out: Edge) -> np.ndarray:
    """int64 [groups, pe]."""
    bias = kernel.constants["bias"].astype(np.int64)[carried_rows(kernel, out)]
    return _padded(bias, stage.fold.groups * stage.fold.pe).reshape(stage.fold.groups, stage.fold.pe)


def channel_words(values: np.ndarray, channels: int, lanes: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Per-channel constants (or one for all) as int64 [beats, lanes]."""
    full = np.broadcast_to(values.astype(np.int64), (channels,))
    full = full if rows is None or values.size == 1 else full[rows]
    beats = ceil(channels / lanes)
    return _padded(full, beats * lanes).reshape(beats, lanes)


def _padded(values: np.ndarray, *shape: int) -> np.ndarray:
    return np.pad(values, [(0, want - have) for have, want in zip(values.shape, shape, strict=True)])
