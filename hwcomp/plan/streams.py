"""Streams between hardware engines: lanes and beats, lane conversions, and which beat slot carries which element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd

import numpy as np

from sw_ref.program import Edge, Layout


@dataclass(frozen=True)
class Stream:
    """A frame of `pixels` pixels of `channels` elements; a pixel takes ceil(channels/lanes) beats, never shared."""

    lanes: int
    channels: int
    pixels: int
    bits: int
    signed: bool

    @property
    def beats_per_pixel(self) -> int:
        return ceil(self.channels / self.lanes)

    @property
    def beats(self) -> int:
        return self.pixels * self.beats_per_pixel

    @property
    def width(self) -> int:
        return self.lanes * self.bits

    def positions(self) -> np.ndarray:
        """int64 [beats, lanes]: which element of the frame, in carried order, each slot holds; -1 where it is idle."""
        padded = np.full((self.pixels, self.beats_per_pixel * self.lanes), -1, np.int64)
        padded[:, : self.channels] = np.arange(self.pixels * self.channels).reshape(self.pixels, self.channels)
        return padded.reshape(self.beats, self.lanes)

    def codes(self, edge: Edge, values: np.ndarray) -> np.ndarray:
        """Integers of `edge`, the samples first, as the bits of all slots: int64 [samples * beats, lanes], idle lanes zero."""
        slots, flat = self.slots(edge), values.reshape(len(values), -1).astype(np.int64)
        flat = (flat > 0).astype(np.int64) if edge.bipolar else flat
        return np.where(slots >= 0, flat[:, slots], 0).reshape(-1, self.lanes)

    def slots(self, edge: Edge) -> np.ndarray:
        """int64 [beats * lanes]: the logical row-major index of the element in each slot, -1 where the lane is idle."""
        positions = self.positions().ravel()
        return np.where(positions >= 0, edge.layout.order()[positions], -1)


@dataclass(frozen=True)
class Convert:
    """Parameters of the cell hwc_width: blocks of `beats_in` beats become `beats_out`; the last block may be shorter."""

    lanes_in: int
    lanes_out: int
    beats_in: int
    beats_out: int
    blocks: int
    last_in: int
    last_out: int

    def register_lanes(self) -> int:
        """Lanes held in registers: the cost of the conversion."""
        return self.beats_in * self.lanes_in + self.beats_out * self.lanes_out


_LEAST = 2  # words of a block: what stays inside one word needs no buffer for two blocks


@dataclass(frozen=True)
class Permute:
    """Parameters of the cell hwc_permute: a frame that is carried as `before` leaves as `after`, in `blocks` of `words` full
    words that don't mix."""

    lanes: int
    words: int
    blocks: int
    before: Layout
    after: Layout

    @classmethod
    def of(cls, lanes: int, before: Layout, after: Layout) -> Permute:
        """The smallest blocks that do."""
        words = _block(lanes, before, after) // lanes
        return cls(lanes, words, before.size // lanes // words, before, after)

    def order(self) -> np.ndarray:
        """int64 [words * lanes]: which element of a block comes in each place."""
        return _places(self.before, self.after)[: self.words * self.lanes]


def _places(before: Layout, after: Layout) -> np.ndarray:
    """int64 [size]: which element of a frame that is carried as `before` comes in each place of one carried as `after`."""
    place = np.empty(before.size, np.int64)
    place[before.order()] = np.arange(before.size)
    return place[after.order()]


@lru_cache(maxsize=1024)
def _block(lanes: int, before: Layout, after: Layout) -> int:
    """Elements of the smallest block, of whole words of `lanes`, such that all blocks are reordered alike."""
    order = _places(before, after)
    ends = np.flatnonzero(np.maximum.accumulate(order) == np.arange(order.size)) + 1  # what is in is what comes out
    for size in ends[(ends % lanes == 0) & (order.size % ends == 0) & (ends >= _LEAST * lanes)].tolist():
        rows = order.reshape(-1, size)
        if (rows == rows[:1] + np.arange(len(rows))[:, None] * size).all():
            return size
    return order.size


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def convert_pixel(lanes_in: int, lanes_out: int, channels: int) -> Convert | None:
    """Another lane count for pixels of `channels` elements; None where nothing changes."""
    if lanes_in == lanes_out:
        return None
    beats_in, beats_out = ceil(channels / lanes_in), ceil(channels / lanes_out)
    if lanes_out % lanes_in == 0:
        ratio = lanes_out // lanes_in
        return Convert(lanes_in, lanes_out, ratio, 1, beats_out, beats_in - (beats_out - 1) * ratio, 1)
    if lanes_in % lanes_out == 0:
        ratio = lanes_in // lanes_out
        return Convert(lanes_in, lanes_out, 1, ratio, beats_in, 1, beats_out - (beats_in - 1) * ratio)
    return Convert(lanes_in, lanes_out, beats_in, beats_out, 1, beats_in, beats_out)


def convert_slots(lanes_in: int, lanes_out: int, beats_in: int) -> Convert | None:
    """Another lane count for a flat row of slots (idle ones included), as a dense layer reads it. The last beat out may
    have stale lanes: their weights are zero."""
    if lanes_in == lanes_out:
        return None
    common = gcd(lanes_in, lanes_out)
    block_in, block_out = lanes_out // common, lanes_in // common
    blocks = ceil(beats_in / block_in)
    last_in = beats_in - (blocks - 1) * block_in
    return Convert(lanes_in, lanes_out, block_in, block_out, blocks, last_in, ceil(last_in * lanes_in / lanes_out))


def regroup(stream: Stream, channels: int, lanes: int) -> tuple[Convert, ...]:
    """Conversions that make pixels of `channels` elements in `lanes` lanes of the same elements in the same order.

    A boundary between pixels of either size must be one between beats of the conversion: where the lanes on neither side
    divide both sizes, the stream passes through a lane count that does.
    """
    size, common = stream.channels * stream.pixels, gcd(stream.channels, channels)
    if stream.channels == channels or common % stream.lanes == 0:
        steps = [convert_pixel(stream.lanes, lanes, channels)]
    elif common % lanes == 0:
        steps = [convert_pixel(stream.lanes, lanes, stream.channels)]
    else:
        most = max(stream.beats, size // channels * ceil(channels / lanes))
        middle = next((d for d in divisors(common) if size // d <= most), common)
        steps = [convert_pixel(stream.lanes, middle, stream.channels), convert_pixel(middle, lanes, channels)]
    return tuple(s for s in steps if s)
