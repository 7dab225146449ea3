"""Bench of hwc_chanperm."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, order_rom, pack, simulate, unpack


def sources(channels, groups):
    """Channel shuffle (reshape to groups x n, transpose), or a random choice of channels for groups = 0."""
    if groups == 0:
        return [random.Random(channels).randrange(channels) for _ in range(channels)]
    return [k * (channels // groups) + i for i in range(channels // groups) for k in range(groups)]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p, picks = tb.parameters, tb.config["picks"]
    width, lanes = p["EW"], p["LANES"]
    beats = p["C"] // lanes
    frames_in, frames_out = [], []
    for _ in range(max(8, 200 // beats)):
        words = tb.words(beats, lanes * width)
        channels = [channel for word in words for channel in unpack(word, width, lanes)]
        channels = [channels[pick] for pick in picks]
        frames_in.append(words)
        frames_out.append([pack(channels[at : at + lanes], width) for at in range(0, p["C"], lanes)])
    await tb.exercise(frames_in, frames_out, beats, latency=(beats - 1, 0 if beats == 1 else 4))


@pytest.mark.parametrize(
    ("width", "channels", "lanes", "groups"),
    [(8, 1, 1, 1), (8, 6, 1, 2), (8, 12, 2, 3), (4, 12, 3, 4), (8, 24, 4, 2), (8, 30, 5, 0), (8, 16, 8, 0),
     (8, 8, 8, 2), (3, 9, 9, 0)],
)  # fmt: skip
def test_hwc_chanperm(tmp_path, width, channels, lanes, groups):
    picks = sources(channels, groups)
    p = {"EW": width, "LANES": lanes, "C": channels}
    if lanes == channels:
        p["ORDER"] = f"{16 * lanes}'h{pack(picks, 16):x}"
    else:
        p["MEM_FILE"] = order_rom(tmp_path / "order.mem", picks, lanes)
    simulate("hwc_chanperm", p, __name__, tmp_path, picks=picks)
