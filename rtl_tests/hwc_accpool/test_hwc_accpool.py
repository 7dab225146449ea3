"""Bench of hwc_accpool."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack
from rtl_tests.formulas import signed

SETS = {
    "one": {"LANES": 2, "EW": 8, "IS_SIGNED": 1, "ACC_W": 8, "PIXELS": 1, "G": 1},
    "one_pixel": {"LANES": 1, "EW": 8, "IS_SIGNED": 0, "ACC_W": 10, "PIXELS": 1, "G": 5, "START": 17},
    "one_group": {"LANES": 3, "EW": 8, "IS_SIGNED": 1, "ACC_W": 13, "PIXELS": 16, "G": 1, "START": -2000},
    "two": {"LANES": 2, "EW": 8, "IS_SIGNED": 0, "ACC_W": 13, "PIXELS": 9, "G": 2},
    "odd": {"LANES": 3, "EW": 6, "IS_SIGNED": 1, "ACC_W": 24, "PIXELS": 5, "G": 3, "START": 12345},
    "many": {"LANES": 1, "EW": 16, "IS_SIGNED": 1, "ACC_W": 19, "PIXELS": 8, "G": 11},
}


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p, start = tb.parameters, tb.config["start"]
    lanes, width = p["LANES"], p["EW"]
    frames_in, frames_out = [], []
    for number in range(max(6, 300 // (p["PIXELS"] * p["G"]))):
        beats = tb.words(p["PIXELS"] * p["G"], lanes * width)
        if number < 2:  # extremes
            lane = (1 << (width - 1)) - number if p["IS_SIGNED"] else ((1 << width) - 1) * number
            beats = [pack([lane] * lanes, width)] * len(beats)
        totals = []
        for group in range(p["G"]):
            pixels = [unpack(beat, width, lanes) for beat in beats[group :: p["G"]]]
            if p["IS_SIGNED"]:
                pixels = [[signed(word, width) for word in pixel] for pixel in pixels]
            sums = [start + sum(channel) for channel in zip(*pixels, strict=True)]
            assert all(-(1 << (p["ACC_W"] - 1)) <= total < 1 << (p["ACC_W"] - 1) for total in sums)
            totals.append(pack(sums, p["ACC_W"]))
        frames_in.append(beats)
        frames_out.append(totals)
    await tb.exercise(frames_in, frames_out, p["PIXELS"] * p["G"], latency=((p["PIXELS"] - 1) * p["G"], 1))


@pytest.mark.parametrize("name", SETS)
def test_hwc_accpool(tmp_path, name):
    p = dict(SETS[name])
    start = p.pop("START", 0)
    if start:
        p["START"] = f"{p['ACC_W']}'h{pack([start], p['ACC_W']):x}"
    simulate("hwc_accpool", p, __name__, tmp_path, start=start)
