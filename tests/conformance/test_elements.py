"""L2: tables and products in every width, order and number of lanes; every tensor equal on C and Verilog, at full pace."""

import numpy as np
import pytest

from sw_ref.program import Layout
from tests.products import check, from_program
from tests.program_factory import Builder

ENGINES = ("reference", "c", "verilator")


def chain(shape=(6, 5, 7), seed=0, **how):
    return Builder(np.random.default_rng(seed)).input(shape, **how)


CASES = {
    "tables of many widths": lambda: chain(bits=5).lut(bits=9, signed=False).lut(bits=3).lut(bits=12),
    "a table of one bit": lambda: chain(bits=1, signed=False).lut(bits=8),
    "a table behind a convolution": lambda: chain().conv2d(4, (3, 3), pads=(1, 1, 1, 1)).lut(),
    "a table of a vector": lambda: chain(shape=(11,)).dense(7).lut(signed=False).dense(3),
    "a product of two branches": lambda: chain().conv2d(6, (1, 1), name="v").times("t0", form="rne"),
    "a product of two inputs": lambda: chain(bits=12).input((6, 5, 7), signed=False).times("t0", bits=16, form="affine"),
    "a square": lambda: chain(signed=False).times("t0"),
    "vectors": lambda: chain(shape=(9,)).dense(9, name="v").times("t0"),
    "a gate from another input": lambda: chain(shape=(6, 1, 1)).input((6, 5, 7)).times("t0"),
    "a gate on one pixel": lambda: chain(shape=(6, 1, 1)).input((6, 1, 1)).times("t0"),
    "a gate of rows": lambda: chain(shape=(4, 1)).input((4, 9)).times("t0"),
    "a gate of maps by rows": lambda: (
        chain(shape=(4, 1, 1)).input((4, 3, 3), layout=Layout.row_major((4, 3, 3))).times("t0")
    ),
    "squeeze and excite": lambda: (
        chain(shape=(8, 6, 6)).global_average().conv2d(2, (1, 1)).conv2d(8, (1, 1)).lut(name="g").at("t0").times("g")
        .conv2d(3, (1, 1))
    ),
    "two gates in a row": lambda: (
        chain().global_average(name="g").at("t0").times("g", name="m").global_average(name="h").at("m").times("h")
    ),
}  # fmt: skip


@pytest.mark.parametrize("budget", [None, 200])
@pytest.mark.parametrize("case", CASES)
def test_equal_at_full_pace(case, budget, tmp_path):
    program = CASES[case]().program()
    check(from_program(program, tmp_path, budget=budget), ENGINES)
