"""Bench of hwc_axis_out."""

import cocotb
import pytest

from rtl_tests.common import STALLS, Bench, simulate

PORTS = {"m_valid": "tvalid_o", "m_ready": "tready_i", "m_data": "tdata_o"}


@cocotb.test()
async def bench(dut):
    tb = Bench(dut, ports=PORTS)
    beats, frames = tb.parameters["BEATS"], 12
    words = tb.words(beats * frames, tb.parameters["DW"])
    last = {"tlast_o": [int(i % beats == beats - 1) for i in range(len(words))]}
    await tb.start()
    for idle, stall in STALLS:
        times, _ = await tb.run(words, words, idle, stall, m_extra=last)
        assert idle or stall or times[-1] - times[0] == len(words) - 1
    await tb.silence()
    await tb.run(words, words, m_extra=last, limit=beats // 2 + 1)
    await tb.reset()
    await tb.run(words, words, True, True, m_extra=last)


@pytest.mark.parametrize(("width", "beats"), [(8, 1), (8, 2), (32, 7), (16, 16)])
def test_hwc_axis_out(tmp_path, width, beats):
    simulate("hwc_axis_out", {"DW": width, "BEATS": beats}, __name__, tmp_path)
