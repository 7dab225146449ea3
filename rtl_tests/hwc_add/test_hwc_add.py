"""Bench of hwc_add: all pairs of narrow values, corners of wide ones."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack
from rtl_tests.formulas import requantize

NARROW = {"LANES": 8, "A_W": 5, "A_SIGNED": 1, "B_W": 5, "B_SIGNED": 1, "FORM": 0, "ZERO": 0, "LO": -128, "HI": 127,
          "OUT_W": 8}  # fmt: skip
WIDE = {**NARROW, "LANES": 3, "A_W": 8, "B_W": 8}
SETS = {
    "one": {**NARROW, "MW": 2, "MA": 1, "MB": 1, "KW": 1, "K": 0, "SHIFT": 0},
    "rne": {**NARROW, "MW": 6, "MA": 21, "MB": 12, "KW": 5, "K": -13, "SHIFT": 5, "ZERO": 3, "LO": -16, "HI": 15},
    "average": {**NARROW, "MW": 2, "MA": 1, "MB": 1, "KW": 2, "K": 0, "SHIFT": 1},
    "difference": {**NARROW, "A_SIGNED": 0, "B_SIGNED": 0, "MW": 3, "MA": 3, "MB": -4, "KW": 4, "K": -8, "SHIFT": 2},
    "extremes": {**NARROW, "A_SIGNED": 0, "B_SIGNED": 0, "MW": 3, "MA": -4, "MB": -3, "KW": 8, "K": -128, "SHIFT": 2},
    "mixed": {**NARROW, "B_W": 3, "B_SIGNED": 0, "MW": 5, "MA": -16, "MB": 15, "KW": 12, "K": 2047, "SHIFT": 4,
              "LO": 0, "HI": 255, "ZERO": 9},
    "affine": {**NARROW, "FORM": 1, "MW": 4, "MA": 7, "MB": 5, "KW": 11, "K": 100, "SHIFT": 3, "OUT_W": 6, "LO": -32,
               "HI": 31},
    "one_lane": {**NARROW, "LANES": 1, "A_W": 4, "B_W": 2, "MW": 3, "MA": 2, "MB": 3, "KW": 1, "K": -1, "SHIFT": 2,
                 "OUT_W": 4, "LO": 0, "HI": 7},
    "residual": {**WIDE, "MW": 32, "MA": 2**31 - 1, "MB": 1234567890, "KW": 40, "K": -(2**38), "SHIFT": 32,
                 "ZERO": -7},
    "unsigned": {**WIDE, "A_SIGNED": 0, "B_SIGNED": 0, "MW": 32, "MA": -(2**31), "MB": 2**31 - 1, "KW": 40,
                 "K": 2**39 - 1, "SHIFT": 31, "LO": 0, "HI": 255},
    "int16": {**WIDE, "A_W": 16, "B_W": 20, "MW": 24, "MA": 8000000, "MB": -77777, "KW": 1, "K": 0, "SHIFT": 26,
              "OUT_W": 16, "LO": -32768, "HI": 32767},
    "wide_k": {**WIDE, "FORM": 1, "A_W": 24, "MW": 32, "MA": 2**31 - 1, "MB": 5, "KW": 62, "K": 11 * 2**47,
               "SHIFT": 48, "B_SIGNED": 0},
}  # fmt: skip


def values(width, is_signed):
    """The range of a type, or its corners and some values."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if is_signed else (0, (1 << width) - 1)
    if width <= 5:
        return range(low, high + 1)
    rng = random.Random(width)
    return [low, low + 1, 0, 1, high - 1, high, high // 2 + 1] + [rng.randint(low, high) for _ in range(20)]


def sums(p):
    """Pairs (a, b) and a * MA + b * MB + K."""
    pairs = [(a, b) for a in values(p["A_W"], p["A_SIGNED"]) for b in values(p["B_W"], p["B_SIGNED"])]
    random.Random(1).shuffle(pairs)
    return pairs, [a * p["MA"] + b * p["MB"] + p["K"] for a, b in pairs]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut, sources=["a", "b"])
    p, lanes = tb.config["all"], tb.config["all"]["LANES"]
    pairs, totals = sums(p)
    frames = []
    for at in range(0, len(pairs) - lanes + 1, lanes):
        a, b = zip(*pairs[at : at + lanes], strict=True)
        y = [requantize(total, 1, 0, p) for total in totals[at : at + lanes]]
        frames.append(([pack(a, p["A_W"])], [pack(b, p["B_W"])], [pack(y, p["OUT_W"])]))
    a, b, y = zip(*frames, strict=True)
    assert len({lane for frame in y for word in frame for lane in unpack(word, p["OUT_W"], lanes)}) > 4
    await tb.exercise_all([a, b], [y], 1, latency=(0, 5))


@pytest.mark.parametrize("name", SETS)
def test_hwc_add(tmp_path, name):
    p = SETS[name]
    if p["FORM"] == 0 and p["SHIFT"] and p["A_W"] <= 5:
        half = 1 << (p["SHIFT"] - 1)
        assert any(total % (2 * half) == half for total in sums(p)[1]), "no tie among the pairs"
    k = f"{p['KW']}'h{pack([p['K']], p['KW']):x}"
    simulate("hwc_add", {**p, "K": k}, __name__, tmp_path, all=p)
