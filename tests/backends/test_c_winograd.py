"""Winograd's F(2x2, 3x3) in C: exact transforms, bounds, when it is taken, layers on host and M4."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.backends import _c_winograd as winograd
from hwcomp.backends._c_common import ends
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost, compile_all
from hwcomp.verify.m4 import ARCH
from sw_ref.program import Program
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product, samples

FAST = {"c_weights": "fast", "arena_slack": 10}
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
host = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
m4 = pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for the Cortex-M4")
integers = st.integers(-(1 << 15), (1 << 15) - 1)


@given(st.lists(integers, min_size=16, max_size=16), st.lists(integers, min_size=9, max_size=9))
def test_four_times_the_convolution(d, g):
    d, g = np.array(d).reshape(4, 4), np.array(g).reshape(1, 1, 3, 3)
    u = winograd.transformed(g).reshape(4, 4)
    made = A @ (u * (winograd._B @ d @ winograd._B.T)) @ A.T
    direct = [[(d[i : i + 3, j : j + 3] * g[0, 0]).sum() for j in range(2)] for i in range(2)]
    assert (made == 4 * np.array(direct)).all()


@given(st.integers(-300, 300), st.integers(0, 300), st.integers(0, 15))
def test_bounds_are_reached_and_never_left(lo, width, position):
    """The tile of the ends of the range with the signs of a row of B^T x B^T, and its opposite, give the largest magnitude."""
    hi, bound = lo + width, winograd.largest(lo, lo + width)
    signs = np.outer(winograd._B[position // 4], winograd._B[position % 4])
    ends_of = [np.where(s > 0, hi, lo) for s in (signs, -signs)]
    found = [abs(int((winograd._B @ d @ winograd._B.T)[position // 4, position % 4])) for d in ends_of]
    assert max(found) == bound[position]
    tile = np.random.default_rng(position).integers(lo, hi + 1, (4, 4))
    assert (np.abs(winograd._B @ tile @ winograd._B.T).ravel() <= bound).all()


def test_what_is_stored():
    rng = np.random.default_rng(0)
    program = Builder(rng).input((8, 8, 8)).conv2d(4).program()
    (kernel,) = program.kernels
    words = winograd.stored(kernel).reshape(2, 16, 2, 2, 2)  # pair of rows, position, quad, half, row
    u = winograd.transformed(kernel.constants["weight"])
    for pair, position, quad, half, row in np.ndindex(words.shape):
        word = int(words[pair, position, quad, half, row])
        low, high = (w - (1 << 16) if w >> 15 else w for w in (word & 0xFFFF, word >> 16))
        assert (low, high) == tuple(u[2 * pair + row, position, 4 * quad + half + k] for k in (0, 2))


def layer(shape=(8, 6, 6), m=8, seed=1, signed=True, bits=8, **how) -> Program:
    return Builder(np.random.default_rng(seed)).input(shape, bits, signed).conv2d(m, **how).program()


def takes(program: Program) -> bool:
    return CBackend().plan(program, FAST).steps[0].weights.winograd


def test_when_it_is_taken():
    assert takes(layer())
    assert not CBackend().plan(layer(), {"arena_slack": 10}).steps[0].weights.winograd  # only where fast was asked for
    for other in (
        layer(strides=(2, 2)), layer(dilations=(2, 2)), layer(kernel=(3, 1)), layer(kernel=(5, 5)), layer(groups=2),
        layer((6, 6, 6)), layer(m=6), layer(bits=16), layer((8, 4, 4)), layer(bias_bits=30),
    ):  # fmt: skip
        assert not takes(other)
    zeros = np.zeros((8, 8, 3, 3), int)
    zeros[0, 0, 0, 0] = 1
    assert not takes(layer(weight=zeros))  # index lists are faster


def test_numbers_that_may_leave_32_bits_stay_direct():
    """Four times the sums: two bits more than the accumulator has."""
    for level, fits in ((1 << 13, True), (1 << 15, False)):
        program = layer((128, 8, 8), 4, weight=np.full((4, 128, 3, 3), level))
        x, y = ends(program, program.kernels[0])
        assert program.kernels[0].params["acc_bits"] <= 32 or not fits
        assert not winograd.possible(program.kernels[0], x, y)
    program = layer((128, 8, 8), 4, weight=np.full((4, 128, 3, 3), 127))
    assert winograd.possible(program.kernels[0], *ends(program, program.kernels[0]))


def test_the_scratch_is_in_the_arena():
    program = Builder(np.random.default_rng(0)).input((8, 9, 9)).conv2d(8, pads=(1, 1, 1, 1)).requantize().program()
    plan = CBackend().plan(program, FAST)
    assert plan.steps[0].scratch == 16 * 4 * 8 * 2 + 512 + 16 * 8
    assert plan.arena_bytes >= plan.steps[0].scratch + 9 * 9 * 8


CASES = {
    "padded": {"shape": (8, 8, 8), "pads": (1, 1, 1, 1)},
    "not padded": {"shape": (4, 10, 8), "m": 12},
    "odd": {"shape": (8, 7, 5), "pads": (1, 1, 1, 1)},
    "odd, not padded": {"shape": (8, 9, 7)},
    "one line": {"shape": (32, 1, 16), "m": 32, "pads": (1, 1, 1, 1)},
    "wide pads": {"shape": (4, 5, 6), "pads": (2, 0, 0, 2)},
    "a rest of tiles": {"shape": (4, 4, 10), "pads": (1, 1, 1, 1)},
    "unsigned": {"shape": (8, 6, 6), "pads": (1, 1, 1, 1), "signed": False},
    "weights without sign": {"shape": (4, 6, 6), "m": 4, "weight": np.random.default_rng(3).integers(129, 256, (4, 4, 3, 3))},
    "rounded half to even": {"shape": (8, 6, 6), "form": "rne"},
    "thresholds": {"shape": (8, 6, 6), "thresholds": 15},
    "16 bits": {"shape": (8, 6, 6), "out_bits": 16, "pads": (1, 1, 1, 1)},
    "several turns": {"shape": (44, 6, 6), "m": 4, "pads": (1, 1, 1, 1)},
    "two turns": {"shape": (64, 4, 4), "m": 8, "pads": (1, 1, 1, 1)},
}  # fmt: skip


def case(name: str) -> Program:
    how = dict(CASES[name])
    shape, signed, m, bits = how.pop("shape"), how.pop("signed", True), how.pop("m", 8), how.pop("out_bits", 8)
    thresholds = how.pop("thresholds", 0)
    b = Builder(np.random.default_rng(7)).input(shape, 8, signed)
    program = b.conv2d(m, bits=bits, **how).requantize().program()
    return stepped(program, thresholds) if thresholds else program


def stepped(program: Program, count: int) -> Program:
    """The first kernel with `count` thresholds per channel, falling in some, in place of multipliers."""
    rng, (first, *others) = np.random.default_rng(9), program.kernels
    p, m = first.params, len(first.constants["weight"])
    t = np.sort(rng.integers(p["acc_lo"] // 8, p["acc_hi"] // 8, (m, count)), axis=1)
    record = {"form": "threshold", "lo": -128, "hi": -128 + count, "step": 1}
    constants = {n: first.constants[n] for n in ("weight", "bias")}
    constants |= {"threshold": t, "descending": rng.integers(0, 2, m)}
    return replace(program, kernels=(replace(first, params={**p, "requantize": record}, constants=constants), *others))


@host
@pytest.mark.parametrize("name", CASES)
def test_layers(name, tmp_path):
    """Behind a kernel and in front of one, so that tensors and scratch share the arena."""
    program = case(name)
    built = c_product(program, tmp_path, "net", **FAST)
    assert "net_winograd_" in (tmp_path / "src" / "net.c").read_text()
    assert_all_equal(built, CHost())


@m4
@pytest.mark.parametrize("name", CASES)
def test_layers_on_the_m4(name, tmp_path):
    assert_all_equal_on_m4(c_product(case(name), tmp_path, "net", **FAST))


def network(seed: int) -> Program:
    """A chain of random 3x3 convolutions, most of which are taken, and a branch that is added."""
    rng = np.random.default_rng(seed)
    b = Builder(rng).input(
        (4 * int(rng.integers(1, 4)), *(int(n) for n in rng.integers(4, 9, 2))), 8, bool(rng.integers(2))
    )
    for _ in range(int(rng.integers(1, 4))):
        b.conv2d(
            4 * int(rng.integers(1, 5)), pads=tuple(int(p) for p in rng.integers(1, 3, 4)), mb=int(rng.integers(8, 25))
        )
    before = b.x
    b.conv2d(before.shape[0], pads=(1, 1, 1, 1))
    return b.plus(before.name).program()


@host
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed, tmp_path):
    program = network(seed)
    taken = [s.weights.winograd for s in CBackend().plan(program, FAST).steps if s.weights]
    assert any(taken)
    assert_all_equal(c_product(program, tmp_path, "net", **FAST), CHost(), 4, seed)


@m4
@pytest.mark.parametrize("seed", range(3))
def test_random_networks_on_the_m4(seed, tmp_path):
    from hwcomp.verify.m4 import CM4

    assert_all_equal(c_product(network(seed), tmp_path, "net", **FAST), CM4(), 1, seed)


@m4
def test_it_is_faster_and_the_model_says_by_how_much(tmp_path):
    """Instructions in QEMU beside the direct form: at most a tenth from what the choice expected."""
    from hwcomp.verify.m4 import measure

    program, count = layer((32, 8, 8), 32, pads=(1, 1, 1, 1)), {}
    for form in ("packed", "fast"):
        built = c_product(program, tmp_path / form, "net", samples(program, 1), c_weights=form, arena_slack=100)
        count[form] = measure(built)["instructions"]
    mine, others = winograd.instructions(program, program.kernels[0])
    assert count["fast"] < 0.5 * count["packed"]
    assert count["fast"] / count["packed"] == pytest.approx(mine / others, rel=0.1)


@m4
@pytest.mark.parametrize(
    ("shapes", "pads"), [([(8, 8, 8)], 0), ([(8, 7, 7)], 0), ([(32, 8, 8)], 1), ([(32, 8, 8), (32, 8, 8)], 1)], ids=str
)
def test_the_code_is_about_as_large_as_the_report_says(shapes, pads, tmp_path):
    """Layers of as many channels share a primitive; what reaches over the edge of the map takes as much again as the rest."""
    b = Builder(np.random.default_rng(1)).input(shapes[0])
    for shape in shapes:
        b.conv2d(shape[0], pads=(pads,) * 4, form="affine")
    program, backend = b.program(), CBackend()
    folder = c_product(program, tmp_path, "net", **FAST).dir / "src"
    compile_all(["arm-none-eabi-gcc", *ARCH, "-std=c99", "-O3", "-c", "net.c"], folder)
    code = int(compile_all(["arm-none-eabi-size", "net.o"], folder).splitlines()[1].split()[0])
    expected = backend.report(program, backend.plan(program, FAST))["code_bytes_estimate"]
    assert expected == pytest.approx(code, rel=0.2)


def test_the_report_says_why():
    program, backend = layer((16, 8, 8), 16), CBackend()
    found = backend.report(program, backend.plan(program, FAST))["kernels"][0]["weights"]
    assert found["form"] == "Winograd F(2x2, 3x3), int16_t"
    assert "of the instructions expected, 32 bytes for 9" in found["why"]
    assert found["bytes"] == 32 * 16 * 16
