"""Bench of hwc_slice."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    frames = [tb.words(p["BEATS"], p["W"]) for _ in range(600 // p["BEATS"])]
    parts = [frame[p["FIRST"] : p["LAST"] + 1] for frame in frames]
    await tb.exercise(frames, parts, p["BEATS"], latency=(p["FIRST"], 0))


@pytest.mark.parametrize(
    ("beats", "first", "last"),
    [(1, 0, 0), (2, 0, 0), (2, 1, 1), (5, 0, 2), (5, 3, 4), (7, 2, 5), (8, 0, 7), (8, 7, 7), (16, 1, 15)],
)
def test_hwc_slice(tmp_path, beats, first, last):
    simulate("hwc_slice", {"W": 8, "BEATS": beats, "FIRST": first, "LAST": last}, __name__, tmp_path)
