"""Bench of hwc_axis_in."""

import cocotb
import pytest

from rtl_tests.common import STALLS, Bench, simulate

PORTS = {"s_valid": "tvalid_i", "s_ready": "tready_o", "s_data": "tdata_i"}


@cocotb.test()
async def bench(dut):
    tb = Bench(dut, ports=PORTS)
    beats, frames = tb.parameters["BEATS"], 8
    words = tb.words(beats * frames, tb.parameters["DW"])
    good = [int(i % beats == beats - 1) for i in range(len(words))]
    dut.tlast_i.value = 0
    await tb.start()
    for idle, stall in STALLS:
        times, _ = await tb.run(words, words, idle, stall, s_extra={"tlast_i": good})
        assert idle or stall or times[-1] - times[0] == len(words) - 1
    await tb.silence()
    assert dut.frame_err_o.value == 0

    # A missing or an early TLAST is seen, keeps the data flowing, and is forgotten only by a reset.
    for at in range(beats):
        bad = list(good)
        bad[beats + at] ^= 1
        await tb.run(words[:beats], words[:beats], True, True, s_extra={"tlast_i": bad})
        assert dut.frame_err_o.value == 0
        await tb.run(words, words, True, True, s_extra={"tlast_i": bad})
        await tb.silence(3)
        assert dut.frame_err_o.value == 1
        await tb.run(words, words, s_extra={"tlast_i": good})
        assert dut.frame_err_o.value == 1
        await tb.reset()
        await tb.silence(2)
        assert dut.frame_err_o.value == 0

    # After a reset in mid-frame the count starts over.
    await tb.run(words, words, s_extra={"tlast_i": good}, limit=beats // 2 + 1)
    await tb.reset()
    await tb.run(words, words, s_extra={"tlast_i": good})
    await tb.silence(2)
    assert dut.frame_err_o.value == 0


@pytest.mark.parametrize(("width", "beats"), [(8, 1), (8, 2), (32, 7), (16, 16)])
def test_hwc_axis_in(tmp_path, width, beats):
    simulate("hwc_axis_in", {"DW": width, "BEATS": beats}, __name__, tmp_path)
