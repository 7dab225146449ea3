"""Bench of hwc_pad."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate

NAMES = ("DW", "H", "WD", "G", "PT", "PL", "PB", "PR", "VALUE")
SETS = {
    "none": (8, 3, 4, 2, 0, 0, 0, 0, 0),
    "same3x3": (8, 5, 5, 1, 1, 1, 1, 1, 0x80),
    "words": (24, 4, 3, 3, 1, 1, 1, 1, 0x808182),
    "asymmetric": (8, 4, 5, 2, 0, 1, 2, 3, 7),
    "wide": (16, 2, 2, 1, 3, 4, 0, 0, 0xFFFF),
    "one_pixel": (8, 1, 1, 1, 1, 1, 1, 1, 3),
    "power_of_two": (8, 8, 8, 1, 0, 0, 8, 8, 9),
}


def padded(frame, p):
    row = [p["VALUE"]] * (p["G"] * (p["PL"] + p["WD"] + p["PR"]))
    result = row * p["PT"]
    for y in range(p["H"]):
        line = frame[y * p["WD"] * p["G"] : (y + 1) * p["WD"] * p["G"]]
        result += [p["VALUE"]] * (p["PL"] * p["G"]) + line + [p["VALUE"]] * (p["PR"] * p["G"])
    return result + row * p["PB"]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = {**tb.parameters, "VALUE": tb.config["value"]}
    frames = [tb.words(p["H"] * p["WD"] * p["G"], p["DW"]) for _ in range(5)]
    expected = [padded(frame, p) for frame in frames]
    await tb.exercise(frames, expected, len(expected[0]), chatty=True)


@pytest.mark.parametrize("name", SETS)
def test_hwc_pad(tmp_path, name):
    p = dict(zip(NAMES, SETS[name], strict=True))
    value = p.pop("VALUE")
    simulate("hwc_pad", {**p, "VALUE": f"{p['DW']}'h{value:x}"}, __name__, tmp_path, value=value)
