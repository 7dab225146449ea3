"""Bench of hwc_cut: every value of a lane."""

import json
import os

import cocotb
import pytest
from cocotb.triggers import Timer

from rtl_tests.common import pack, simulate, unpack
from rtl_tests.formulas import signed

SETS = {"sign": ([0], 0, 0, 1, 1, 1), "falls": ([-3, 5], 1, -1, 1, 2, 1), "unsigned": ([0, 9, 16], 0, 0, 1, 2, 0)}


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    thresholds, falls = SETS[json.loads(os.environ["BENCH"])["name"]][:2]
    for value in range(1 << p["XW"]):
        beat = pack([value, value + 5, value * 7], p["XW"])
        dut.data_i.value = beat
        await Timer(1, "ns")
        expected = []
        for code in unpack(beat, p["XW"], 3):
            met = sum((signed(code, p["XW"]) if p["X_SIGNED"] else code) >= t for t in thresholds)
            expected.append(p["LO"] + p["STEP"] * (len(thresholds) - met if falls else met))
        assert dut.data_o.value == pack(expected, p["OUT_W"])


@pytest.mark.parametrize("name", SETS)
def test_hwc_cut(tmp_path, name):
    thresholds, falls, lo, step, out, is_signed = SETS[name]
    width, n = 6, len(thresholds)
    p = {"LANES": 3, "XW": 4, "X_SIGNED": is_signed, "ACC_W": width, "N": n, "LO": lo, "STEP": step, "OUT_W": out}
    word = pack(thresholds, width) | falls << (n * width)
    simulate("hwc_cut", {**p, "T": f"{n * width + 1}'h{word:x}"}, __name__, tmp_path, name=name)
