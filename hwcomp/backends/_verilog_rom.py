"""ROM contents for the streaming engines: constants of a kernel in the order in which its plan reads them."""

from __future__ import annotations

from math import ceil

import numpy as np

from hwcomp.plan import skips
from hwcomp.plan.folding import DEPTHWISE
from hwcomp.plan.lanes import padded, row_sequence
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
        full = padded(bias.reshape(-1, fold.repeat), fold.sets * fold.simd, fold.repeat)
        return full.reshape(fold.sets, fold.simd, fold.repeat).transpose(0, 2, 1).reshape(fold.groups, fold.simd)
    full = padded(bias[row_sequence(kernel, stage, out)], fold.sets, fold.repeat * fold.pe)
    return full.reshape(fold.groups, fold.pe)


def order_words(order: np.ndarray, lanes: int) -> tuple[np.ndarray, int]:
    """(int64 [beats, lanes], bits per lane) of hwc_permute: element i of a frame is order[i] of the input."""
    beat_bits, lane_bits = max(1, (len(order) // lanes - 1).bit_length()), (lanes - 1).bit_length()
    fields = order // lanes | (order % lanes) << beat_bits
    return fields.reshape(-1, lanes), beat_bits + lane_bits
