"""Codebooks of weights: which layers get one, and that every weight is found in it."""

import numpy as np
import pytest

from hwcomp.plan import codebooks
from hwcomp.plan.bits import encoded, weights_of
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import fold_dataflow
from tests.few_bits import Bits
from tests.program_factory import Builder

XC7, ICE40 = FAMILIES["xc7"], FAMILIES["ice40"]


def layer(values, outputs=16, features=64, seed=1):
    rng = np.random.default_rng(seed)
    weight = rng.choice(values, (outputs, features))
    weight.flat[: len(values)] = values
    return Builder(rng).input((features,)).dense(outputs, weight=weight).program()


def book(program, lanes, logic=XC7):
    return fold_dataflow(program, lanes, logic=logic).stages[0].codebook


@pytest.mark.parametrize(
    ("values", "bits"), [([-90, 3], 1), ([-7, 0, 91], 2), (range(-81, 80, 23), 3), (range(-81, 80, 17), 4)]
)
def test_few_values_have_short_indices(values, bits):
    values = list(values)
    found = book(layer(values), 4)
    assert (found.bits, len(found.codes), found.width) == (bits, len(values), 8)
    table = [found.table >> 8 * i & 255 for i in range(1 << bits)]
    words = np.array(values, np.int64)
    assert [table[i] for i in found.indices(words)] == [v & 255 for v in values]
    assert table[len(values) :] == table[len(values) - 1 : len(values)] * ((1 << bits) - len(values))


def test_idle_lanes_need_a_zero():
    """Eight values fill three bits; lanes beyond the last feature must hold a ninth."""
    program = layer(list(range(1, 120, 15)), features=61)
    plan = fold_dataflow(program, 4, logic=XC7)
    fold, found = plan.stages[0].fold, plan.stages[0].codebook
    idle = fold.chunks * fold.read != 61
    assert found.bits == 3 + idle
    assert (0 in found.codes) == idle
    assert book(layer(list(range(1, 120, 15)), outputs=15), 4).bits == 3  # outputs that are none may have any weight


def test_a_table_must_be_worth_it():
    """Bits that the ROM loses against LUTs: few words have none, many have one; where memory is dear, fewer words will do."""
    values = np.array([-81, -58, -30, -11, 4, 27, 50, 71])
    program = layer(values)
    (kernel,) = program.kernels
    held = weights_of(kernel, program.edges[kernel.inputs[0]])
    for logic in FAMILIES.values():
        for lanes in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            plan = fold_dataflow(program, lanes, logic=logic)
            found, words = plan.stages[0].codebook, plan.stages[0].fold.per_pixel
            made = codebooks._luts(np.sort(encoded(values, held) & 255), 3, 8, logic)
            assert (found is not None) == (words * 5 > made * logic.bits), (logic, lanes)
    assert book(program, 64, XC7) is None
    assert book(program, 16, ICE40)
    assert fold_dataflow(program, 4).stages[0].codebook is None


def test_what_has_many_values_or_few_bits_has_none():
    assert book(layer(list(range(-100, 100))), 1) is None
    rng = np.random.default_rng(1)
    ternary = Bits(rng).source((64,), (4, True, False)).layer(32, "ternary", (8, True, False), "affine").program()
    assert book(ternary, 1) is None


@pytest.mark.parametrize(
    ("codes", "bits", "luts"),
    [([0, 255], 1, 0), ([0, 1, 2, 3], 2, 0), ([1, 2, 4], 2, 1), ([5, 250], 1, 0), ([0, 0b1001, 0b1010, 0b1111], 2, 2)],
)
def test_luts_of_a_table(codes, bits, luts):
    """Bits that are the index's own, their inverse, constant, or like another one cost nothing."""
    assert codebooks._luts(np.array(codes), bits, 8, XC7) == luts
