"""ROM contents for the streaming engines: constants of a kernel in the order in which its plan reads them."""

from __future__ import annotations

from math import ceil

import numpy as np

from hwcomp.plan import skips
from hwcomp.plan.folding import DEPTHWISE
from hwcomp.plan.skips import Used
from hwcomp.plan.stages import Stage
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
        weight = _padded(weight, fold.groups * fold.pe, fold.chunks * fold.read)
        blocks = weight.reshape(fold.groups, fold.pe, fold.chunks, fold.read).transpose(0, 2, 1, 3)
        return blocks.reshape(fold.groups * fold.chunks, -1)
    m, c = weight.shape[:2]
    taps = weight.reshape(m, c, -1)
    tap_groups = ceil(taps.shape[2] / fold.taps)
    if fold.kind == DEPTHWISE:
        apart = taps.reshape(m // fold.repeat, fold.repeat, -1)
        full = _padded(apart, fold.sets * fold.simd, fold.repeat, tap_groups * fold.taps)
        blocks = full.reshape(fold.sets, fold.simd, fold.repeat, tap_groups, fold.taps)
        return blocks.transpose(0, 2, 3, 4, 1).reshape(fold.groups * fold.chunks, -1)
    words = ceil(c / fold.read)
    grouped = taps.transpose(0, 2, 1).reshape(fold.sets, m // fold.sets, taps.shape[2], c)
    full = _padded(grouped, fold.sets, fold.repeat * fold.pe, tap_groups * fold.taps, words * fold.read)
    blocks = full.reshape(fold.groups, fold.pe, tap_groups, fold.taps, words, fold.read)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(fold.groups * fold.chunks, -1)


def schedule(kernel: Kernel, stage: Stage, x: Edge, out: Edge) -> np.ndarray | None:
    """int64 [beats, 2]: group and chunk of each beat of a pixel; None where all come."""
    fold = stage.fold
    if fold is None or not fold.kept:
        return None
    one_row = kernel.kind == "dense" and x.size == kernel.constants["weight"].shape[1]
    used = Used.of(kernel, x, out, stage.sources[0].stream if one_row else None)
    return skips.schedule(used, fold.pe, fold.taps, fold.read)


def walk_words(beats: np.ndarray, stage: Stage) -> tuple[np.ndarray, int]:
    """(int64 [beats, 1], its bits) of hwc_skip for a schedule: the word in the window's first pixel, above it the tap group."""
    w, fold = stage.window, stage.fold
    words = w.words // w.sets
    group, chunk = beats.T
    word = group // fold.repeat * words + chunk % words
    low = max(1, (w.words - 1).bit_length())
    high = max(1, (fold.chunks // words - 1).bit_length())
    return (word | chunk // words << low)[:, None], low + high


def start_words(values: np.ndarray, kernel: Kernel, stage: Stage, out: Edge) -> np.ndarray:
    """int64 [sets * groups, sums] of `values` [sets, outputs], which accumulators start from."""
    return np.concatenate([_starts(row.astype(np.int64), kernel, stage, out) for row in values])


def _starts(bias: np.ndarray, kernel: Kernel, stage: Stage, out: Edge) -> np.ndarray:
    fold = stage.fold
    if fold.kind == DEPTHWISE:
        full = _padded(bias.reshape(-1, fold.repeat), fold.sets * fold.simd, fold.repeat)
        return full.reshape(fold.sets, fold.simd, fold.repeat).transpose(0, 2, 1).reshape(fold.groups, fold.simd)
    full = _padded(bias[row_sequence(kernel, stage, out)], fold.sets, fold.repeat * fold.pe)
    return full.reshape(fold.groups, fold.pe)


def order_words(order: np.ndarray, lanes: int) -> tuple[np.ndarray, int]:
    """(int64 [beats, lanes], bits per lane) of hwc_permute: element i of a frame is order[i] of the input."""
    beat_bits, lane_bits = max(1, (len(order) // lanes - 1).bit_length()), (lanes - 1).bit_length()
    fields = order // lanes | (order % lanes) << beat_bits
    return fields.reshape(-1, lanes), beat_bits + lane_bits


def _padded(values: np.ndarray, *shape: int) -> np.ndarray:
    return np.pad(values, [(0, want - have) for have, want in zip(values.shape, shape, strict=True)])
