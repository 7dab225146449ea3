"""Beats that an engine of dot products leaves out: chunks whose weights are zero for all outputs of a group.

Read from the integer weights alone, so that it does not matter who pruned the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from hwcomp.plan.streams import Stream
from sw_ref.program import Edge, Kernel

LEAST = 1 / 16
"""Beats that must be left out for the schedule to be worth its ROM (docs/sparsity.md)."""


@dataclass(frozen=True)
class Used:
    """bool [sets, outputs of a set, taps, channels]: which weights are not zero, in the order in which an engine takes them."""

    shape: tuple[int, int, int, int]
    packed: bytes

    @classmethod
    def of(cls, kernel: Kernel, x: Edge, y: Edge, stream: Stream | None = None) -> Used | None:
        """`stream`: of a dense layer whose weights follow the slots of its input. None where there is nothing to leave out."""
        weight = kernel.constants["weight"]
        used = weight != 0
        if not _few(used):
            return None
        if stream is not None:
            slots = stream.slots(x)
            used = np.where(slots >= 0, used[y.layout.order()][:, slots], False)[None, :, None]
        elif kernel.kind == "dense":
            used = used[None, :, None]
        else:
            m, c = weight.shape[:2]
            sets = kernel.params["groups"]
            used = used.reshape(sets, m // sets, c, -1).transpose(0, 1, 3, 2)
        return cls(used.shape, np.packbits(used).tobytes())

    @classmethod
    def where(cls, used: np.ndarray) -> Used | None:
        """Of bool [sets, outputs of a set, taps, channels]; None where there is nothing to leave out."""
        return cls(used.shape, np.packbits(used).tobytes()) if _few(used) else None

    def array(self) -> np.ndarray:
        size = int(np.prod(self.shape))
        return np.unpackbits(np.frombuffer(self.packed, np.uint8), count=size).astype(bool).reshape(self.shape)

    def chunks(self, taps: int, simd: int) -> np.ndarray:
        """bool [sets, outputs, chunks] for `taps` and `simd` channels at a time, tap groups first."""
        sets, m, t, c = self.shape
        full = np.zeros((sets, m, ceil(t / taps) * taps, ceil(c / simd) * simd), bool)
        full[:, :, :t, :c] = self.array()
        parts = full.reshape(sets, m, -1, taps, ceil(c / simd), simd)
        return parts.any(axis=(3, 5)).reshape(sets, m, -1)


def _few(used: np.ndarray) -> bool:
    return np.count_nonzero(used) <= (1 - LEAST) * used.size


def _groups(chunks: np.ndarray, pe: int) -> np.ndarray:
    """bool [groups, chunks]: which chunks each group of `pe` outputs reads, at least one."""
    sets, m, count = chunks.shape
    full = np.zeros((sets, ceil(m / pe) * pe, count), bool)
    full[:, :m] = chunks
    kept = full.reshape(-1, pe, count).any(axis=1)
    kept[~kept.any(axis=1), 0] = True
    return kept


@lru_cache(maxsize=4096)
def beats(used: Used, taps: int, simd: int, outputs: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each number of outputs at a time, the beats of every group."""
    chunks = used.chunks(taps, simd)
    return tuple(tuple(_groups(chunks, pe).sum(axis=1).tolist()) for pe in outputs)


def schedule(used: Used, pe: int, taps: int, simd: int) -> np.ndarray:
    """int64 [beats, 2]: group and chunk of each beat of a pixel, in order."""
    return np.argwhere(_groups(used.chunks(taps, simd), pe))
