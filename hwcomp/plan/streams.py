"""Streams between hardware engines: lanes and beats, lane conversions, and which beat slot carries which element."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd

import numpy as np

from sw_ref.program import Edge


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

    def slots(self, edge: Edge) -> np.ndarray:
        """int64 [beats * lanes]: the logical row-major index of the element in each slot, -1 where the lane is idle."""
        padded = np.full((self.pixels, self.beats_per_pixel * self.lanes), -1, np.int64)
        padded[:, : self.channels] = edge.layout.order().reshape(self.pixels, self.channels)
        return padded.ravel()


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
