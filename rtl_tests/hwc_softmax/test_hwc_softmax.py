"""Bench of hwc_softmax."""

import math

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, write_hex
from rtl_tests.formulas import rshift_rne, signed

SETS = {
    "ten": {"EW": 8, "N": 10, "F": 8, "ZERO": -128, "LO": -128, "HI": 127, "OUT_W": 8, "scale": 0.1},
    "one": {"EW": 8, "N": 1, "F": 8, "ZERO": -128, "LO": -128, "HI": 127, "OUT_W": 8, "scale": 0.1},
    "two_unsigned": {"EW": 4, "N": 2, "IS_SIGNED": 0, "F": 7, "HI": 127, "OUT_W": 8, "scale": 0.4},
    "short_table": {"EW": 8, "N": 3, "F": 4, "HI": 16, "OUT_W": 6, "scale": 1.3},
    "one_hot": {"EW": 6, "N": 4, "F": 3, "HI": 7, "OUT_W": 4, "scale": 90.0},
    "ties": {"EW": 2, "N": 32, "F": 4, "HI": 15, "OUT_W": 4, "scale": 90.0},
    "no_fraction": {"EW": 5, "N": 5, "F": 0, "HI": 1, "OUT_W": 2, "scale": 0.3},
    "two_tables": {"EW": 12, "N": 6, "F": 15, "HI": 32767, "OUT_W": 16, "SPLIT": 6, "TW": 26, "scale": 0.01},
    "two_tables_cut": {"EW": 16, "N": 7, "F": 8, "HI": 255, "OUT_W": 9, "SPLIT": 8, "TW": 30, "scale": 0.02},
}


def tables(p):
    """The words of the one or two ROMs, and the largest distance that they tell from the others."""
    one, split, words = 1 << (p["TW"] - 1), p.get("SPLIT", 0), []
    while len(words) < (1 << (p["EW"] - split)) and (not words or words[-1]):
        words.append(round(one * math.exp(-p["scale"] * len(words) * (1 << split))))
    most = min((len(words) << split) - 1, (1 << p["EW"]) - 1) if words[-1] else (len(words) - 1) << split
    return most, words, [round(one * math.exp(-p["scale"] * i)) for i in range(1 << split)]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters | {"scale": tb.config["scale"]}
    is_signed, split = p.get("IS_SIGNED", 1), p.get("SPLIT", 0)
    _, coarse, fine = tables(p)
    frames_in, frames_out = [], []
    for number in range(max(12, 400 // p["N"])):
        beats = tb.words(p["N"], p["EW"])
        if number < 4:  # all equal, or one above the others
            base, other = (1 << (p["EW"] - 1)) - 1, 1 << (p["EW"] - 1)
            beats = [base if number % 2 else other] * p["N"]
            beats[-1] = base if number < 2 else beats[-1]
        elif number % 2:  # near each other
            beats = [tb.random.randrange(3) for _ in beats]
        x = [signed(b, p["EW"]) if is_signed else b for b in beats]
        e = []
        for d in (max(x) - v for v in x):
            value = coarse[d >> split] if d >> split < len(coarse) else 0
            e.append(rshift_rne(value * fine[d % (1 << split)], p["TW"] - 1))
        y = []
        for v in e:
            q, rest = divmod(v << p["F"], sum(e))
            q += 2 * rest > sum(e) or (2 * rest == sum(e) and q % 2)
            y.append(min(max(q + p.get("ZERO", 0), p.get("LO", 0)), p["HI"]))
        frames_in.append(beats)
        frames_out.append([pack([v], p["OUT_W"]) for v in y])
    latency = p["N"] + p["F"] + 7 + 4 * (split > 0)
    await tb.exercise(frames_in, frames_out, p["N"], latency=(p["N"] - 1, latency))


@pytest.mark.parametrize("name", SETS)
def test_hwc_softmax(tmp_path, name):
    p = {"TW": 20, **SETS[name]}
    most, coarse, fine = tables(p)
    files = {"EXP_FILE": write_hex(tmp_path / "exp.mem", coarse, p["TW"])}
    if p.get("SPLIT"):
        files["FINE_FILE"] = write_hex(tmp_path / "fine.mem", fine, p["TW"])
    scale = p.pop("scale")
    widths = {"MOST": most, "SW": (p["N"] << (p["TW"] - 1)).bit_length()}
    simulate("hwc_softmax", {**p, **widths, **files}, __name__, tmp_path, scale=scale)
