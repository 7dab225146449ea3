"""Beats of zero weights left out in Verilog: which ones, how fast, and that every bit and cycle is as planned."""

import numpy as np
import pytest

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends.verilog import Verilog
from hwcomp.plan import skips, timing
from hwcomp.plan.dataflow import fold_dataflow, plan_dataflow
from hwcomp.plan.lanes import weight_words
from tests.backends.test_verilog_timing import simulated, steady
from tests.products import check, from_program
from tests.program_factory import Builder
from tests.sparse_nets import PATTERNS, chain, masked, short_chain

BUDGETS = {"blocks": (7, 16, 61, 200), "2:4 shared": (8,), "single": (24,), "rows": (40, 500)}


def one(pattern, m=32, channels=16, kernel=(3, 3), size=6, density=None, seed=2):
    rng = np.random.default_rng(seed)
    b = Builder(rng).input((channels, size, size))
    weight = masked(rng, pattern, m, channels, kernel)
    return b.conv2d(m, kernel, pads=(kernel[0] // 2,) * 4, weight=weight).program()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_left_out_is_zero_and_what_is_not_is_there(pattern):
    """The schedule against the weight words of the whole layer."""
    skipped = 0
    for budget in (*BUDGETS[pattern], 9):
        program = chain(pattern)
        plan = fold_dataflow(program, budget)
        for stage in plan.stages:
            kernel = program.kernels[stage.kernel]
            if not stage.fold:
                continue
            x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
            beats, fold = rom.schedule(kernel, stage, x, y), stage.fold
            if beats is None:
                continue
            words = weight_words(kernel, stage, x, y).any(axis=1).reshape(fold.groups, fold.chunks)
            kept = np.zeros_like(words)
            kept[tuple(beats.T)] = True
            empty = ~words.any(axis=1)
            assert (kept[~empty] == words[~empty]).all()
            assert (kept[empty].sum(axis=1) == 1).all()
            assert tuple(kept.sum(axis=1)) == fold.kept
            assert fold.per_pixel == len(beats) <= (1 - skips.LEAST) * words.size
            assert list(map(tuple, beats)) == sorted(map(tuple, beats))
            skipped += words.size - len(beats)
    assert skipped > 0


def test_the_interval_falls_with_the_density():
    """At equal lanes; blocks of 4 x 4, 40 % of them, on lanes that fit them."""
    program = one("blocks")
    for budget in (4, 8, 16):
        dense, sparse = (fold_dataflow(program, budget, skip=skip) for skip in (False, True))
        assert dense.lanes <= budget >= sparse.lanes
        assert sparse.interval <= 0.42 * dense.interval, budget


def test_dense_weights_have_no_schedule():
    rng = np.random.default_rng(3)
    program = Builder(rng).input((16, 6, 6)).conv2d(32, (3, 3)).program()
    for budget in (3, 16, 100):
        assert fold_dataflow(program, budget) == fold_dataflow(program, budget, skip=False)
    assert all(not s.fold.kept for s in fold_dataflow(one("single", size=4), 288, skip=False).stages)


def test_hls_reads_all_beats():
    from hwcomp.backends.hls import Hls

    program = one("blocks")
    plan = Hls().plan(program, {"pe_simd_budget": 16})
    assert plan.flow == plan_dataflow(program, 16, skip=False) != plan_dataflow(program, 16)


@pytest.mark.parametrize(
    ("pattern", "budget"), [("blocks", 6), ("blocks", 40), ("2:4 shared", 12), ("rows", 24), ("single", 9)]
)
def test_every_bit_and_cycle(pattern, budget, tmp_path):
    """All taps with random stalls; frames back to back at the cycles of the timing model."""
    program = short_chain(pattern, signed=budget % 2 == 0)
    plan = plan_dataflow(program, budget)
    assert any(s.fold and s.fold.kept for s in plan.stages)
    check(from_program(program, tmp_path / "checked", "fpga", plan=plan), ("verilator",))
    done = simulated(program, plan, tmp_path / "timed", 6)
    assert done.tolist() == timing.completions(timing.build(program, plan), 6).tolist()
    assert steady(done) <= plan.interval
    assert timing.frame_latency(program, plan) == done[0] + 1


def test_the_report_counts_what_is_stored():
    program = one("blocks")
    sparse = plan_dataflow(program, 16)
    stage = sparse.stages[0]
    report = Verilog().report(program, sparse)["stages"][0]
    dense = Verilog().report(program, plan_dataflow(program, 16, skip=False))["stages"][0]
    assert report["beats"] == stage.beats < 0.5 * dense["beats"]
    assert report["rom_bits"] < 0.6 * dense["rom_bits"]
    assert "115 of 288 beats" in report["zeros"]
    assert "zeros" not in dense
