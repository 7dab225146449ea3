"""Bench of hwc_sumpool."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack
from rtl_tests.formulas import signed

SETS = {
    "one": {"LANES": 1, "P": 1, "XW": 8, "X_SIGNED": 1, "TAPS": 1, "ACC_W": 8},
    "serial": {"LANES": 3, "P": 1, "XW": 8, "X_SIGNED": 1, "TAPS": 4, "ACC_W": 12, "START": -77},
    "all": {"LANES": 2, "P": 4, "XW": 8, "X_SIGNED": 0, "TAPS": 4, "ACC_W": 11},
    "rest": {"LANES": 2, "P": 4, "XW": 8, "X_SIGNED": 1, "TAPS": 9, "ACC_W": 13, "START": 1000},
    "idle": {"LANES": 2, "P": 5, "XW": 3, "X_SIGNED": 1, "TAPS": 2, "ACC_W": 20, "START": -5},
    "wide": {"LANES": 1, "P": 3, "XW": 16, "X_SIGNED": 0, "TAPS": 25, "ACC_W": 24, "START": -3000000},
}


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p, start = tb.parameters, tb.config["start"]
    chunks = -(-p["TAPS"] // p["P"])
    lanes, width = p["P"] * p["LANES"], p["XW"]
    frames_in, frames_out = [], []
    for number in range(300 // chunks):
        beats = tb.words(chunks, lanes * width)
        if number < 2:  # extremes
            lane = (1 << (width - 1)) - number if p["X_SIGNED"] else ((1 << width) - 1) * number
            beats = [pack([lane] * lanes, width)] * chunks
        words = [word for beat in beats for word in unpack(beat, width, lanes)]
        if p["X_SIGNED"]:
            words = [signed(word, width) for word in words]
        sums = [start + sum(words[lane :: p["LANES"]][: p["TAPS"]]) for lane in range(p["LANES"])]
        assert all(-(1 << (p["ACC_W"] - 1)) <= total < 1 << (p["ACC_W"] - 1) for total in sums)
        frames_in.append(beats)
        frames_out.append([pack(sums, p["ACC_W"])])
    latency = (chunks - 1, 3 + (p["P"] - 1).bit_length() // 2)
    await tb.exercise(frames_in, frames_out, chunks, latency=latency)


@pytest.mark.parametrize("name", SETS)
def test_hwc_sumpool(tmp_path, name):
    p = dict(SETS[name])
    start = p.pop("START", 0)
    if start:
        p["START"] = f"{p['ACC_W']}'h{pack([start], p['ACC_W']):x}"
    simulate("hwc_sumpool", p, __name__, tmp_path, start=start)
