"""Codebooks of weights: which layers get one, and that every weight is found in it."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp.plan import codebooks
from hwcomp.plan.bits import encoded, weights_of
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import fold_dataflow
from hwcomp.plan.lanes import weight_words
from tests.few_bits import Bits
from tests.program_factory import Builder
from tests.vector_codes import Coded

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


def vectors(budget, outputs=48, features=64, logic=XC7, **how):
    """(program, fold, codebook) of a dense layer on vectors."""
    program = Coded(np.random.default_rng(5)).input((features,)).fully(outputs, **how).program()
    (stage,) = fold_dataflow(program, budget, logic=logic).stages
    return program, stage, stage.codebook


@pytest.mark.parametrize(
    ("how", "vector", "most"),
    [
        ({"size": 2, "codewords": 8}, 2, 8), ({"codewords": 16}, 4, 16), ({"size": 8, "codewords": 4}, 8, 4),
        ({"codewords": 8, "stages": 2}, 4, 64), ({"codewords": 8, "parts": 2}, 4, 16),
    ],
)  # fmt: skip
def test_vectors_of_lanes_have_indices(how, vector, most):
    """Sums of codewords, and codewords of several codebooks, are vectors like others."""
    program, stage, found = vectors(8, outputs=400, **how)
    assert (found.vector, stage.fold.dot % vector, found.width) == (vector, 0, 8 * vector)
    assert len(found.codes) <= most
    (kernel,) = program.kernels
    x, y = (program.edges[n] for n in (*kernel.inputs, *kernel.outputs))
    words = weight_words(kernel, stage, x, y)
    index = found.indices(encoded(words, weights_of(kernel, x)))
    assert index.shape == (len(words), words.shape[1] // vector)
    assert np.array_equal(found.values[index].reshape(words.shape), words & 255)
    table = [found.table >> found.width * i & (1 << found.width) - 1 for i in range(1 << found.bits)]
    assert table[: len(found.codes)] == list(found.codes)


def test_the_size_that_saves_most_is_taken():
    """Four weights of one codeword are two vectors of two as well, and perhaps few values; other lanes, other sizes."""
    program, stage, found = vectors(8, outputs=400, codewords=16)
    words = weight_words(*program.kernels, stage, *program.edges.values())
    for size in (2, 4, 8):
        other = codebooks._book(np.unique(codebooks._joined(words, size, 8)), 8 * size, size, XC7)
        assert other is None or other.saved(stage.fold, XC7) <= found.saved(stage.fold, XC7)
    assert found.saved(stage.fold, XC7) == stage.fold.lanes // 4 * (stage.fold.per_pixel * (32 - 4) - 64 * found.luts)
    assert vectors(1, outputs=400, codewords=16)[2].vector == 1  # one lane at a time: 64 values at most
    odd = vectors(9, outputs=400, features=60, codewords=4)
    assert odd[1].fold.dot % (odd[2].vector if odd[2] else 1) == 0


def test_vectors_that_are_too_many_are_none():
    """Random weights have no vectors in common; a table of thousands is none."""
    rng = np.random.default_rng(6)
    program = Builder(rng).input((64,)).dense(400, weight=rng.integers(-128, 128, (400, 64))).program()
    assert fold_dataflow(program, 8, logic=replace(XC7, bits=0)).stages[0].codebook is None


def test_cycles_are_those_of_plain_weights():
    for budget in (4, 8, 13, 32):
        program = vectors(budget)[0]
        plain, coded = (fold_dataflow(program, budget, logic=logic) for logic in (None, XC7))
        assert [s.beats for s in plain.stages] == [s.beats for s in coded.stages]


def test_lanes_hold_whole_vectors_where_beats_and_budget_stay():
    """Another layer sets the interval, and leaves this one a choice."""
    program = Coded(np.random.default_rng(7)).input((6, 14, 14)).conv2d(24, (3, 3)).conv(40, (1, 1)).program()
    moved = 0
    for budget in range(20, 50, 2):
        plain, coded = (fold_dataflow(program, budget, logic=logic) for logic in (None, ICE40))
        assert coded.interval <= plain.interval
        assert coded.lanes <= budget
        given = codebooks.given(program, plain, ICE40)
        if coded.stages[1].fold == plain.stages[1].fold:
            assert coded == given
            continue
        moved += 1
        assert given.stages[1].codebook is None or given.stages[1].codebook.vector == 1
        assert coded.stages[1].codebook.vector > 1
        assert coded.stages[1].fold.dot % 4 == 0
        assert codebooks.saved(coded, ICE40) > codebooks.saved(given, ICE40)
    assert moved
