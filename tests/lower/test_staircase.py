"""The staircase proof counts exactly the accumulators on which the two functions differ."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwcomp.lower import requant, staircase
from hwcomp.lower.context import _pointwise
from hwcomp.lower.requant import Requant
from sw_ref.program import Edge, Layout


def brute(rq, formula, lo, hi):
    """Every accumulator of every channel, one by one."""
    count = 0
    for c, (first, last) in enumerate(zip(lo.tolist(), hi.tolist(), strict=True)):
        a = np.broadcast_to(np.arange(first, last + 1), (len(lo), last - first + 1))
        count += int((rq.apply(a)[c] != formula(a)[c]).sum())
    return count


@st.composite
def stairs(draw):
    """A requantize record, a float formula near to it or far from it, and accumulator ranges per channel."""
    channels = draw(st.integers(1, 3))
    scale = np.array([draw(st.floats(2.0**-13, 2.0, width=32)) for _ in range(channels)], np.float32)
    if draw(st.booleans()):
        scale[draw(st.integers(0, channels - 1))] = 0
    zero, (q_lo, q_hi) = draw(st.integers(-20, 20)), sorted(draw(st.tuples(st.integers(-40, 40), st.integers(-40, 40))))
    rq = requant.choose(scale, -3000, 3000, 13, zero, q_lo, q_hi, draw(st.sampled_from([8, 10, 16, 31])))
    other = scale * np.float32(draw(st.sampled_from([1.0, 1.0, 0.99, 1.05, 2.0])))
    formula = staircase.float_formula(other, zero + draw(st.sampled_from([0, 0, 0, 1])), q_lo, q_hi)
    lo = np.array([draw(st.integers(-3000, 2999)) for _ in range(channels)])
    return rq, formula, lo, np.array([draw(st.integers(int(v), 3000)) for v in lo])


@settings(max_examples=400)
@given(stairs())
def test_differing_equals_brute_force(drawn):
    rq, formula, lo, hi = drawn
    assert staircase.compare(rq, formula, lo, hi)[0] == brute(rq, formula, lo, hi)


@pytest.mark.parametrize("shift", [-5, -1, 1, 7])
def test_a_shifted_staircase_differs_in_full(shift):
    """y = a against y = a + shift over 201 accumulators: all differ but those clamped alike at an end."""
    rq = Requant("affine", 0, 0, -1000, 1000, np.ones(1, np.int64), np.zeros(1, np.int64), 1)
    lo, hi = np.array([-100]), np.array([100])
    assert staircase.compare(rq, lambda a: a + shift, lo, hi)[0] == 201
    clamped = replace(rq, lo=-50, hi=50)
    have = staircase.compare(clamped, lambda a: np.clip(a + shift, -50, 50), lo, hi)[0]
    assert have == brute(clamped, lambda a: np.clip(a + shift, -50, 50), lo, hi) == 99 + abs(shift)


def test_one_wrong_accumulator_is_found_in_a_wide_range():
    """2^40 accumulators, two staircases that differ in a single step by one accumulator."""
    rq = Requant("affine", 35, 0, -16, 15, np.ones(1, np.int64), np.zeros(1, np.int64), 1)

    def moved(a):
        return np.clip((a + (a == (3 << 35) - 1)) >> 35, -16, 15)

    lo, hi = np.array([-(1 << 39)]), np.array([(1 << 39) - 1])
    assert staircase.compare(rq, lambda a: np.clip(a >> 35, -16, 15), lo, hi)[0] == 0
    assert staircase.compare(rq, moved, lo, hi)[0] == 1


def test_a_constant_type_never_differs():
    rq = Requant("rne", 3, 0, 5, 5, np.ones(1, np.int64), None, 1)
    assert staircase.compare(rq, lambda a: np.full_like(a, 5), np.array([-9]), np.array([9]))[0] == 0


def test_float_formula_is_that_of_onnxruntime():
    """clip(rint(f32(a) * S) + z): float32 product, ties to even, the accumulator itself rounded to float32."""
    formula = staircase.float_formula(np.array([0.5], np.float32), 1, -128, 127)
    assert formula(np.array([[1, 2, 3, 5, -1, -3, 900, -900]])).tolist() == [[1, 2, 3, 3, 1, -1, 127, -128]]
    wide = staircase.float_formula(np.array([2.0**-24], np.float32), 0, -128, 127)
    assert wide(np.array([[(1 << 24) + (1 << 23) + 1]])).tolist() == [[2]]


def test_line_names_what_counts():
    proof = staircase.Proof("fc", "rne", 21, 31, 1000, 0, 10, 0)
    head, _, tail = proof.line().rpartition(": ")
    assert head == "fc: accumulator 21 bits, rne, multiplier 31 bits, 10 channels"
    assert tail == "equal to the float formula on every accumulator"
    some = replace(proof, differing=7, worst=2, multiplier_bits=15, precision=16, folded=2).line()
    assert "differs from the float formula on 7 of 1,000 accumulators, by 2 at most" in some
    assert "15 bits (rounded to 16, fewer than 24: less exact)" in some
    assert "2 constant channels" in some


def test_steps_of_wide_outputs_are_looked_at_in_part():
    """16-bit outputs of 40 channels: part of the steps, and the line says so; all of the steps of few channels."""
    scale = np.full(40, 0.7, np.float32)
    reach = (np.full(40, -40000), np.full(40, 40000))
    rq = requant.choose(scale, -40000, 40000, 17, 0, -32768, 32767)
    count, worst, steps = staircase.compare(
        rq, staircase.float_formula(scale * np.float32(1.001), 0, -32768, 32767), *reach
    )
    assert count > 0 and worst > 0 and 256 <= steps < 65535
    one = requant.choose(scale[:1], -40000, 40000, 17, 0, -32768, 32767)
    formula = staircase.float_formula(scale[:1], 0, -32768, 32767)
    assert staircase.compare(one, formula, reach[0][:1], reach[1][:1])[2] is None
    proof = staircase.Proof("y", "rne", 17, 31, 9, 0, 1, 0, steps=300)
    assert "not all were looked at" in proof.line()


def test_few_accumulators_of_a_wide_output_are_all_looked_at():
    """20-bit outputs of sums of bits: more steps than are looked at, but few accumulators; one that differs is found."""
    rq = Requant("affine", 0, 0, -(1 << 19), (1 << 19) - 1, np.full(10, 7919), np.zeros(1, np.int64), 31)
    lo, hi = np.full(10, -64), np.arange(55, 65)

    def moved(a):
        return rq.apply(a) + (a == 58)

    assert staircase.compare(rq, rq.apply, lo, hi) == (0, 0, None)
    assert staircase.compare(rq, moved, lo, hi) == (7, 1, None)
    assert staircase.counts(rq, moved, lo, hi).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert staircase.where(rq, moved, lo, hi) == [(c, 58, 58) for c in range(3, 10)]


def test_summary_says_where_not_all_was_looked_at():
    proof = staircase.Proof("y", "rne", 17, 31, 9, 0, 1, 0)
    part = replace(proof, steps=300)
    assert staircase.summary([proof, proof]) == "all 18 accumulators give what the float formula gives"
    assert staircase.summary([proof, part]).startswith("none of 18 accumulators was found to differ")
    for found in (staircase.summary([proof, part]), staircase.summary([replace(part, differing=3, worst=1), proof])):
        assert found.endswith("; of 1 layer only a part was looked at")
    assert staircase.summary([part, part]).endswith("of 2 layers only a part was looked at")


def test_runs_of_differing_accumulators():
    differ = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]], bool)
    assert staircase.runs(differ, -2) == ((0, -1, 0), (0, 2, 2), (1, -2, -2))
    assert staircase.runs(np.zeros((2, 3), bool), 0) == ()


def test_a_rescale_names_the_inputs_at_ties():
    """1.5 x: the float formula rounds ties to even, the record upwards."""
    x = Edge("x", (4,), 8, False, 0, 255, 0, 0, Layout.row_major((4,)))
    rq, least, most, proof = _pointwise(x, np.array([1.5]), np.array([20.0]), 0, 255)
    every = np.arange(256)
    want = np.clip(np.rint(1.5 * every + 20), 0, 255)
    got = rq.apply(every[None])[0]
    assert (least, most) == (got.min(), got.max())
    assert proof.differing == (got != want).sum() > 0 and proof.worst == np.abs(got - want).max() == 1
    named = [a for _, first, last in proof.named for a in range(first, last + 1)]
    assert named == np.flatnonzero(got != want).tolist()


def test_the_summary_counts_pairs_beside_ties():
    sure = staircase.Proof("fc", "rne", 21, 31, 1000, 0, 10, 0)
    assert "pairs" not in staircase.summary([sure])
    assert "3 pairs of inputs" in staircase.summary([sure, replace(sure, close=3)])
