"""L2: every kernel kind in every form on the Verilog, several engines beside each other; each tensor equal, stalls on both
sides. Few lanes, an odd number, and more than a layer can use."""

import numpy as np
import pytest

from sw_ref.program import Layout
from tests.products import check, from_program
from tests.program_factory import Builder


def start(seed, shape, **how):
    return Builder(np.random.default_rng(seed)).input(shape, name="x", **how)


def depthwise():
    b = start(1, (6, 6, 5))
    first = b.conv2d(6, groups=6, pads=(1, 1, 1, 1)).conv2d(6, (2, 3), (2, 1), groups=6).last
    b.at("x").conv2d(12, (3, 2), groups=6, pads=(0, 1, 1, 0), bits=5, name="two").clamp(-9, 9)
    b.at("x").conv2d(18, (1, 1), (2, 2), groups=6, name="three")
    b.at("x").conv2d(24, (2, 2), dilations=(2, 3), groups=6, per_channel=False, name="four").conv2d(5, (1, 1))
    return b, [first, "three", "two", b.last]


def grouped():
    b = start(2, (12, 5, 6), bits=7, signed=False)
    b.conv2d(8, (3, 3), groups=4, pads=(1, 0, 1, 2), name="four").conv2d(9, (2, 1), groups=1)
    b.at("x").conv2d(9, (1, 1), groups=3, weight_bits=12, name="three").conv2d(
        18, (2, 2), (2, 2), groups=9, name="nine"
    )
    b.at("x").conv2d(14, (3, 2), dilations=(1, 2), groups=2, form="rne", name="two").flatten().dense(3, name="row")
    return b, ["four", "nine", "row", "two"]


def averages():
    b = start(3, (5, 6, 7))
    b.avgpool2d((2, 3), (2, 2), name="plain")
    b.at("x").avgpool2d((3, 3), (1, 2), pads=(1, 1, 1, 1), classes=None, name="borders", mb=31)
    b.at("x").avgpool2d((2, 2), (1, 1), (2, 3), pads=(0, 2, 1, 0), classes=3, bits=12, name="dilated")
    b.at("x").global_average(form="rne", name="all")
    b.at("x").avgpool2d((8, 8), (1, 1), pads=(1, 0, 1, 1), form="affine", name="all_padded")
    b.at("x").avgpool2d((1, 1), (2, 3), bits=6, signed=False, name="one").global_average(name="all_of_one")
    return b, ["plain", "borders", "dilated", "all", "all_padded", "all_of_one"]


def narrow_averages():
    """Ranges of one value, types of many bits: sums narrower than what they add."""
    b = start(13, (3, 2, 2), bits=12, signed=False, lo=0, hi=1)
    b.global_average(name="y").at("x").avgpool2d((1, 2), (1, 1), bits=16, name="z")
    return b, ["y", "z"]


def dilated_pools():
    b = start(4, (7, 9, 8), bits=6)
    b.maxpool2d((3, 2), (2, 1), (2, 3), (1, 0, 2, 1)).maxpool2d((2, 2), (1, 1), (1, 2))
    b.at("x").maxpool2d((1, 3), (3, 2), (3, 1))
    return b, [e for e in b.edges if e != "x"]


def sums():
    b = start(5, (6, 4, 5)).conv2d(6, (1, 1), name="a").at("x").conv2d(6, pads=(1, 1, 1, 1), bits=12, name="b")
    b.plus("a", name="ab").plus("x", bits=5, form="rne", mb=(31, 2), name="abx").plus(
        "abx", form="affine", name="twice"
    )
    b.at("twice").conv2d(6, (1, 1), lo=0, name="c").plus("x", signed=False, mb=(1, 1))
    return b, ["twice", b.last, "ab"]


def two_inputs():
    b = start(6, (4, 3, 3)).input((4, 3, 3), bits=5, signed=False, name="late")
    pooled = b.at("x").conv2d(4, pads=(1, 1, 1, 1)).plus("late", name="sum").maxpool2d().last
    b.at("late").requantize(signed=True, per_channel=True).concat(["x", "sum"], name="joined")
    return b, ["late", "sum", pooled, "joined"]


def concats():
    """Inputs that do not fill their last beat, along all axes, the same tensor twice, vectors."""
    b = start(7, (5, 4, 3)).conv2d(3, (1, 1), name="three").conv2d(4, pads=(1, 1, 1, 1), name="four")
    b.concat(["x", "three"], name="channels").conv2d(4, (2, 2), name="after")
    b.at("x").concat(["x", "x"], 1, name="rows").maxpool2d((3, 3), (2, 2))
    b.at("x").conv2d(5, (4, 1), (1, 1), (1, 1), (0, 0, 3, 0), name="other").concat(["x"], 2, name="columns")
    b.at("after").reorder(Layout.row_major(b.x.shape)).flatten().dense(7, name="v").at(
        "four"
    ).global_average().flatten()
    b.concat(["v", b.last], name="vectors")
    return b, ["channels", "rows", "columns", "vectors"]


def slices():
    b = start(8, (8, 5, 6))
    b.slice(0, 4, name="low").at("x").slice(4, 8, name="high").plus("low", name="sum")
    b.at("x").slice(3, 7, name="odd").conv2d(3, (2, 2)).at("x").slice(1, 4, 1, name="rows").at("x").slice(
        5, 6, 2, name="column"
    )
    b.at("x").slice(6, 8).reorder(Layout.row_major((2, 5, 6))).flatten().slice(7, 51, name="part").dense(3, name="y")
    return b, ["sum", "odd", "rows", "column", "y"]


def shuffles():
    b = start(9, (12, 3, 4)).shuffle(groups=3, name="a").conv2d(12, (1, 1), groups=2).shuffle(groups=4, name="b")
    b.conv2d(7, (2, 2)).shuffle(name="prime").flatten().shuffle(name="row").dense(4, name="y")
    return b, ["a", "b", "row", "y"]


def repeats():
    """Along every axis, in beats and inside them; of one pixel, as a broadcast; of vectors."""
    b = start(14, (6, 4, 3)).repeat(1, 2, name="rows").repeat(2, 3, name="both").conv2d(3, (2, 2), name="after")
    b.at("x").repeat(2, 2, name="columns").at("x").repeat(0, 2, name="channels").conv2d(4, (1, 1), name="mixed")
    b.at("x").global_average(name="mean").repeat(2, 12).reshape((6, 4, 3), name="spread").plus("x", name="sum")
    b.at("x").reorder(Layout.row_major((6, 4, 3))).flatten().slice(0, 5, name="part").repeat(0, 4, name="vector")
    return b, ["rows", "both", "after", "columns", "channels", "mixed", "sum", "part", "vector"]


def orders():
    """Transposes, reorders, padding, rows of several pixels, ArgMax along each axis."""
    b = (
        start(10, (4, 5, 3))
        .transpose((1, 0, 2))
        .reorder(name="turned")
        .pad((1, 0, 2, 1), name="padded")
        .conv2d(3, (2, 2))
    )
    b.at("x").pad((0, 0, 0, 0), name="bare").argmax(0, name="channel").at("x").argmax(1, True, name="row")
    b.at("x").argmax(2, name="column").at("x").reorder(Layout.row_major((4, 5, 3)), name="rows").dense(6, name="dense")
    b.requantize(bits=5, per_channel=True, form="affine").argmax(2)
    return b, ["turned", "padded", "bare", "channel", "row", "column", "dense", b.last]


def ends():
    """An input that is an output, tensors that nobody reads, one tensor under several names."""
    b = start(11, (3, 4, 4)).input((2, 2, 2), name="idle").at("x").conv2d(4, (2, 2), name="y").conv2d(2, (1, 1))
    b.at("y").reshape((2, 18), name="z").at("y").flatten().dense(2, name="d")
    return b, ["x", "z", "y", "d"]


KINDS = [
    depthwise, grouped, averages, narrow_averages, dilated_pools, sums, two_inputs, concats, slices, shuffles, repeats,
    orders, ends,
]  # fmt: skip


@pytest.mark.parametrize("budget", [None, 11, 2000])
@pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)
def test_kinds(kind, budget, tmp_path):
    b, outputs = kind()
    check(from_program(b.program(outputs), tmp_path, "mcu,fpga", budget), ("reference", "c", "verilator"))
