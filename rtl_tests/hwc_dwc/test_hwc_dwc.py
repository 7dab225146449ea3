"""Bench of hwc_dwc."""

import cocotb
import numpy as np
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack, write_hex
from rtl_tests.formulas import signed

NAMES = ("LANES", "P", "XW", "X_SIGNED", "WW", "GROUPS", "CHUNKS")
SETS = {
    "one": (1, 1, 8, 1, 8, 1, 1),
    "taps9": (2, 9, 8, 1, 8, 3, 1),  # all taps of 3x3 at once
    "taps3": (3, 3, 8, 0, 8, 2, 3),
    "serial": (4, 1, 8, 1, 8, 2, 9),
    "single_lane": (1, 5, 8, 1, 8, 4, 2),
    "bits": (5, 4, 1, 0, 2, 1, 2),
    "wide": (2, 2, 16, 1, 12, 3, 2),
}


def tensors(p):
    """Weights [group, chunk, tap, lane] and biases [group, lane]; the extremes come first and last."""
    rng = np.random.default_rng(7)
    low, high = -(1 << (p["WW"] - 1)), (1 << (p["WW"] - 1)) - 1
    weights = rng.integers(low, high + 1, (p["GROUPS"], p["CHUNKS"], p["P"], p["LANES"]))
    weights[0, :, :, 0] = low
    weights[-1, :, :, -1] = high
    return weights, rng.integers(-1000, 1001, (p["GROUPS"], p["LANES"]))


def acc_width(p):
    """The least width that holds every sum."""
    weights, biases = tensors(p)
    low, high = (-(1 << (p["XW"] - 1)), (1 << (p["XW"] - 1)) - 1) if p["X_SIGNED"] else (0, (1 << p["XW"]) - 1)
    top = np.maximum(weights * low, weights * high).sum((1, 2)) + biases
    bottom = np.minimum(weights * low, weights * high).sum((1, 2)) + biases
    return 1 + max(int(top.max()).bit_length(), int(-1 - bottom.min()).bit_length())


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    weights, biases = tensors(p)
    lanes, width = p["P"] * p["LANES"], p["XW"]
    frames_in, frames_out = [], []
    for number in range(20):
        words, sums = [], []
        for group in range(p["GROUPS"]):
            beats = tb.words(p["CHUNKS"], lanes * width)
            if number < 2:  # extremes
                lane = (1 << (width - 1)) - number if p["X_SIGNED"] else ((1 << width) - 1) * number
                beats = [pack([lane] * lanes, width)] * p["CHUNKS"]
            x = np.array([unpack(beat, width, lanes) for beat in beats])
            if p["X_SIGNED"]:
                x = np.vectorize(lambda lane: signed(int(lane), width))(x)
            x = x.reshape(p["CHUNKS"], p["P"], p["LANES"])
            words += beats
            sums.append(pack((x * weights[group]).sum((0, 1)) + biases[group], p["ACC_W"]))
        frames_in.append(words)
        frames_out.append(sums)
    latency = (p["CHUNKS"] - 1, 3 + (p["P"] - 1).bit_length() // 2)
    await tb.exercise(frames_in, frames_out, p["GROUPS"] * p["CHUNKS"], latency=latency)


@pytest.mark.parametrize("name", SETS)
def test_hwc_dwc(tmp_path, name):
    """With the least accumulator."""
    p = dict(zip(NAMES, SETS[name], strict=True))
    p["ACC_W"] = acc_width(p)
    weights, biases = tensors(p)
    words = weights.reshape(p["GROUPS"] * p["CHUNKS"], -1)
    w_file = write_hex(tmp_path / "w.mem", [pack(word, p["WW"]) for word in words], words.shape[1] * p["WW"])
    b_file = write_hex(tmp_path / "b.mem", [pack(word, p["ACC_W"]) for word in biases], p["LANES"] * p["ACC_W"])
    simulate("hwc_dwc", {**p, "W_FILE": w_file, "B_FILE": b_file}, __name__, tmp_path)
