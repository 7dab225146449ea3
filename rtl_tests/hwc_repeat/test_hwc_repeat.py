"""Bench of hwc_repeat."""

import cocotb
import pytest

from rtl_tests.common import Bench, simulate


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    n = tb.parameters["N"]
    words = tb.words(12, tb.parameters["W"])
    await tb.exercise([[w] for w in words], [[w] * n for w in words], n)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_hwc_repeat(tmp_path, n):
    simulate("hwc_repeat", {"W": 5, "N": n}, __name__, tmp_path)
