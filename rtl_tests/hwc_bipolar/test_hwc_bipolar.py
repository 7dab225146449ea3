"""Benches of hwc_bipolar and hwc_sign: exhaustive; they undo each other."""

import json
import os

import cocotb
import pytest
from cocotb.triggers import Timer

from rtl_tests.common import simulate, unpack
from rtl_tests.formulas import signed


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    lanes, width = p["LANES"], p.get("W")
    for word in range(1 << (lanes * (width or 1))):
        dut.data_i.value = word
        await Timer(1, "ns")
        given, have = unpack(word, width or 1, lanes), unpack(int(dut.data_o.value), 1 if width else 2, lanes)
        if width:
            assert have == [int(signed(v, width) >= 0) for v in given]
        else:
            assert [signed(v, 2) for v in have] == [1 if bit else -1 for bit in given]


def test_hwc_bipolar(tmp_path):
    simulate("hwc_bipolar", {"LANES": 5}, __name__, tmp_path)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_hwc_sign(tmp_path, width):
    simulate("hwc_sign", {"LANES": 2, "W": width}, __name__, tmp_path)
