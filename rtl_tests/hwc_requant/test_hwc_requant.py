"""Bench of hwc_requant."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack, write_hex
from rtl_tests.formulas import requantize, signed

RNE = {"FORM": 0, "M_ONE": 0, "M_SIGNED": 0, "PER_CHANNEL_C": 0, "CW": 1, "ZERO": 0, "LO": -128, "HI": 127, "OUT_W": 8}
AFFINE = {**RNE, "FORM": 1}
SETS = {
    "rne": {**RNE, "LANES": 3, "GROUPS": 4, "ACC_W": 20, "MW": 16, "SHIFT": 27, "ZERO": -3},
    "one_group": {**RNE, "LANES": 2, "GROUPS": 1, "ACC_W": 24, "MW": 31, "SHIFT": 45, "LO": 0, "HI": 255},
    "one_lane": {**RNE, "LANES": 1, "GROUPS": 7, "ACC_W": 32, "MW": 24, "SHIFT": 48, "ZERO": 9},
    "affine": {**AFFINE, "LANES": 2, "GROUPS": 3, "ACC_W": 18, "MW": 12, "SHIFT": 21, "CW": 30},
    "affine_c": {**AFFINE, "LANES": 3, "GROUPS": 2, "ACC_W": 18, "MW": 12, "SHIFT": 21, "CW": 33, "PER_CHANNEL_C": 1},
    "signed_m": {**AFFINE, "LANES": 2, "GROUPS": 3, "ACC_W": 9, "MW": 14, "SHIFT": 13, "CW": 24, "PER_CHANNEL_C": 1,
                 "M_SIGNED": 1},
    "one": {**RNE, "LANES": 4, "GROUPS": 2, "ACC_W": 16, "MW": 1, "SHIFT": 7, "M_ONE": 1},
    "one_c": {**AFFINE, "LANES": 2, "GROUPS": 5, "ACC_W": 12, "MW": 1, "SHIFT": 3, "CW": 13, "M_ONE": 1,
              "PER_CHANNEL_C": 1},
    "clamp": {**RNE, "LANES": 5, "GROUPS": 1, "ACC_W": 9, "MW": 1, "SHIFT": 0, "LO": 0, "HI": 6, "M_ONE": 1},
}  # fmt: skip


def constants(p):
    """Multipliers and offsets [group][lane]."""
    rng = random.Random(5)
    top = 1 << (p["CW"] - 1)

    def multiplier():
        word = rng.getrandbits(p["MW"])
        return signed(word, p["MW"]) if p["M_SIGNED"] else word

    m = [[1 if p["M_ONE"] else multiplier() for _ in range(p["LANES"])] for _ in range(p["GROUPS"])]
    c = [[rng.randrange(-top, top) for _ in range(p["LANES"])] for _ in range(p["GROUPS"])]
    if p["FORM"] == 0:
        c = [[0] * p["LANES"]] * p["GROUPS"]
    elif not p["PER_CHANNEL_C"]:
        c = [[c[0][0]] * p["LANES"]] * p["GROUPS"]
    return m, c


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    m, c = constants(p)
    frames_in, frames_out = [], []
    for _ in range(400 // p["GROUPS"]):
        beats = tb.words(p["GROUPS"], p["LANES"] * p["ACC_W"])
        outs = []
        for group, beat in enumerate(beats):
            values = [signed(word, p["ACC_W"]) for word in unpack(beat, p["ACC_W"], p["LANES"])]
            results = [requantize(a, m[group][i], c[group][i], p) for i, a in enumerate(values)]
            outs.append(pack(results, p["OUT_W"]))
        frames_in.append(beats)
        frames_out.append(outs)
    assert len({word for frame in frames_out for word in frame}) > 20
    latency = (2 + p["PER_CHANNEL_C"]) if p["M_ONE"] else 5
    await tb.exercise(frames_in, frames_out, p["GROUPS"], latency=(0, latency))


@pytest.mark.parametrize("name", SETS)
def test_hwc_requant(tmp_path, name):
    p = SETS[name]
    m, c = constants(p)
    files = {}
    if not p["M_ONE"]:
        files["M_FILE"] = write_hex(tmp_path / "m.mem", [pack(row, p["MW"]) for row in m], p["LANES"] * p["MW"])
    if p["PER_CHANNEL_C"]:
        files["C_FILE"] = write_hex(tmp_path / "c.mem", [pack(row, p["CW"]) for row in c], p["LANES"] * p["CW"])
    elif p["FORM"]:
        files["C_CONST"] = f"{p['CW']}'h{pack([c[0][0]], p['CW']):x}"
    simulate("hwc_requant", {**p, **files}, __name__, tmp_path)
