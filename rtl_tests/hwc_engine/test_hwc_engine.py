"""Bench of hwc_engine: what it says of every beat of groups of different sizes, with pauses of both sides."""

import json
import os
import random
from itertools import accumulate

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from rtl_tests.common import simulate, write_hex

SETS = {"all": ((4, 4, 4), 2), "one": ((1,), 1), "single": ((1, 1, 1), 3), "some": ((2, 4, 1, 3), 2), "less": ((1, 1, 3), 4),
        "one_group": ((3,), 1)}  # fmt: skip


@cocotb.test()
async def bench(dut):
    """The addresses of weights and biases, sums that start and add, results, each with the beat that they belong to."""
    config = json.loads(os.environ["BENCH"])
    kept, lat = SETS[config["name"]]
    starts = [s for s, _ in zip(accumulate((0, *kept)), kept, strict=False)]
    group_of = [g for g, beats in enumerate(kept) for _ in range(beats)]
    dice = random.Random(1)
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    for cycles in (9, 600):  # the first run ends anywhere
        dut.rst_ni.value, dut.s_valid_i.value, dut.m_ready_i.value = 0, 0, 0
        for _ in range(2):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        taken, stages = 0, [None] * (lat + 1)
        full = False  # a result waits
        for _ in range(cycles):
            valid, ready = int(dice.random() < 0.7), int(dice.random() < 0.7)
            dut.s_valid_i.value, dut.m_ready_i.value = valid, ready
            await RisingEdge(dut.clk_i)
            moves = not full or ready
            assert (dut.en_o.value, dut.s_ready_o.value, dut.m_valid_o.value) == (moves, moves, full)
            assert dut.take_o.value == (moves and valid)
            if dut.take_o.value:
                assert dut.waddr_o.value == taken % len(group_of)
            beat = stages[lat]
            assert dut.add_o.value == (moves and beat is not None)
            if dut.add_o.value:
                assert dut.first_o.value == (beat in starts)
            if stages[0] is not None:
                assert dut.last_o.value == (stages[0] + 1 in (*starts, len(group_of)))
            assert dut.load_o.value == (moves and stages[lat - 1] in starts)
            if dut.load_o.value:
                assert dut.baddr_o.value == group_of[stages[lat - 1]]
            if moves:
                full = beat is not None and beat + 1 in (*starts, len(group_of))
                stages = [taken % len(group_of) if valid else None, *stages[:-1]]
                taken += valid
            await FallingEdge(dut.clk_i)
    assert taken > 200


@pytest.mark.parametrize("name", SETS)
def test_hwc_engine(tmp_path, name):
    kept, lat = SETS[name]
    chunks, beats = max(kept), sum(kept)
    p = {"GROUPS": len(kept), "CHUNKS": chunks, "LAT": lat, "GW": 3, "WAW": max(1, (beats - 1).bit_length())}
    if min(kept) < chunks or name == "one_group":
        last = [int(i == n - 1) for n in kept for i in range(n)]
        p |= {"BEATS": beats, "L_FILE": write_hex(tmp_path / "l.mem", last, 1)}
    simulate("hwc_engine", p, __name__, tmp_path, name=name)
