"""Bench of hwc_shift_add: all operands of few bits, the ends and random ones of more."""

import json
import os
import random

import cocotb
import pytest
from cocotb.triggers import Timer

from rtl_tests.common import simulate


def ends(width, signed):
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def result(a, b, shift, op):
    return (a + (b << shift), a - (b << shift), (b << shift) - a)[op]


def fits(p):
    """Bits of the result of any operands."""
    values = [
        result(a, b, p["SHIFT"], p["OP"]) for a in ends(p["AW"], p["A_SIGNED"]) for b in ends(p["BW"], p["B_SIGNED"])
    ]
    return max(v.bit_length() + (v >= 0) if min(values) < 0 else v.bit_length() for v in values) or 1


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    (a_lo, a_hi), (b_lo, b_hi), dice = ends(p["AW"], p["A_SIGNED"]), ends(p["BW"], p["B_SIGNED"]), random.Random(5)
    pairs = [(a, b) for a in (a_lo, a_hi) for b in (b_lo, b_hi)]
    if p["AW"] + p["BW"] <= 10:
        pairs = [(a, b) for a in range(a_lo, a_hi + 1) for b in range(b_lo, b_hi + 1)]
    pairs += [(dice.randint(a_lo, a_hi), dice.randint(b_lo, b_hi)) for _ in range(200)]
    for a, b in pairs:
        dut.a_i.value, dut.b_i.value = a & ((1 << p["AW"]) - 1), b & ((1 << p["BW"]) - 1)
        await Timer(1, unit="ns")
        assert int(dut.y_o.value) == result(a, b, p["SHIFT"], p["OP"]) % (1 << p["YW"]), (a, b)


@pytest.mark.parametrize("op", [0, 1, 2])
@pytest.mark.parametrize(("aw", "a_signed", "bw", "b_signed", "shift"), [
    (4, 1, 4, 1, 0), (5, 0, 4, 1, 2), (4, 0, 4, 0, 6), (12, 1, 9, 0, 3),
])  # fmt: skip
def test_hwc_shift_add(tmp_path, aw, a_signed, bw, b_signed, shift, op):
    p = {"AW": aw, "A_SIGNED": a_signed, "BW": bw, "B_SIGNED": b_signed, "SHIFT": shift, "OP": op}
    simulate("hwc_shift_add", p | {"YW": fits(p)}, __name__, tmp_path)


@pytest.mark.parametrize(("op", "yw"), [(0, 3), (1, 4), (2, 3)])
def test_a_result_of_fewer_bits_keeps_the_low_ones(tmp_path, op, yw):
    """A sum whose range is narrower than its operands' bits say."""
    p = {"AW": 5, "A_SIGNED": 1, "BW": 4, "B_SIGNED": 0, "SHIFT": 4, "OP": op, "YW": yw}
    simulate("hwc_shift_add", p, __name__, tmp_path)
