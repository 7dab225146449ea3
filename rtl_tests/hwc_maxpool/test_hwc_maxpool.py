"""Bench of hwc_maxpool."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack
from rtl_tests.formulas import signed

NAMES = ("LANES", "EW", "IS_SIGNED", "HP", "WP", "G", "KH", "KW", "SH", "SW")
SETS = {
    "2x2": (2, 8, 1, 6, 8, 2, 2, 2, 2, 2),
    "2x2_unsigned_rest": (3, 8, 0, 7, 5, 1, 2, 2, 2, 2),
    "3x3_stride2": (1, 8, 1, 9, 7, 3, 3, 3, 2, 2),
    "3x3_stride1": (2, 4, 1, 5, 6, 1, 3, 3, 1, 1),
    "stride_beyond": (1, 8, 1, 8, 9, 2, 2, 1, 3, 2),
    "unlike": (2, 5, 0, 6, 7, 1, 1, 3, 1, 2),
    "tall": (1, 8, 1, 9, 1, 4, 4, 1, 3, 1),
    "whole": (1, 8, 1, 4, 4, 2, 4, 4, 4, 4),
    "nothing": (1, 8, 1, 2, 3, 1, 1, 1, 1, 1),
    "5x4": (1, 10, 1, 10, 9, 1, 5, 4, 2, 3),
}


def pooled(frame, p):
    """Expected words for the words of one frame."""

    def lanes(y, x, g):
        words = unpack(frame[(y * p["WP"] + x) * p["G"] + g], p["EW"], p["LANES"])
        return [signed(word, p["EW"]) for word in words] if p["IS_SIGNED"] else words

    result = []
    for y in range(0, p["HP"] - p["KH"] + 1, p["SH"]):
        for x in range(0, p["WP"] - p["KW"] + 1, p["SW"]):
            for g in range(p["G"]):
                window = [lanes(y + ky, x + kx, g) for ky in range(p["KH"]) for kx in range(p["KW"])]
                result.append(pack([max(column) for column in zip(*window, strict=True)], p["EW"]))
    return result


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    size = p["HP"] * p["WP"] * p["G"]
    frames = [tb.words(size, p["LANES"] * p["EW"]) for _ in range(5)]
    first = ((p["KH"] - 1) * p["WP"] + p["KW"] - 1) * p["G"]  # the beat that completes the first window
    await tb.exercise(frames, [pooled(frame, p) for frame in frames], size, latency=(first, 2))


@pytest.mark.parametrize("name", SETS)
def test_hwc_maxpool(tmp_path, name):
    simulate("hwc_maxpool", dict(zip(NAMES, SETS[name], strict=True)), __name__, tmp_path)
