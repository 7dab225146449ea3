"""Bench of hwc_concat."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate


@cocotb.test()
async def bench(dut):
    n = len(dut.s_valid_i)
    tb = Bench(dut, sources=["s"] * n)
    beats = tb.config["beats"]
    frames = [[tb.words(size, tb.parameters["W"]) for size in beats] for _ in range(600 // sum(beats))]
    joined = [sum(frame, []) for frame in frames]
    await tb.exercise_all([list(part) for part in zip(*frames, strict=True)], [joined], sum(beats), latency=(0, 0))


@pytest.mark.parametrize("beats", [(1, 1), (3,), (4, 1), (2, 8, 5), (1, 4, 1, 3, 2, 1, 6, 2), (16, 17)], ids=str)
def test_hwc_concat(tmp_path, beats):
    value = f"{32 * len(beats)}'h{pack(beats, 32):x}"
    simulate("hwc_concat", {"W": 8, "N": len(beats), "BEATS": value}, __name__, tmp_path, beats=beats)
