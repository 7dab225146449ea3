"""Small designs for the tests of the Verilog product: every cell, odd lanes, both kinds of sign, several ports."""

import functools
import shutil
import subprocess
from pathlib import Path

import numpy as np

from sw_ref.program import Edge, Kernel, Layout, Program
from tests.models import model, values
from tests.products import compiled, from_program, stress
from tests.program_factory import Builder


def _chain(seed, shape, **how):
    return Builder(np.random.default_rng(seed)).input(shape, **how)


def _padding_and_stride():
    b = _chain(2, (2, 7, 6)).conv2d(3, (3, 3), (2, 1), pads=(1, 2, 1, 0)).maxpool2d((3, 2), (2, 2), pads=(1, 0, 1, 1))
    return b.conv2d(4, (1, 1)).program(), None


def _odd_lanes():
    """Budgets and channel counts that share no factor: idle lanes, lanes that do not divide the channels."""
    b = _chain(9, (5, 6, 5)).conv2d(7, (3, 2), pads=(1, 0, 0, 1)).conv2d(11, (2, 3), (1, 2), (2, 1))
    return b.flatten().dense(13).dense(3).program(), 61


def _argmax():
    return _chain(86, (17,)).dense(10, lo=0).dense(7).argmax().program(), 6


def _unsigned_and_wide():
    b = _chain(21, (3, 5, 5), bits=5, signed=False).conv2d(4, (2, 2), bits=12, form="rne").requantize(9, False)
    return b.maxpool2d((2, 2), (1, 1)).conv2d(
        3, (3, 3), weight_bits=12, bits=16, form="affine", bias_bits=20
    ).program(), 20


def _pointwise():
    """No dot product at all: no lanes, no weights."""
    return _chain(19, (3, 4, 4)).clamp(-100, 90).requantize(6, True, per_channel=True).maxpool2d().program(), None


def _one_pixel():
    """Everything is one beat, one lane, one tap."""
    return _chain(135, (1, 1, 1)).conv2d(1, (1, 1)).flatten().dense(1).program(), 2


def _many_lanes():
    """More lanes than a layer can use."""
    return _chain(3, (4, 5, 5)).conv2d(6, (3, 3), pads=(1, 1, 1, 1)).maxpool2d().flatten().dense(9).program(), 2000


def _two_ports():
    """Two networks side by side: s0_axis, s1_axis, m0_axis, m1_axis."""
    rng = np.random.default_rng(8)
    left, right = Builder(rng).input((2, 3, 3), name="left"), Builder(rng).input((6,), 6, name="right")
    right.edges = left.edges  # one name space
    left.edges["right"] = right.edges["right"] = right.x if "right" in right.edges else Edge(
        "right", (6,), 6, True, -32, 31, 0x3F800000, 3, Layout.row_major((6,))
    )  # fmt: skip
    left.conv2d(3, (2, 2), name="left out")
    right.dense(5, name="right out")
    edges = {n: left.edges[n] for n in ("left", "right", "left out", "right out")}
    kernels = (left.kernels[0], Kernel(**{**vars(right.kernels[0]), "name": "dense_1"}))
    return Program(("left", "right"), ("left out", "right out"), edges, kernels), None


def _residual():
    """A block with a shortcut and one with its own convolution, as outputs and inside; averages at the end."""
    b = (
        _chain(54, (3, 4, 6))
        .conv2d(3, pads=(1, 1, 1, 1), lo=0)
        .conv2d(3, pads=(1, 1, 1, 1))
        .plus("t0", lo=0, name="sum")
    )
    b.conv2d(6, (3, 3), (2, 2), pads=(0, 0, 1, 1), name="left").at("sum").conv2d(6, (1, 1), (2, 2)).plus(
        "left", mb=(31, 30)
    )
    b.avgpool2d((2, 2), (1, 1), name="part").at("part").global_average(name="y")
    return b.program(["y", "sum"]), 70


def _branches():
    """Depthwise and grouped layers, slices, a shuffle, concatenations; lanes that do not divide."""
    b = (
        _chain(32, (6, 5, 5))
        .slice(0, 3, name="half")
        .at("t0")
        .slice(3, 6)
        .conv2d(6, pads=(1, 1, 1, 1), groups=3, name="dw")
    )
    b.conv2d(6, (1, 1), groups=2, form="affine").conv2d(6, (3, 3), pads=(1, 1, 1, 1), groups=6).concat(["half"])
    b.shuffle(groups=3, name="mixed").maxpool2d((2, 2), (1, 1), (2, 2)).avgpool2d(
        (2, 2), (2, 2), pads=(1, 1, 0, 0), classes=None
    )
    return b.program(), 23


def _rearranged():
    """Frames in another order, padding at an output, a tensor that is input and output, one that nobody reads, rows."""
    b = _chain(33, (3, 4, 5)).transpose((1, 2, 0)).reorder(name="turned").pad((1, 0, 0, 1), name="z")
    b.at("t0").reorder(Layout.row_major((3, 4, 5))).dense(4, name="rows").at("t0").clamp(-5, 5)
    return b.program(["z", "rows", "t0"]), None


PROGRAMS = {
    "padding and stride": _padding_and_stride, "odd lanes": _odd_lanes, "argmax": _argmax,
    "unsigned, wide": _unsigned_and_wide,
    "pointwise": _pointwise, "one pixel": _one_pixel, "many lanes": _many_lanes, "two ports": _two_ports,
    "residual": _residual, "branches": _branches, "rearranged": _rearranged,
}  # fmt: skip


def batchnorm_net():
    """A BatchNormalization with negative gamma that finds no dot product (a pool stands before it), then Relu."""
    constants = {
        "scale": np.array([1.5, -0.75, -2.0], np.float32), "B": np.array([0.1, -0.3, 0.5], np.float32),
        "mean": np.array([0.2, -0.1, 0.0], np.float32), "var": np.array([0.5, 2.0, 1.0], np.float32),
        "w": values("w", 4, 3, 1, 1),
    }  # fmt: skip
    nodes = [
        ("MaxPool", ["x"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("BatchNormalization", ["p", "scale", "B", "mean", "var"], ["n"], {}), ("Relu", ["n"], ["r"], {}),
        ("MaxPool", ["r"], ["q"], {"kernel_shape": [2, 1]}), ("Conv", ["q", "w"], ["y"], {}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 3, 6, 4)}, constants)


DESIGNS = (*PROGRAMS, "batchnorm")


@functools.cache
def design(name: str, folder: Path):
    """The product of a design for fpga, below `folder` -> Built. Do not change it: see `copied`."""
    where = folder / name.replace(" ", "_").replace(",", "")
    where.mkdir()
    if name == "batchnorm":
        return compiled(
            batchnorm_net(), where, "fpga", name="net", golden=6, calibration={"x": values("x", 6, 3, 6, 4, scale=2)}
        )
    program, budget = PROGRAMS[name]()
    return from_program(program, where, "fpga", budget, stored=stress(program, 6))


def copied(built, folder: Path) -> Path:
    """rtl/ of a copy of a product, free to be changed."""
    return shutil.copytree(built.dir, folder / "copy") / "rtl"


def change(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, count))


def run(command, where: Path, **how) -> subprocess.CompletedProcess:
    return subprocess.run([str(c) for c in command], cwd=where, capture_output=True, text=True, check=False, **how)


def tiny() -> Program:
    """Convolution with padding, pool, dense, ArgMax, all numbers written out: its text never depends on a generator."""
    one = 0x3F800000
    edges = [
        Edge("image", (1, 3, 3), 8, True, -128, 127, 0x3C008081, -1, Layout.channels_last((1, 3, 3))),
        Edge("map", (2, 4, 4), 8, True, 0, 127, one, 0, Layout.channels_last((2, 4, 4))),
        Edge("pooled", (2, 2, 2), 8, True, 0, 127, one, 0, Layout.channels_last((2, 2, 2))),
        Edge("row", (8,), 8, True, 0, 127, one, 0, Layout.channels_last((2, 2, 2))),
        Edge("scores", (3,), 8, True, -128, 127, one, 4, Layout.row_major((3,))),
        Edge("class", (), 2, False, 0, 2, one, 0, Layout.row_major(())),
    ]
    dense = np.arange(24).reshape(3, 8) % 7 - 3
    kernels = (
        Kernel("conv2d", "conv2d_0", ("image",), ("map",), {
            "kernel": [2, 2], "strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "groups": 1,
            "pad_value": -1,
            "acc_bits": 12, "acc_lo": -1300, "acc_hi": 1300,
            "requantize": {"form": "affine", "shift": 6, "lo": 0, "hi": 127},
        }, {
            "weight": np.array([[[[1, -2], [3, 4]]], [[[-4, 0], [2, 1]]]], np.int8),
            "bias": np.array([5, -7], np.int32),
            "multiplier": np.array([5, 9], np.int32), "offset": np.array([32, 32], np.int64),
        }, ("/conv/Conv", "/act/Relu")),
        Kernel("maxpool2d", "maxpool2d_1", ("map",), ("pooled",), {
            "kernel": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": [0, 0, 0, 0], "pad_value": -128,
        }, {}, ("/pool/MaxPool",)),
        Kernel("reshape", "reshape_2", ("pooled",), ("row",), {"shape": [8]}, {}, ("/flat/Flatten",)),
        Kernel("dense", "dense_3", ("row",), ("scores",), {
            "acc_bits": 13, "acc_lo": -3100, "acc_hi": 3100,
            "requantize": {"form": "rne", "shift": 7, "zero": 4, "lo": -128, "hi": 127},
        }, {
            "weight": dense.astype(np.int8), "bias": np.array([3, 0, -11], np.int32),
            "multiplier": np.array([11], np.int32),
        }, ("/fc/Gemm",)),
        Kernel("argmax", "argmax_4", ("scores",), ("class",), {"axis": 0, "keepdims": False}, {}, ("/best/ArgMax",)),
    )  # fmt: skip
    return Program(("image",), ("class",), {e.name: e for e in edges}, kernels)
