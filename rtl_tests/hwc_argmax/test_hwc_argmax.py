"""Bench of hwc_argmax."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate, unpack
from rtl_tests.formulas import signed

SETS = {
    "one_beat": {"LANES": 10, "EW": 3, "IS_SIGNED": 1, "C": 10, "IW": 4},
    "idle_lanes": {"LANES": 4, "EW": 3, "IS_SIGNED": 1, "C": 10, "IW": 8},
    "serial": {"LANES": 1, "EW": 2, "IS_SIGNED": 0, "C": 7, "IW": 3},
    "wide": {"LANES": 3, "EW": 20, "IS_SIGNED": 1, "C": 11, "IW": 4},
    "more_lanes": {"LANES": 8, "EW": 2, "IS_SIGNED": 0, "C": 3, "IW": 2},
    "binary": {"LANES": 2, "EW": 8, "IS_SIGNED": 1, "C": 2, "IW": 1},
    "single": {"LANES": 1, "EW": 8, "IS_SIGNED": 1, "C": 1, "IW": 1},
}


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    frames_in, frames_out = [], []
    for _ in range(150):
        beats = tb.words(p["G"], p["LANES"] * p["EW"])
        values = [word for beat in beats for word in unpack(beat, p["EW"], p["LANES"])][: p["C"]]
        if p["IS_SIGNED"]:
            values = [signed(value, p["EW"]) for value in values]
        frames_in.append(beats)
        frames_out.append([values.index(max(values))])  # the first of equals
    latency = (p["G"] - 1, (p["LANES"] - 1).bit_length() + 2)
    await tb.exercise(frames_in, frames_out, p["G"], latency=latency)


@pytest.mark.parametrize("name", SETS)
def test_hwc_argmax(tmp_path, name):
    p = SETS[name]
    simulate("hwc_argmax", {**p, "G": -(-p["C"] // p["LANES"])}, __name__, tmp_path)
