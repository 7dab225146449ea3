"""Bench of hwc_mvu."""

import cocotb
import numpy as np
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack, write_hex

NAMES = ("PE", "SIMD", "XW", "X_SIGNED", "WW", "GROUPS", "CHUNKS")
SETS = {
    "one": (1, 1, 8, 1, 8, 1, 1),
    "chunk1": (2, 4, 8, 1, 8, 3, 1),
    "group1": (3, 5, 8, 0, 8, 1, 4),
    "odd": (3, 7, 8, 1, 8, 4, 3),
    "simd16": (2, 16, 8, 0, 8, 2, 2),
    "single_lane": (4, 1, 8, 1, 8, 2, 5),
    "bits": (4, 9, 1, 0, 2, 2, 3),
    "wide": (1, 3, 16, 1, 12, 2, 2),
}


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def tensors(p):
    """Weights [group, pe, chunk, lane] and biases [group, pe]; the extremes come first."""
    rng = np.random.default_rng(7)
    low, high = -(1 << (p["WW"] - 1)), (1 << (p["WW"] - 1)) - 1
    weights = rng.integers(low, high + 1, (p["GROUPS"], p["PE"], p["CHUNKS"], p["SIMD"]))
    weights[0, 0] = low
    weights[-1, -1] = high
    return weights, rng.integers(-1000, 1001, (p["GROUPS"], p["PE"]))


def acc_width(p):
    """The least width that holds every sum."""
    weights, biases = tensors(p)
    low, high = (-(1 << (p["XW"] - 1)), (1 << (p["XW"] - 1)) - 1) if p["X_SIGNED"] else (0, (1 << p["XW"]) - 1)
    top = np.maximum(weights * low, weights * high).sum((2, 3)) + biases
    bottom = np.minimum(weights * low, weights * high).sum((2, 3)) + biases
    return 1 + max(int(top.max()).bit_length(), int(-1 - bottom.min()).bit_length())


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    weights, biases = tensors(p)
    frames_in, frames_out = [], []
    for number in range(20):
        vector, sums = [], []
        for group in range(p["GROUPS"]):
            words = tb.words(p["CHUNKS"], p["SIMD"] * p["XW"])
            if number < 2:  # extremes
                lane = (1 << (p["XW"] - 1)) - number if p["X_SIGNED"] else ((1 << p["XW"]) - 1) * number
                words = [pack([lane] * p["SIMD"], p["XW"])] * p["CHUNKS"]
            x = [unpack(word, p["XW"], p["SIMD"]) for word in words]
            if p["X_SIGNED"]:
                x = [[signed(lane, p["XW"]) for lane in lanes] for lanes in x]
            result = (weights[group] * np.array(x)).sum((1, 2)) + biases[group]
            vector += words
            sums.append(pack(result, p["ACC_W"]))
        frames_in.append(vector)
        frames_out.append(sums)
    latency = (p["CHUNKS"] - 1, 3 + (p["SIMD"] - 1).bit_length() // 2)
    await tb.exercise(frames_in, frames_out, p["GROUPS"] * p["CHUNKS"], latency=latency)


@pytest.mark.parametrize("extra", [0, 9])
@pytest.mark.parametrize("name", SETS)
def test_hwc_mvu(tmp_path, name, extra):
    """With the least accumulator and with a wider one."""
    p = dict(zip(NAMES, SETS[name], strict=True))
    p["ACC_W"] = acc_width(p) + extra
    weights, biases = tensors(p)
    words = weights.transpose(0, 2, 1, 3).reshape(p["GROUPS"] * p["CHUNKS"], -1)
    w_file = write_hex(tmp_path / "w.mem", [pack(word, p["WW"]) for word in words], words.shape[1] * p["WW"])
    b_file = write_hex(tmp_path / "b.mem", [pack(word, p["ACC_W"]) for word in biases], p["PE"] * p["ACC_W"])
    simulate("hwc_mvu", {**p, "W_FILE": w_file, "B_FILE": b_file}, __name__, tmp_path)
