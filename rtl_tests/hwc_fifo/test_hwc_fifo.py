"""Bench of hwc_fifo."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    width, depth = tb.parameters["W"], tb.parameters["DEPTH"]
    words = tb.words(4 * depth + 200, width)
    await tb.exercise([words], [words])

    # Capacity is exactly DEPTH, and ready does not look at m_ready.
    await tb.reset()
    taken, _ = await tb.run(words, [], limit=3 * depth + 10)
    assert len(taken) == depth
    dut.m_ready_i.value = 1
    await cocotb.triggers.Timer(1, "ns")
    assert dut.s_ready_o.value == 0

    # One word per cycle, in and out.
    await tb.reset()
    times_in, times_out = await tb.run(words, words)
    assert times_in[-1] - times_in[0] == times_out[-1] - times_out[0] == len(words) - 1
    assert times_out[0] - times_in[0] == (1 if depth == 2 else 2)


@pytest.mark.parametrize(("width", "depth"), [(8, 2), (1, 3), (13, 4), (8, 5), (70, 16), (4, 33), (8, 100)])
def test_hwc_fifo(tmp_path, width, depth):
    simulate("hwc_fifo", {"W": width, "DEPTH": depth}, __name__, tmp_path)
