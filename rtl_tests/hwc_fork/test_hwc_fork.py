"""Bench of hwc_fork."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate


@cocotb.test()
async def bench(dut):
    n = len(dut.m_valid_o)
    tb = Bench(dut, sinks=["m"] * n, shared=True)
    frames = [tb.words(10, tb.parameters["W"]) for _ in range(40)]
    await tb.exercise_all([frames], [frames] * n, 10, latency=(0, 0))

    # Each consumer gets a beat once, whoever comes first, and the last of them takes it from the source.
    word = tb.words(1, 8)
    for first in range(n):
        for turn in range(n):
            chosen = (first + turn) % n
            expected = [word if sink == chosen else [] for sink in range(n)]
            last = turn == n - 1
            taken, times = await tb.run_all([word], expected, limit=None if last else 5)
            assert len(times[chosen]) == 1
            assert len(taken[0]) == last
        await tb.silence(3)


@pytest.mark.parametrize(("width", "n"), [(8, 1), (8, 2), (16, 3), (8, 5)])
def test_hwc_fork(tmp_path, width, n):
    simulate("hwc_fork", {"W": width, "N": n}, __name__, tmp_path)
