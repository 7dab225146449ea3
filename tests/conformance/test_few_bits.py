"""L2: streams of one and few bits, weights in all forms, thresholds; every tensor equal on C and Verilog, at full pace."""

import numpy as np
import pytest

from tests.few_bits import Bits, few_bits_program
from tests.products import check, from_program

ENGINES = ("reference", "c", "verilator")
BIT, TWO, INT8 = (1, True, True), (2, True, False), (8, True, False)


def start(shape=(5, 6, 7), kind=BIT, seed=0):
    return Bits(np.random.default_rng(seed)).source(shape, kind)


def padded(pad, m=7, **how):
    return start().convolution(m, "sign", BIT, pad=pad, pads=(1, 2, 1, 0), **how)


def flat(b):
    return b.add(
        "reshape", b.typed((b.x.size,), (b.x.bits, b.x.signed, b.x.bipolar), b.x.layout), {"shape": [b.x.size]}
    )


# What each has to go wrong: padding of bits, borders by classes, idle lanes, weights that no bit holds, results of one bit.
CASES = {
    "padding with -1": lambda: padded(-1),
    "padding with +1": lambda: padded(1),
    "padding with 0": lambda: padded(0),
    "padding with 0, strides and dilations": lambda: padded(0, strides=(2, 1), dilations=(1, 2)),
    "padding with 0, groups": lambda: start((6, 5, 5)).convolution(9, "sign", BIT, groups=3, pads=(1, 1, 1, 1)),
    "padding with 0, depthwise": lambda: start((6, 5, 5)).convolution(12, "sign", TWO, groups=6, pads=(1, 1, 1, 1)),
    "padding with 0 and ternary weights": lambda: start().convolution(4, "ternary", INT8, "affine", pads=(1, 1, 1, 1)),
    "a chain of bits": lambda: flat(padded(-1).pool().convolution(6, "sign", BIT, kernel=(2, 2))).layer(9, "sign", BIT),
    "bits into int8": lambda: flat(start()).layer(11, "sign", INT8, "affine"),
    "bits and wide weights": lambda: flat(start((3, 2, 2))).layer(5, "int8", INT8, "rne"),
    "signs of bytes": lambda: start(kind=INT8).convolution(5, "sign", BIT, pad=-128, pads=(1, 1, 0, 0)),
    "powers of two": lambda: start(kind=INT8).convolution(5, "power", TWO, pad=3, pads=(1, 1, 0, 0), falling=True),
    "ternary, falling": lambda: start(kind=TWO).convolution(5, "ternary", TWO, falling=True),
    "narrow products": lambda: start(kind=(3, False, False)).convolution(4, "int3", (3, False, False)),
    "a sum of bits": lambda: start().plus("t0").steps(BIT),
    "one threshold that falls": lambda: start(kind=INT8).steps(BIT, falling=True).pool((3, 2), (1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("budget", [9, 300])
@pytest.mark.parametrize("case", CASES)
def test_equal_at_full_pace(case, budget, tmp_path):
    check(from_program(CASES[case]().program(), tmp_path, budget=budget), ENGINES)


def random(seed, folder, paced=True):
    program, budget = few_bits_program(seed)
    check(from_program(program, folder, budget=budget), ENGINES, seed=seed, paced=paced)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed, tmp_path):
    random(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_many_random_programs(seed, tmp_path):
    random(seed, tmp_path, paced=False)
