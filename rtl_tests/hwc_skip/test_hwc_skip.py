"""Bench of hwc_skip: tap group, address and end of every beat of some frames, with pauses."""

import json
import os
import random
import sys
from itertools import islice

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from rtl_tests.common import simulate, write_hex
from rtl_tests.window_model import Geometry

SETS = {
    "taps": (Geometry(P=1, HP=5, WP=6, G=2, KH=3, KW=3), [(0, 0), (2, 1), (7, 0), (1, 1), (8, 1)]),
    "one_beat": (Geometry(P=4, HP=4, WP=4, G=3, KH=2, KW=2), [(0, 2)]),
    "one_pixel": (Geometry(HP=1, WP=1, G=7), [(0, 3), (0, 6), (0, 0), (0, 6)]),
    "strides": (Geometry(P=2, HP=7, WP=8, G=4, KH=3, KW=2, SH=2, SW=3), [(2, 3), (0, 0), (0, 1), (1, 2)]),
}


def widths(geometry):
    tap_groups = -(-geometry.KH * geometry.KW // geometry.P)
    return max(1, (tap_groups - 1).bit_length()), max(1, (geometry.G - 1).bit_length()), tap_groups


def expected(g, beats, frames):
    """(tap group, words from the first word of all, last of a window, kind) of every beat."""
    rows, columns = g.shape
    for frame in range(frames):
        for row in range(rows):
            for column in range(columns):
                first = ((frame * g.HP + row * g.SH) * g.WP + column * g.SW) * g.G
                kind = int(column == columns - 1) + 2 * int((row, column) == (rows - 1, columns - 1))
                for i, (taps, word) in enumerate(beats):
                    yield taps, first + word, i == len(beats) - 1, kind


@cocotb.test()
async def bench(dut):
    config = json.loads(os.environ["BENCH"])
    geometry, beats = SETS[config["name"]]
    dice, depth = random.Random(1), config["parameters"]["DEPTH"]
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    for count in (len(beats) + 1, sys.maxsize):  # the first run ends in a window
        dut.rst_ni.value, dut.en_i.value = 0, 0
        for _ in range(2):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        await FallingEdge(dut.clk_i)
        for taps, at, last, kind in islice(expected(geometry, beats, 3), count):
            while dice.random() < 0.4:
                dut.en_i.value = 0
                await RisingEdge(dut.clk_i)
                assert dut.take_o.value == 0
                await FallingEdge(dut.clk_i)
            dut.en_i.value = 1
            await RisingEdge(dut.clk_i)
            assert (dut.tg_o.value, dut.addr_o.value, dut.take_o.value) == (taps, at % depth, last)
            assert not last or dut.kind_o.value == kind
            await FallingEdge(dut.clk_i)


@pytest.mark.parametrize("name", SETS)
def test_hwc_skip(tmp_path, name):
    g, beats = SETS[name]
    tap_bits, word_bits, tap_groups = widths(g)
    rows, columns = g.shape
    p = dict(zip(("STEP_X", "STEP_Y", "STEP_F"), g.steps, strict=True))
    p |= {"DEPTH": g.depth, "AW": (g.depth - 1).bit_length(), "G": g.G, "TG": tap_groups, "TW": tap_bits}
    p |= {"BEATS": len(beats), "WO": columns, "HO": rows}
    words = [word | taps << word_bits for taps, word in beats]
    file = write_hex(tmp_path / "s.mem", words, word_bits + tap_bits)
    simulate("hwc_skip", {**p, "S_FILE": file}, __name__, tmp_path, name=name)
