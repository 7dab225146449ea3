"""Bench of hwc_extend: exhaustive."""

import json
import os

import cocotb
import pytest
from cocotb.triggers import Timer

from rtl_tests.common import pack, simulate, unpack
from rtl_tests.formulas import signed


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    for word in range(1 << (p["LANES"] * p["IN_W"])):
        dut.data_i.value = word
        await Timer(1, "ns")
        lanes = unpack(word, p["IN_W"], p["LANES"])
        lanes = [signed(lane, p["IN_W"]) for lane in lanes] if p["IS_SIGNED"] else lanes
        assert dut.data_o.value == pack(lanes, p["OUT_W"])


@pytest.mark.parametrize("out", [4, 7])
@pytest.mark.parametrize("is_signed", [0, 1])
def test_hwc_extend(tmp_path, out, is_signed):
    simulate("hwc_extend", {"LANES": 3, "IN_W": 4, "OUT_W": out, "IS_SIGNED": is_signed}, __name__, tmp_path)
