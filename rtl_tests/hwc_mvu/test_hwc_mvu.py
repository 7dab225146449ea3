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
SPARSE = {
    "select": ("odd", {"SIMD": 6, "N": 2, "M": 4, "SHARE": 2}),
    "select_all_alike": ("chunk1", {"N": 1, "M": 4, "SHARE": 2}),
    "select_one": ("single_lane", {"N": 1, "M": 2, "SHARE": 1}),
    "select_wide": ("wide", {"N": 3, "M": 8, "SHARE": 1}),
    "skip": ("odd", {"BEATS": 7}),
    "skip_to_one": ("single_lane", {"BEATS": 2}),
    "skip_of_one_group": ("group1", {"BEATS": 3}),
    "skip_and_select": ("simd16", {"N": 8, "M": 16, "SHARE": 2, "BEATS": 3}),
    "codes": ("odd", {"CODE_W": 3}),
    "codes_and_select": ("wide", {"CODE_W": 1, "N": 3, "M": 4, "SHARE": 1}),
}


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def beats(p):
    """The group of each beat: CHUNKS of each, or BEATS in all, at least one of each."""
    if not p.get("BEATS"):
        return np.repeat(np.arange(p["GROUPS"]), p["CHUNKS"])
    order = np.random.default_rng(3).permutation(p["GROUPS"] * p["CHUNKS"]) % p["GROUPS"]
    some = [g for i, g in enumerate(order) if g not in order[:i]]  # one of each
    rest = [g for i, g in enumerate(order) if g in order[:i]]
    return np.sort(np.array(some + rest)[: p["BEATS"]])


def tensors(p):
    """Weights [beat, pe, lane], biases [group, pe], indices [beat, selection, lane]; the extremes come first, codes take some."""
    rng = np.random.default_rng(7)
    low, high = -(1 << (p["WW"] - 1)), (1 << (p["WW"] - 1)) - 1
    groups, lanes = beats(p), p["SIMD"]
    weights = rng.integers(low, high + 1, (len(groups), p["PE"], lanes))
    weights[groups == 0, 0] = low
    weights[groups == p["GROUPS"] - 1, -1] = high
    if "CODE_W" in p:
        weights = rng.choice(np.append(low, rng.integers(low, high + 1, (1 << p["CODE_W"]) - 1)), weights.shape)
    biases = rng.integers(-1000, 1001, (p["GROUPS"], p["PE"]))
    n, m = p.get("N", 1), p.get("M", 1)
    return weights, biases, rng.integers(0, m - n + 1, (len(groups), -(-p["PE"] // p.get("SHARE", p["PE"])), lanes))


def acc_width(p):
    """The least width that holds every sum."""
    weights, biases, _ = tensors(p)
    low, high = (-(1 << (p["XW"] - 1)), (1 << (p["XW"] - 1)) - 1) if p["X_SIGNED"] else (0, (1 << p["XW"]) - 1)
    ends = [pick(weights * low, weights * high).sum(2) for pick in (np.maximum, np.minimum)]
    top, bottom = (np.add.reduceat(e, np.unique(beats(p), return_index=True)[1]) + biases for e in ends)
    return 1 + max(int(top.max()).bit_length(), int(-1 - bottom.min()).bit_length())


def multiplied(p, x, index):
    """The lanes [pe, lane] that each output multiplies, of those that come, x [lane]."""
    n, m = p.get("N", 1), p.get("M", 1)
    lane = np.arange(p["SIMD"])
    return np.repeat(x[lane // n * m + lane % n + index], p.get("SHARE", p["PE"]), axis=0)[: p["PE"]]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    weights, biases, indices = tensors(p)
    groups, come = beats(p), p["SIMD"] // p.get("N", 1) * p.get("M", 1)
    frames_in, frames_out = [], []
    for number in range(20):
        vector, sums = tb.words(len(groups), come * p["XW"]), biases.copy()
        if number < 2:  # extremes
            lane = (1 << (p["XW"] - 1)) - number if p["X_SIGNED"] else ((1 << p["XW"]) - 1) * number
            vector = [pack([lane] * come, p["XW"])] * len(groups)
        for group, word, w, index in zip(groups, vector, weights, indices, strict=True):
            x = np.array([signed(v, p["XW"]) if p["X_SIGNED"] else v for v in unpack(word, p["XW"], come)])
            sums[group] += (w * multiplied(p, x, index)).sum(1)
        frames_in.append(vector)
        frames_out.append([pack(s, p["ACC_W"]) for s in sums])
    latency = 3 + (p["SIMD"] - 1).bit_length() // 2 + ("N" in p)
    first = int((groups == 0).sum()) - 1  # the last beat of the first group
    await tb.exercise(frames_in, frames_out, len(groups), latency=(first, latency))


def check(tmp_path, p):
    weights, biases, indices = tensors(p)
    words, index = weights.reshape(len(weights), -1), indices.reshape(len(indices), -1)
    stored = p["WW"]
    if "CODE_W" in p:
        values, words = np.unique(words, return_inverse=True)
        words, stored = words.reshape(len(weights), -1), p["CODE_W"]
        p |= {"TABLE": f"{p['WW'] << stored}'h{pack(values, p['WW']):x}"}
    files = {
        "W_FILE": write_hex(tmp_path / "w.mem", [pack(word, stored) for word in words], words.shape[1] * stored),
        "B_FILE": write_hex(tmp_path / "b.mem", [pack(word, p["ACC_W"]) for word in biases], p["PE"] * p["ACC_W"]),
    }
    if "N" in p:
        bits = (p["M"] - p["N"]).bit_length()
        files["I_FILE"] = write_hex(tmp_path / "i.mem", [pack(word, bits) for word in index], index.shape[1] * bits)
    if "BEATS" in p:
        groups = beats(p)
        files["L_FILE"] = write_hex(tmp_path / "l.mem", [*(groups[1:] != groups[:-1]).astype(int), 1], 1)
    simulate("hwc_mvu", {**p, **files}, __name__, tmp_path)


@pytest.mark.parametrize("extra", [0, 9])
@pytest.mark.parametrize("name", SETS)
def test_hwc_mvu(tmp_path, name, extra):
    """With the least accumulator and with a wider one."""
    p = dict(zip(NAMES, SETS[name], strict=True))
    check(tmp_path, {**p, "ACC_W": acc_width(p) + extra})


@pytest.mark.parametrize("name", SPARSE)
def test_lanes_are_chosen_and_beats_left_out(tmp_path, name):
    base, more = SPARSE[name]
    p = dict(zip(NAMES, SETS[base], strict=True)) | more
    check(tmp_path, {**p, "ACC_W": acc_width(p)})
