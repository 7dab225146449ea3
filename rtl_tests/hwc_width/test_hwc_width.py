"""Bench of hwc_width."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate

NAMES = ("EW", "LANES_I", "LANES_O", "BEATS_I", "BEATS_O", "BLOCKS", "LAST_I", "LAST_O")
SETS = {
    "wires": (8, 3, 3, 1, 1, 4, 1, 1),
    "cut": (8, 5, 3, 1, 1, 1, 1, 1),
    "grow": (8, 3, 5, 1, 1, 1, 1, 1),
    "up": (8, 1, 4, 4, 1, 3, 4, 1),
    "up_short": (8, 2, 6, 3, 1, 3, 2, 1),
    "up_shorter": (4, 1, 4, 4, 1, 2, 1, 1),
    "down": (8, 4, 1, 1, 4, 3, 1, 4),
    "down_short": (32, 4, 1, 1, 4, 3, 1, 2),  # an accumulator serializer
    "down_only_block": (20, 8, 3, 1, 3, 1, 1, 2),
    "pixel": (8, 3, 5, 4, 3, 1, 4, 3),  # 10 to 12 channels, non-dividing
    "pixel_down": (8, 5, 3, 2, 4, 1, 2, 4),
    "drop": (8, 2, 2, 3, 3, 2, 3, 1),
    "blocks": (8, 4, 6, 3, 2, 3, 2, 1),
}


def convert(pixel, p):
    """Expected output words and the masks of their meaningful lanes, for the input words of one pixel."""
    ew, words, masks, at = p["EW"], [], [], 0
    for block in range(p["BLOCKS"]):
        short = block == p["BLOCKS"] - 1
        beats_i, beats_o = (p["LAST_I"], p["LAST_O"]) if short else (p["BEATS_I"], p["BEATS_O"])
        lanes = pixel[at : at + beats_i * p["LANES_I"]]
        at += beats_i * p["LANES_I"]
        full = [(1 << ew) - 1] * len(lanes)
        for beat in range(beats_o):
            cut = slice(beat * p["LANES_O"], (beat + 1) * p["LANES_O"])
            words.append(pack(lanes[cut], ew))
            masks.append(pack(full[cut], ew))
    assert at == len(pixel)
    return words, masks


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    beats = (p["BLOCKS"] - 1) * p["BEATS_I"] + p["LAST_I"]
    frames_in, frames_out, masks = [], [], []
    for _ in range(60):
        pixel = tb.words(beats * p["LANES_I"], p["EW"])
        frames_in.append([pack(pixel[i * p["LANES_I"] : (i + 1) * p["LANES_I"]], p["EW"]) for i in range(beats)])
        words, mask = convert(pixel, p)
        frames_out.append(words)
        masks.append(mask)
    interval = max(len(frames_in[0]), len(frames_out[0]))
    alike = p["BLOCKS"] == 1 or (p["BEATS_I"], p["BEATS_O"]) == (p["LAST_I"], p["LAST_O"])
    if not alike and 1 not in (p["BEATS_I"], p["BEATS_O"]):
        interval = None
    await tb.exercise(frames_in, frames_out, interval, masks)


@pytest.mark.parametrize("name", SETS)
def test_hwc_width(tmp_path, name):
    simulate("hwc_width", dict(zip(NAMES, SETS[name], strict=True)), __name__, tmp_path)
