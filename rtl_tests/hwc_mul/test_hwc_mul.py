"""Bench of hwc_mul: all pairs of narrow values, corners of wide ones."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack
from rtl_tests.formulas import requantize
from rtl_tests.hwc_add.test_hwc_add import values

NARROW = {"LANES": 8, "A_W": 5, "A_SIGNED": 1, "ZA": 0, "B_W": 5, "B_SIGNED": 1, "ZB": 0, "MW": 1, "M": 1, "CW": 1, "C": 0,
          "FORM": 0, "ZERO": 0, "LO": -128, "HI": 127, "OUT_W": 8}  # fmt: skip
WIDE = {**NARROW, "LANES": 3, "A_W": 8, "B_W": 8}
SETS = {
    "one": {**NARROW, "SHIFT": 0},
    "rne": {**NARROW, "ZA": -16, "ZB": 15, "MW": 6, "M": 43, "SHIFT": 8, "ZERO": 3},
    "ties": {**NARROW, "ZA": 3, "ZB": -2, "SHIFT": 3, "ZERO": -7, "LO": -30, "HI": 20},
    "unsigned": {**NARROW, "A_SIGNED": 0, "B_SIGNED": 0, "ZA": 31, "ZB": 0, "SHIFT": 3, "ZERO": 120, "LO": 0, "HI": 255},
    "mixed": {**NARROW, "B_W": 3, "B_SIGNED": 0, "ZB": 7, "ZA": -3, "MW": 4, "M": 13, "SHIFT": 5, "OUT_W": 6, "LO": -32,
              "HI": 31},
    "affine": {**NARROW, "ZA": 9, "FORM": 1, "MW": 3, "M": 7, "CW": 11, "C": -321, "SHIFT": 4},
    "one_lane": {**NARROW, "LANES": 1, "A_W": 1, "A_SIGNED": 0, "B_W": 4, "SHIFT": 1, "OUT_W": 4, "LO": -4, "HI": 7},
    "excite": {**WIDE, "ZA": -128, "ZB": -128, "MW": 31, "M": 2**31 - 3, "SHIFT": 39, "ZERO": -100},
    "unsigned bytes": {**WIDE, "A_SIGNED": 0, "B_SIGNED": 0, "ZA": 255, "ZB": 1, "FORM": 1, "MW": 24, "M": 12345678,
                       "CW": 40, "C": 2**38 + 5, "SHIFT": 31, "LO": 0, "HI": 255},
    "int16": {**WIDE, "A_W": 16, "B_W": 24, "ZA": 32767, "ZB": -(2**23), "MW": 20, "M": 999999, "SHIFT": 44, "OUT_W": 16,
              "LO": -32768, "HI": 32767},
}  # fmt: skip


def products(p):
    """Pairs (a, b) and (a - ZA) * (b - ZB)."""
    pairs = [(a, b) for a in values(p["A_W"], p["A_SIGNED"]) for b in values(p["B_W"], p["B_SIGNED"])]
    random.Random(1).shuffle(pairs)
    return pairs, [(a - p["ZA"]) * (b - p["ZB"]) for a, b in pairs]


@cocotb.test()
async def bench(dut):
    tb = Bench(dut, sources=["a", "b"])
    p, lanes = tb.config["all"], tb.config["all"]["LANES"]
    pairs, found = products(p)
    frames = []
    for at in range(0, len(pairs) - lanes + 1, lanes):
        a, b = zip(*pairs[at : at + lanes], strict=True)
        y = [requantize(product, p["M"], p["C"], p) for product in found[at : at + lanes]]
        frames.append(([pack(a, p["A_W"])], [pack(b, p["B_W"])], [pack(y, p["OUT_W"])]))
    a, b, y = zip(*frames, strict=True)
    assert len({lane for frame in y for word in frame for lane in unpack(word, p["OUT_W"], lanes)}) > 4
    await tb.exercise_all([a, b], [y], 1, latency=(0, 7))


@pytest.mark.parametrize("name", SETS)
def test_hwc_mul(tmp_path, name):
    p = SETS[name]
    if name in ("rne", "ties", "mixed"):
        half = 1 << (p["SHIFT"] - 1)
        assert any(product * p["M"] % (2 * half) == half for product in products(p)[1]), "no tie among the pairs"
    literals = {"M": f"{p['MW']}'h{p['M']:x}", "C": f"{p['CW']}'h{pack([p['C']], p['CW']):x}"}
    simulate("hwc_mul", {**p, **literals}, __name__, tmp_path, all=p)
