"""Adder graphs against the reference: any integers, any ranges; what zeros and equal sums save; stages and widths."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwcomp.plan import _shared_sums as sums
from hwcomp.plan import unrolled_sums
from hwcomp.plan.adders import REGISTER, Add, bits_of, linear_ranges
from sw_ref import numerics as nm
from tests.few_bits import Bits

BYTE = (8, True, False)


@st.composite
def layers(draw):
    """(weights [outputs, inputs], starts, ranges of the inputs)"""
    outputs, inputs = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    top = draw(st.sampled_from([1, 2, 7, 127, 32767]))
    number = st.one_of(st.just(0), st.integers(-top, top))
    weight = [[draw(number) for _ in range(inputs)] for _ in range(outputs)]
    starts = [draw(st.one_of(st.just(0), st.integers(-(1 << 20), 1 << 20))) for _ in range(outputs)]
    ends = [sorted((draw(st.integers(-300, 300)), draw(st.integers(-300, 300)))) for _ in range(inputs)]
    return np.array(weight, np.int64), starts, [tuple(e) for e in ends]


def samples(ranges, seed):
    """The ends of all ranges, and random values inside."""
    lo, hi = np.array(ranges).T
    return np.concatenate([lo[None], hi[None], np.random.default_rng(seed).integers(lo, hi + 1, (30, len(ranges)))])


def check(graph, weight, starts, x):
    wide = nm.dense_accumulate(x, weight, np.array(starts, np.int64), acc_bits=62)
    np.testing.assert_array_equal(graph.evaluate(x), wide)
    found, (lo, hi) = graph.values(x), np.array(graph.ranges).T
    assert (found >= lo).all() and (found <= hi).all()


@settings(max_examples=150, deadline=None)
@given(layers(), st.booleans(), st.integers(1, 4), st.integers(0, 99))
def test_a_graph_is_its_matrix(layer, share, register, seed):
    weight, starts, ranges = layer
    graph = sums.build(weight, starts, ranges, register, share=share)
    check(graph, weight, starts, samples(ranges, seed))
    for i, (a, b, _, _) in enumerate(graph.adds, graph.first):  # operands are there when they are read
        assert a < i and b < i and graph.stage[i] >= max(graph.stage[a], graph.stage[b])
        assert graph.stage[i] < graph.stages
    used = {v for add in graph.adds for v in add[:2]} | {r.of for r in graph.reads}
    assert used >= set(range(graph.first, graph.first + len(graph.adds)))


@settings(max_examples=100, deadline=None)
@given(layers(), st.integers(1, 3))
def test_no_stage_is_deeper_than_its_registers_say(layer, register):
    graph = sums.build(*layer, register)
    depth = {}
    for i, add in enumerate(graph.adds, graph.first):
        inside = [depth[v] for v in add[:2] if v in depth and graph.stage[v] == graph.stage[i]]
        depth[i] = 1 + max(inside, default=0)
        assert depth[i] <= register


@settings(max_examples=200, deadline=None)
@given(st.integers(-(1 << 24), 1 << 24))
def test_signed_digits(value):
    found = sums.digits(value)
    assert sum(sign << place for place, sign in found) == value
    assert all(b - a >= 2 for (a, _), (b, _) in pairwise(found))


def test_ranges_are_those_of_the_linear_form():
    """7x = 8x - x of 0..255 is not below 0, as the two operands taken apart would say."""
    assert linear_ranges([(0, 255)], [], [Add(0, 0, 3, 2)])[-1] == (0, 1785)
    assert linear_ranges([(0, 255)], [5], [Add(0, 0, 3, 1), Add(2, 1, 4, 0)])[1:] == [(5, 5), (-1785, 0), (-1705, 80)]
    assert [bits_of(*r) for r in ((0, 0), (0, 1), (-1, 0), (-128, 127), (0, 255), (-129, 3))] == [1, 1, 1, 8, 8, 9]


def random(shape, top=127, seed=3):
    return np.random.default_rng(seed).integers(-top, top + 1, shape)


def plain(weight, **how):
    return sums.build(weight, [0] * len(weight), [(-128, 127)] * weight.shape[1], **how)


def test_sums_are_shared():
    """A third of the sums at least, of random integers; equal and opposite rows cost nothing more."""
    weight = random((24, 16))
    trees, graph = plain(weight, share=False), plain(weight)
    assert len(trees.adds) == sums.count_digits(weight) - 24
    assert len(graph.adds) < len(trees.adds) * 2 / 3
    assert graph.luts() < trees.luts() * 2 / 3
    row = random((1, 12), seed=4)
    once = len(plain(row).adds)
    assert len(plain(np.concatenate([row, row, 4 * row])).adds) == once
    assert len(plain(np.concatenate([row, -row])).adds) <= once + 1


def test_zeros_vanish():
    """A tenth of the weights takes hardly more than a tenth of the trees' sums."""
    dense = random((20, 20), seed=5)
    sparse = np.where(np.random.default_rng(6).random((20, 20)) < 0.1, dense, 0)
    assert len(plain(sparse).adds) < 0.15 * len(plain(dense, share=False).adds)
    assert plain(np.zeros((3, 4), np.int64)).adds == ()


def test_a_codebook_shares_products():
    """Eight values: each product of an input is there once, whatever outputs take it."""
    rng = np.random.default_rng(7)
    book = np.array([-113, -75, -37, 0, 21, 43, 83, 119])
    coded, other = book[rng.integers(0, 8, (40, 8))], random((40, 8))
    assert len(plain(coded).adds) < 0.8 * len(plain(other).adds)


def test_many_terms_are_shared_in_blocks(monkeypatch):
    weight = random((6, 40), seed=8)
    whole = plain(weight)
    monkeypatch.setattr(sums, "TERMS", 20)
    parts = plain(weight)
    x = np.random.default_rng(9).integers(-128, 128, (50, 40))
    check(parts, weight, [0] * 6, x)
    assert len(whole.adds) < len(parts.adds) < len(plain(weight, share=False).adds)


def test_registers_are_counted_once_per_value_and_stage():
    graph = plain(random((4, 9), seed=10))
    assert graph.stages >= 2 and REGISTER == 2
    passed = {(v, n) for v, most in graph.delays().items() for n in range(most)}
    assert graph.register_bits() == sum(graph.width(v) for v, _ in passed)


@pytest.mark.parametrize("kind", [BYTE, (1, True, True), (3, False, False)])
def test_a_layer_of_a_program(kind):
    """Bits of -1 and +1 come as 0 and 1; a threshold that decides is taken off."""
    program = Bits(np.random.default_rng(1)).source((9,), kind).layer(5, "int8", (1, True, True)).program()
    (kernel,), edge = program.kernels, program.edges[program.inputs[0]]
    x = np.random.default_rng(2).integers(edge.lo, edge.hi + 1, (40, 9))
    x = np.where(x > 0, 1, -1) if edge.bipolar else x
    acc = nm.dense_accumulate(x, kernel.constants["weight"], kernel.constants["bias"], acc_bits=40)
    found = unrolled_sums.of(program, kernel).evaluate((x + 1) // 2 if edge.bipolar else x)
    np.testing.assert_array_equal(found, acc - kernel.constants["threshold"][:, 0])
