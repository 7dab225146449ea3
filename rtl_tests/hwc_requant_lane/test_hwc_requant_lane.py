"""Bench of hwc_requant_lane: exhaustive over narrow values, corners of wide ones."""

import json
import os
import random
from fractions import Fraction

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from rtl_tests.common import simulate
from rtl_tests.formulas import requantize, rshift_rne

RNE = {"FORM": 0, "M_ONE": 0, "M_SIGNED": 0, "CW": 1, "ACC_W": 10, "ZERO": 0, "LO": -128, "HI": 127, "OUT_W": 8}
AFFINE = {**RNE, "FORM": 1}
WIDE = {**RNE, "ACC_W": 32, "MW": 31}
SETS = {
    "shift0": {**RNE, "MW": 2, "SHIFT": 0},
    "shift1": {**RNE, "MW": 3, "SHIFT": 1, "ZERO": 5},
    "shift3": {**RNE, "MW": 4, "SHIFT": 3, "ZERO": -7, "LO": -100, "HI": 99},
    "shift6": {**RNE, "MW": 5, "SHIFT": 6, "ZERO": 128, "LO": 0, "HI": 255},
    "out5": {**RNE, "MW": 7, "SHIFT": 9, "LO": -15, "HI": 15, "OUT_W": 5},
    "out16": {**RNE, "MW": 6, "SHIFT": 1, "LO": -32768, "HI": 32767, "OUT_W": 16},
    "far": {**RNE, "MW": 4, "SHIFT": 13},
    "beyond": {**RNE, "MW": 3, "SHIFT": 20, "ZERO": 1},
    "one_shift0": {**RNE, "M_ONE": 1, "MW": 1, "SHIFT": 0, "ZERO": -128},
    "one_shift2": {**RNE, "M_ONE": 1, "MW": 1, "SHIFT": 2, "ZERO": 3},
    "affine": {**AFFINE, "MW": 4, "SHIFT": 4, "CW": 9},
    "affine_wide_c": {**AFFINE, "MW": 3, "SHIFT": 11, "CW": 20},
    "affine_shift0": {**AFFINE, "MW": 2, "SHIFT": 0, "CW": 6, "LO": 0, "HI": 255},
    "affine_beyond": {**AFFINE, "MW": 2, "SHIFT": 18, "CW": 12},
    "affine_one": {**AFFINE, "M_ONE": 1, "MW": 1, "SHIFT": 3, "CW": 13},
    "signed_m": {**AFFINE, "M_SIGNED": 1, "MW": 4, "SHIFT": 4, "CW": 9},
    "signed_m_rne": {**RNE, "M_SIGNED": 1, "MW": 5, "SHIFT": 4, "ZERO": 3},
    "wide0": {**WIDE, "SHIFT": 0},
    "wide1": {**WIDE, "SHIFT": 1},
    "wide31": {**WIDE, "SHIFT": 31, "ZERO": -128},
    "wide40": {**WIDE, "SHIFT": 40, "ZERO": 17},
    "wide62": {**WIDE, "SHIFT": 62},
    "wide_affine": {**WIDE, "FORM": 1, "SHIFT": 38, "CW": 63},
    "wide_signed_m": {**WIDE, "FORM": 1, "M_SIGNED": 1, "SHIFT": 38, "CW": 63},
    "wide_affine62": {**WIDE, "FORM": 1, "SHIFT": 62, "CW": 63},
}


def cases(p):
    """Triples a, M, C: all a and some M and C if a is narrow, else corners and random values."""
    rng = random.Random(3)
    top_a, top_c = 1 << (p["ACC_W"] - 1), 1 << (p["CW"] - 1)
    bottom_m, top_m = (-(1 << (p["MW"] - 1)), (1 << (p["MW"] - 1)) - 1) if p["M_SIGNED"] else (0, (1 << p["MW"]) - 1)
    half = 1 << max(p["SHIFT"] - 1, 0)
    cs = [-top_c, top_c - 1, 0, min(half, top_c - 1), rng.randrange(-top_c, top_c)] if p["FORM"] else [0]
    ms = {bottom_m, bottom_m + 1, -1, 0, 1, 2, 3, top_m - 1, top_m, (top_m + 1) // 2}
    ms = [1] if p["M_ONE"] else sorted(m for m in ms if bottom_m <= m <= top_m)
    if p["ACC_W"] <= 10:
        return [(a, m, rng.choice(cs)) for m in ms for a in range(-top_a, top_a)]
    ms += [rng.randint(bottom_m, top_m) for _ in range(20)]
    values = [-top_a, 1 - top_a, -1, 0, 1, top_a - 1, top_a // 2, half, -half, 3 * half, half - 1, 1 - half]
    values = [a for a in values if -top_a <= a < top_a] + [rng.randrange(-top_a, top_a) for _ in range(30)]
    return [(a, m, rng.choice(cs)) for m in ms for a in values]


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    masks = {name: (1 << p[width]) - 1 for name, width in (("a", "ACC_W"), ("m", "MW"), ("c", "CW"), ("y", "OUT_W"))}
    latency, waiting = 2 if p["M_ONE"] else 4, []
    dut.en_i.value = 1
    await RisingEdge(dut.clk_i)
    for a, m, c in cases(p) + [(0, 0, 0)] * latency:
        dut.a_i.value, dut.m_i.value, dut.c_i.value = a & masks["a"], m & masks["m"], c & masks["c"]
        await RisingEdge(dut.clk_i)
        waiting.append((a, m, c))
        if len(waiting) > latency:
            a, m, c = waiting.pop(0)
            got = dut.y_o.value
            assert got == requantize(a, m, c, p) & masks["y"], f"a {a}, M {m}, C {c}: {got}"


@pytest.mark.parametrize("name", SETS)
def test_hwc_requant_lane(tmp_path, name):
    p = SETS[name]
    if p["FORM"] == 0 and p["SHIFT"] and name != "beyond" and not name.startswith("wide"):
        half = 1 << (p["SHIFT"] - 1)
        assert any((a * m) % (2 * half) == half for a, m, _ in cases(p)), "no tie among the cases"
    simulate("hwc_requant_lane", p, __name__, tmp_path)


def test_rshift_rne_is_round_half_even():
    assert all(rshift_rne(p, s) == round(Fraction(p, 1 << s)) for s in range(7) for p in range(-300, 300))
