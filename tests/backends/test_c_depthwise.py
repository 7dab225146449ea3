"""Depthwise convolutions with coded weights in C: bit by bit on host, sanitized, and M4; when codes are taken, what they take."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_depthwise
from hwcomp.backends.c import CBackend
from hwcomp.plan.memory import WeightLayout
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
FEW = {
    "three": [-128, 127, 5],
    "twelve": [*range(-60, 60, 10)],
    "mostly zero": [0] * 12 + [-90, 17, 101],
    "forty": [*range(-40, 120, 4)],
}


def chain(values, seed=1, **how):
    """Layers of whole slices and of one, of whole fours and not, with padding, strides and dilation."""
    b, rng = Builder(np.random.default_rng(seed)).input((96, 9, 8), **how), np.random.default_rng(seed)

    def layer(c, kernel, **given):
        b.conv2d(c, kernel, groups=c, weight=rng.choice(values, (c, 1, *kernel)), **given)

    layer(96, (3, 3), pads=(1, 1, 1, 1))
    layer(96, (3, 2), strides=(2, 1))
    b.conv2d(37, (1, 1), weight=rng.integers(-127, 128, (37, 96, 1, 1)))
    layer(37, (3, 3), dilations=(2, 2), pads=(2, 2, 2, 2), form="rne")
    b.conv2d(160, (1, 1), weight=rng.integers(-127, 128, (160, 37, 1, 1)))
    layer(160, (3, 3), signed=False)
    return b.program()


def plans(program, **options):
    plan = CBackend().plan(program, options)
    found = zip(program.kernels, plan.steps, strict=True)
    return [s for k, s in found if k.kind == "conv2d" and _c_depthwise.is_depthwise(k)]


@pytest.mark.parametrize("form", ["small", "packed"])
@pytest.mark.parametrize("label", FEW)
def test_layers(label, form, tmp_path):
    program = chain(FEW[label])
    coded = [s.weights for s in plans(program, c_weights=form)]
    assert [w.slices > 0 for w in coded] == [True] * 4 if form == "small" else any(w.slices for w in coded)
    assert [(w.rows, w.slices) for w in coded if w.slices][:1] == [(32, 3)]
    built = c_product(program, tmp_path, "net", c_weights=form)
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


@pytest.mark.parametrize(
    ("values", "bits"), [([255, 3, 40], 8), ([300, -9, 1000, 0, 0, 0], 8), ([5, -7, 100], 16), ([-300, 7, 0], 16)]
)
def test_other_types(values, bits, tmp_path):
    """Weights of unsigned bytes and halfwords, inputs of 16 bits; an odd number of channels."""
    rng = np.random.default_rng(2)
    b = Builder(rng).input((37, 7, 6), bits)
    program = b.conv2d(37, (3, 3), groups=37, pads=(1, 0, 1, 1), weight=rng.choice(values, (37, 1, 3, 3))).program()
    assert [s.weights.slices for s in plans(program, c_weights="small")] == [1]
    assert_all_equal(c_product(program, tmp_path, "net", c_weights="small"), CHost())


def test_slices_hold_the_weights_by_tap_and_channel():
    weight = np.random.default_rng(3).integers(-128, 128, (10, 9))
    flat = _c_depthwise.stored(weight, 2, WeightLayout(5, 9, 9, 5, False, "int8_t", slices=2)).reshape(2, 48)
    for part, rows in zip(flat, (weight[:5], weight[5:]), strict=True):
        assert np.array_equal(part[:45].reshape(9, 5), rows.T)
        assert (part[45:] == rows[4, 8]).all()


def test_scratch_is_in_the_plan():
    program = chain(FEW["twelve"])
    steps = plans(program, c_weights="small")
    small = CBackend().plan(program, {"c_weights": "small"})
    for step in steps:
        w, border = step.weights, any(program.kernels[step.kernel].params["pads"])
        size = -(-w.rows * w.k // 8) * 8 if w.book else -(-w.rows * w.k // 4) * 4
        assert step.scratch == border * -(-w.rows * w.k // 4) * 4 + size + w.tables
    assert small.arena_bytes >= small.peak_live
    assert all(s.weights.slices == 0 for s in plans(program, c_weights="fast"))


def test_the_fewest_bytes_and_why():
    """Small takes fewer bytes than packed, packed fewer than fast; few weights, or many values, stay bytes."""
    backend, program = CBackend(), chain(FEW["mostly zero"])
    found = {f: backend.report(program, backend.plan(program, {"c_weights": f})) for f in ("small", "packed", "fast")}
    sizes = {f: [k["weights"]["bytes"] for k in r["kernels"] if k["weights"]] for f, r in found.items()}
    assert all(a <= b <= c for a, b, c in zip(*sizes.values(), strict=True))
    whys = [
        k["weights"]["why"] for k in found["small"]["kernels"] if k["weights"] and k["weights"]["weights"] == 96 * 9
    ]
    assert "32 channels at a time are decoded into 288 bytes" in whys[0]
    rng = np.random.default_rng(4)
    other = (
        Builder(rng)
        .input((8, 5, 5))
        .conv2d(8, (3, 3), groups=8, weight=rng.permutation(72).reshape(8, 1, 3, 3) - 36)
        .program()
    )
    assert [s.weights.slices for s in plans(other, c_weights="small")] == [0]


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for Cortex-M4")
def test_instructions_are_those_that_are_expected(tmp_path):
    from hwcomp.verify.m4 import per_kernel

    program = Builder(np.random.default_rng(5)).input((64, 12, 12)).conv2d(64, (3, 3), groups=64).program()
    counted = next(iter(per_kernel(c_product(program, tmp_path)).values()))
    assert counted == pytest.approx(100 * 64 * (9 * _c_depthwise._PRODUCT + _c_depthwise._OUTPUT), rel=0.1)
