"""Bench of hwc_lut."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack, write_hex


def table(p):
    rng = random.Random(11)
    return [rng.getrandbits(p["OUT_W"]) for _ in range(1 << p["EW"])]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    words, lanes = table(p), p["LANES"]
    count = 1 << p["EW"]
    frame = [pack([i * (lane + 1) for lane in range(lanes)], p["EW"]) for i in range(count)]  # all values in all lanes
    expected = [pack([words[value] for value in unpack(beat, p["EW"], lanes)], p["OUT_W"]) for beat in frame]
    await tb.exercise([frame] * 3, [expected] * 3, count, latency=(0, 1))


@pytest.mark.parametrize(("lanes", "width", "out"), [(1, 8, 8), (3, 4, 12), (2, 1, 1), (4, 8, 5)])
def test_hwc_lut(tmp_path, lanes, width, out):
    p = {"LANES": lanes, "EW": width, "OUT_W": out}
    simulate("hwc_lut", {**p, "MEM_FILE": write_hex(tmp_path / "t.mem", table(p), out)}, __name__, tmp_path)
