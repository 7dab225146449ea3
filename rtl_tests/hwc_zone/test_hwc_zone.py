"""Bench of hwc_zone: the address of every result of some frames, with pauses."""

import json
import os
import random

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from rtl_tests.common import pack, simulate

SETS = {
    "one": (1, [0], [0]),
    "groups": (3, [0], [0]),
    "map": (2, [0, 6, 6, 12], [0, 2, 4]),
    "row": (1, [0], [1, 0, 0, 3]),
}


@cocotb.test()
async def bench(dut):
    config = json.loads(os.environ["BENCH"])
    groups, rows, columns = SETS[config["name"]]
    dice = random.Random(1)
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    dut.rst_ni.value, dut.en_i.value = 0, 0
    for _ in range(2):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    for _ in range(3):
        for row in rows:
            for column in columns:
                for group in range(groups):
                    while dice.random() < 0.4:
                        dut.en_i.value = 0
                        await FallingEdge(dut.clk_i)
                    assert dut.addr_o.value == row + column + group
                    dut.en_i.value = 1
                    await FallingEdge(dut.clk_i)


@pytest.mark.parametrize("name", SETS)
def test_hwc_zone(tmp_path, name):
    groups, rows, columns = SETS[name]
    p = {"GROUPS": groups, "W": 5, "ROWS": len(rows), "COLS": len(columns)}
    more = {n: f"{32 * len(at)}'h{pack(at, 32):x}" for n, at in (("ROW_AT", rows), ("COL_AT", columns))}
    simulate("hwc_zone", {**p, **more}, __name__, tmp_path, name=name)
