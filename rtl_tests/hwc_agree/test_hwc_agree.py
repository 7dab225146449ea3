"""Bench of hwc_agree: exhaustive for few pairs, random for more, through its pipeline."""

import json
import os
import random

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from rtl_tests.common import simulate


def latency(n):
    threes = -(-n // 3)
    steps = min(5, threes // 12)
    return 1 + (steps + (-(-(threes + 1) // (6 * steps + 2)) - 1).bit_length()) // 2


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    n, width, dice = p["N"], p["OW"], random.Random(3)
    pairs = [(x, w) for x in range(1 << n) for w in range(1 << n)] if n <= 5 else []
    pairs += [(dice.getrandbits(n), dice.getrandbits(n)) for _ in range(300)] + [(0, 0), (0, (1 << n) - 1)]
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    flight = []
    for x, w in [*pairs, *[(0, 0)] * latency(n)]:
        await FallingEdge(dut.clk_i)
        if len(flight) >= latency(n):
            assert dut.y_o.value == flight.pop(0)
        dut.en_i.value = 0
        dut.x_i.value = dice.getrandbits(n)
        await FallingEdge(dut.clk_i)  # nothing moves
        dut.en_i.value, dut.x_i.value, dut.w_i.value = 1, x, w
        flight.append((n - (x ^ w).bit_count()) % (1 << width))


@pytest.mark.parametrize(("n", "width"), [(1, 1), (2, 4), (3, 2), (4, 3), (5, 2), (9, 8), (33, 6), (100, 7), (784, 11)])
def test_hwc_agree(tmp_path, n, width):
    simulate("hwc_agree", {"N": n, "OW": width}, __name__, tmp_path)
