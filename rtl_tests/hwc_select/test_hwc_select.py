"""Bench of hwc_select: every lane by every index, with pauses."""

import json
import os
import random

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from rtl_tests.common import pack, simulate, unpack

NAMES = ("SETS", "GROUPS", "N", "M", "XW")
SETS = {
    "pairs_of_4": (1, 1, 2, 4, 8), "one_of_4": (3, 2, 1, 4, 5), "most_of_8": (2, 3, 7, 8, 1), "one_of_16": (1, 2, 1, 16, 3),
    "odd": (4, 3, 3, 7, 2),
}  # fmt: skip


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    n, m, lanes, dice = p["N"], p["M"], p["GROUPS"] * p["N"], random.Random(1)
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    await FallingEdge(dut.clk_i)
    held = None
    for _ in range(300):
        word = dice.getrandbits(p["GROUPS"] * m * p["XW"])
        indices = [dice.randrange(m - n + 1) for _ in range(p["SETS"] * lanes)]
        dut.data_i.value, dut.index_i.value = word, pack(indices, p["IW"])
        dut.en_i.value = go = int(held is None or dice.random() < 0.7)
        if go:
            x = unpack(word, p["XW"], p["GROUPS"] * m)
            held = pack([x[i % lanes // n * m + i % n + index] for i, index in enumerate(indices)], p["XW"])
        await FallingEdge(dut.clk_i)
        assert dut.data_o.value == held


@pytest.mark.parametrize("name", SETS)
def test_hwc_select(tmp_path, name):
    p = dict(zip(NAMES, SETS[name], strict=True))
    simulate("hwc_select", {**p, "IW": (p["M"] - p["N"]).bit_length()}, __name__, tmp_path)
