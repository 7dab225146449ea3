"""Streams: every element travels in exactly one slot, and lane conversions deliver the order that the plan assumes."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.plan.streams import Permute, Stream, convert_pixel, convert_slots
from hwcomp.verify.verilated import pack, unpack
from sw_ref.program import Edge, Layout, type_range

IDLE = -1


@st.composite
def streams(draw):
    """An edge [C, H, W], channels last, and a stream of it with any number of lanes up to C."""
    c, h, w = (draw(st.integers(1, n)) for n in (9, 3, 3))
    bits, signed = draw(st.integers(1, 24)), draw(st.booleans())
    lo, hi = type_range(bits, signed)
    edge = Edge("e", (c, h, w), bits, signed, lo, hi, 0x3F800000, 0, Layout.channels_last((c, h, w)))
    return edge, Stream(draw(st.integers(1, c)), c, h * w, bits, signed)


@given(streams())
def test_every_element_has_one_slot(drawn):
    edge, stream = drawn
    slots = stream.slots(edge)
    assert len(slots) == stream.beats * stream.lanes
    assert sorted(slots[slots >= 0].tolist()) == list(range(edge.size))
    pixels = slots.reshape(stream.pixels, -1)
    want = edge.layout.order().reshape(stream.pixels, stream.channels)
    assert pixels[:, : stream.channels].tolist() == want.tolist()
    assert set(pixels[:, stream.channels :].ravel().tolist()) <= {IDLE}


@given(streams(), st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(drawn, seed):
    edge, stream = drawn
    values = np.random.default_rng(seed).integers(edge.lo, edge.hi, (3, *edge.shape), endpoint=True).astype(edge.dtype)
    values[0], values[1] = edge.lo, edge.hi
    beats = pack(stream, edge, values)
    assert beats.shape == (3 * stream.beats, ceil(stream.width / 8))
    back = unpack(stream, stream.slots(edge), edge, beats)
    assert back.dtype == edge.dtype
    assert back.tolist() == values.tolist()


def test_lane_0_is_lowest_and_padding_is_zero():
    edge = Edge("e", (3, 1, 1), 3, True, -4, 3, 0x3F800000, 0, Layout.channels_last((3, 1, 1)))
    stream = Stream(2, 3, 1, 3, True)
    beats = pack(stream, edge, np.array([-1, 2, -4]).reshape(1, 3, 1, 1))
    assert beats.tolist() == [[0b010_111], [0b000_100]]


def convert(c, beats):
    """What the cell hwc_width does with a list of beats (lists of lanes): blocks of beats are regrouped; what a block
    does not fill is stale (None)."""
    beats, out = list(beats), []
    if c is None:
        return beats
    while beats:
        for block in range(c.blocks):
            last = block == c.blocks - 1
            taken = [beats.pop(0) for _ in range(c.last_in if last else c.beats_in)]
            assert all(len(t) == c.lanes_in for t in taken)
            flat = [v for t in taken for v in t]
            for i in range(c.last_out if last else c.beats_out):
                lanes = flat[i * c.lanes_out : (i + 1) * c.lanes_out]
                out.append(lanes + [None] * (c.lanes_out - len(lanes)))
    return out


def beats_of(pixels, lanes):
    """Rows of elements -> beats; idle lanes are IDLE."""
    for row in pixels:
        for i in range(0, len(row), lanes):
            yield [*row[i : i + lanes], *[IDLE] * (lanes - len(row[i : i + lanes]))]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 3))
def test_convert_pixel_keeps_every_pixel_in_order(channels, lanes_in, lanes_out, pixels):
    lanes_in, lanes_out = min(lanes_in, channels), min(lanes_out, channels)
    rows = [[p * channels + i for i in range(channels)] for p in range(pixels)]
    c = convert_pixel(lanes_in, lanes_out, channels)
    assert (c is None) == (lanes_in == lanes_out)
    out = convert(c, beats_of(rows, lanes_in))
    per = ceil(channels / lanes_out)
    assert len(out) == pixels * per
    for p, row in enumerate(rows):
        flat = [v for beat in out[p * per : (p + 1) * per] for v in beat]
        assert flat[:channels] == row
        assert set(flat[channels:]) <= {None, IDLE}


@given(st.integers(1, 24), st.integers(1, 40), st.integers(1, 30))
def test_convert_slots_keeps_the_row_in_order(lanes_in, lanes_out, beats_in):
    slots = beats_in * lanes_in
    lanes_out = min(lanes_out, slots)
    row = list(range(slots))
    out = convert(convert_slots(lanes_in, lanes_out, beats_in), beats_of([row], lanes_in))
    assert len(out) == ceil(slots / lanes_out)
    flat = [v for beat in out for v in beat]
    assert flat[:slots] == row
    assert set(flat[slots:]) <= {None}


@pytest.mark.parametrize(("lanes_in", "lanes_out"), [(4, 8), (8, 4), (3, 5), (6, 4), (1, 7), (7, 1)])
def test_registers_hold_a_block(lanes_in, lanes_out):
    c = convert_pixel(lanes_in, lanes_out, 24)
    assert c.register_lanes() >= max(lanes_in, lanes_out)


@pytest.mark.parametrize(("dims", "before", "after", "lanes", "words", "blocks"), [
    ((4, 6), (0, 1), (1, 0), 1, 24, 1), ((4, 6), (0, 1), (1, 0), 2, 12, 1), ((5, 4, 6), (0, 1, 2), (0, 2, 1), 1, 24, 5),
    ((5, 4, 6), (0, 1, 2), (0, 2, 1), 3, 8, 5), ((3, 2, 2, 8), (0, 1, 2, 3), (0, 2, 1, 3), 4, 8, 3),
    ((9, 2, 2), (0, 1, 2), (0, 2, 1), 4, 3, 3),
])  # fmt: skip
def test_a_permutation_in_the_smallest_blocks(dims, before, after, lanes, words, blocks):
    """Every block is put in order by itself; together they give the frame."""
    a, b = Layout(dims, before), Layout(dims, after)
    step = Permute.of(lanes, a, b)
    assert (step.words, step.blocks) == (words, blocks)
    frame = a.order().reshape(blocks, -1)
    assert np.array_equal(frame[:, step.order()].ravel(), b.order())
