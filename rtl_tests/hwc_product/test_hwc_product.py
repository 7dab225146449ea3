"""Bench of hwc_product: exhaustive, every way in which a weight is held."""

import json
import os

import cocotb
import pytest
from cocotb.triggers import Timer

from rtl_tests.common import simulate
from rtl_tests.formulas import signed


def weight(p, code):
    """(value, whether the product is one less) of a weight's bits; None where the code has no meaning."""
    if p["W_KIND"] == 0:
        return signed(code, p["WW"]), False
    if p["W_KIND"] == 1:
        return -1 if code else 1, bool(code)
    if p["W_KIND"] == 2:
        return (None if code == 2 else signed(code, 2)), code == 3
    negative, e = code >> (p["WW"] - 1), code & ((1 << (p["WW"] - 1)) - 1)
    if e == 0:
        return (None if negative else 0), False
    return -(1 << (e - 1)) if negative else 1 << (e - 1), bool(negative)


@cocotb.test()
async def bench(dut):
    p = json.loads(os.environ["BENCH"])["parameters"]
    for x in range(1 << p["XW"]):
        value = signed(x, p["XW"]) if p["X_SIGNED"] and not p["X_BIPOLAR"] else x
        for code in range(1 << p["WW"]):
            w, less = weight(p, code)
            if w is None:
                continue
            dut.x_i.value, dut.w_i.value = x, code
            await Timer(1, "ns")
            assert dut.y_o.value.to_signed() == value * w - less, (x, code)


@pytest.mark.parametrize(("width", "is_signed", "bipolar", "bits", "kind", "out"), [
    (2, 1, 0, 2, 0, 4), (3, 0, 0, 3, 0, 6), (4, 1, 0, 4, 0, 8), (5, 0, 0, 3, 0, 9), (1, 1, 1, 2, 0, 2), (1, 0, 1, 4, 0, 4),
    (1, 0, 0, 3, 0, 4), (4, 1, 0, 1, 1, 5), (4, 0, 0, 1, 1, 5), (5, 1, 0, 2, 2, 6), (3, 0, 0, 2, 2, 5), (4, 1, 0, 4, 3, 11),
    (4, 0, 0, 3, 3, 7),
])  # fmt: skip
def test_hwc_product(tmp_path, width, is_signed, bipolar, bits, kind, out):
    p = {"XW": width, "X_SIGNED": is_signed, "X_BIPOLAR": bipolar, "WW": bits, "W_KIND": kind, "PW": out}
    simulate("hwc_product", p, __name__, tmp_path)
