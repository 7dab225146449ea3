"""Weights as indices into codebooks in C: what is stored, layers bit by bit on host, sanitized, and M4, and when they are taken."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_book
from hwcomp.backends._c_dot import stored
from hwcomp.backends.c import CBackend
from hwcomp.plan.memory import WeightLayout
from hwcomp.verify.c_host import CHost
from tests.backends.test_c_fields import chain
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
VALUES = {2: [-128, 127, 5], 3: [-90, -3, 0, 7, 11, 100], 4: [-128, -77, -31, -5, 0, 1, 9, 22, 47, 81, 127]}
MORE = {
    5: [*range(-60, 65, 5)],
    6: [*range(-128, 128, 6)],
    7: [*range(-128, 126, 2), 127],
}  # that are decoded one by one


def unpacked(packed, bits, count):
    found = np.unpackbits(packed, bitorder="little")[: bits * count].reshape(count, bits)
    return (found << np.arange(bits)).sum(axis=1)


@pytest.mark.parametrize("bits", VALUES)
@pytest.mark.parametrize("rows", [1, 6, 7])
def test_indices_are_those_of_the_values(bits, rows):
    rng = np.random.default_rng(bits)
    weight = rng.choice(VALUES[bits], (rows, 20))
    layout = WeightLayout(rows, 20, 20, 2, True, "int8_t", book=bits)
    packed, book = _c_book.multiplied(weight, layout), _c_book.book(weight, layout)
    have = (
        book[unpacked(packed, bits, -(-rows // 2) * 40)].reshape(-1, 5, 2, 4).transpose(0, 2, 1, 3)[..., [0, 2, 1, 3]]
    )
    assert np.array_equal(have.reshape(-1, 20)[:rows], weight)
    assert packed.nbytes + book.nbytes == _c_book.size(weight, 1, layout)


@pytest.mark.parametrize("bits", [*VALUES, *MORE])
def test_slices_begin_with_a_byte(bits):
    weight = np.random.default_rng(bits).choice((VALUES | MORE)[bits], (9, 18))
    layout = WeightLayout(3, 18, 20, 2, True, "int8_t", slices=3, book=bits)
    packed, book = _c_book.decoded(weight, 1, layout, stored), _c_book.book(weight, layout)
    assert packed.nbytes + book.nbytes == _c_book.size(weight, 1, layout)
    have = book[unpacked(packed, bits, 3 * 64)].reshape(3, 64)[:, :60]  # 60 weights, filled up to whole eights
    assert np.array_equal(have.ravel(), stored(weight, 3, layout))


def layers(program, form="packed"):
    return [s.weights for s in CBackend().plan(program, {"c_weights": form}).steps if s.weights]


@pytest.mark.parametrize("slack", [-1, 100], ids=["least RAM", "fastest"])
@pytest.mark.parametrize("bits", VALUES)
def test_layers(bits, slack, tmp_path):
    """Convolutions (groups, odd rows, borders) and dense layers."""
    program = chain(VALUES[bits])
    plan = CBackend().plan(program, {"arena_slack": slack})
    books = [s.weights for s in plan.steps if s.weights and s.weights.book]
    assert any(w.slices for w in books)
    built = c_product(program, tmp_path, "net", arena_slack=slack)
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


def larger(values, seed=6):
    """Layers of which a table of many values is a small part: odd rows, groups, fill columns, several vectors."""
    rng = np.random.default_rng(seed)
    b = Builder(rng).input((13, 12, 11))
    b.conv2d(21, (3, 3), pads=(1, 0, 1, 1), weight=rng.choice(values, (21, 13, 3, 3)), signed=False)
    b.conv2d(42, (2, 3), groups=3, strides=(2, 1), weight=rng.choice(values, (42, 7, 2, 3)))
    b.conv2d(60, (1, 1), weight=rng.choice(values, (60, 42, 1, 1)))
    return b.program()


@pytest.mark.parametrize("bits", MORE)
def test_layers_of_more_values(bits, tmp_path):
    """They are taken where bytes fall more than instructions rise: not where each weight is used once."""
    program = larger(MORE[bits])
    assert [(w.book, w.tables, w.slices > 0) for w in layers(program)][: 3 if bits < 7 else 1] == [(bits, 0, True)] * (
        3 if bits < 7 else 1
    )
    built = c_product(program, tmp_path, "net")
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)
    rng = np.random.default_rng(7)
    weight = rng.choice(MORE[bits], (64, 512))
    assert layers(Builder(rng).input((512,), 8).dense(64, weight=weight).program())[0].book == 0


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for Cortex-M4")
@pytest.mark.parametrize("bits", MORE)
def test_instructions_of_more_values_are_those_that_are_expected(bits, tmp_path):
    """What decoding takes, beyond the same layer of bytes."""
    from hwcomp.verify.m4 import per_kernel

    rng = np.random.default_rng(8)
    program = (
        Builder(rng).input((320, 9, 9)).conv2d(11, (1, 1), weight=rng.choice(MORE[bits], (11, 320, 1, 1))).program()
    )
    (layout,) = layers(program)
    assert (layout.book, layout.slices) == (bits, 1)
    dense, found = (
        next(iter(per_kernel(c_product(program, tmp_path / f, c_weights=f, arena_slack=100)).values()))
        for f in ("fast", "packed")
    )
    assert found - dense == pytest.approx(_c_book.instructions(layout, 11, 0, 0), rel=0.1), (found - dense) / 3520


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [*VALUES, "unsigned"])
@pytest.mark.parametrize("rows", [31, 40])
def test_a_dense_layer_is_multiplied_as_it_is_read(bits, rows, signed, tmp_path):
    rng = np.random.default_rng(3)
    weight = rng.choice(VALUES.get(bits, [255, 3, 40, 128]), (rows, 500))
    program = Builder(rng).input((500,), 8, signed=signed).dense(rows, weight=weight).program()
    assert [(w.book > 0, w.slices) for w in layers(program)] == [(True, 0)]
    built = c_product(program, tmp_path, "net")
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


def test_indices_are_taken_where_values_are_few():
    rng = np.random.default_rng(4)

    def dense(values, k=512, **options):
        weight = rng.choice(values, (64, k))
        return layers(Builder(rng).input((k,), 8).dense(64, weight=weight).program(), **options)[0]

    few = VALUES[4]
    assert dense(few).book == 4
    assert dense([*few, *range(50, 58)]).book == 0  # 19 values
    assert dense(few, form="fast").book == 0
    assert (dense(few, 510).book, dense(few, 510).slices) == (0, 0)  # decoded first, a dense layer takes longer
    assert dense([-1, 0, 1]).bits == 2  # fields
    assert dense([0] * 90 + few).steps  # most are zero


def test_the_report_says_so():
    program = chain(VALUES[3])
    report = CBackend().report(program, CBackend().plan(program, {}))
    facts = [k["weights"] for k in report["kernels"] if k["weights"] and k["weights"]["form"] == "indices of 3 bits"]
    assert facts
    assert any("rows at a time are decoded into" in f["why"] for f in facts)
    assert all(f["bytes"] < 0.6 * f["weights"] + 16 for f in facts)


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for Cortex-M4")
def test_instructions_are_those_that_are_expected(tmp_path):
    from hwcomp.verify.m4 import per_kernel

    rng = np.random.default_rng(5)
    program = Builder(rng).input((784,), 8).dense(100, weight=rng.choice(VALUES[4], (100, 784))).program()
    counted = next(iter(per_kernel(c_product(program, tmp_path)).values()))
    assert counted == pytest.approx(_c_book.instructions(layers(program)[0], 100, 0, 0), rel=0.15)
