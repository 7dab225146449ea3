"""Weights as indices into tables, in HLS C++: every bit in both dialects, and fewer bits of memory."""

from dataclasses import replace

import pytest

from hwcomp.backends import hls
from hwcomp.backends.hls import Hls, HlsPlan
from hwcomp.options import HLS_DIALECTS
from hwcomp.plan.dataflow import plan_dataflow
from tests.backends.hls_tools import needs_headers
from tests.backends.test_verilog_codes import CHEAP, apart, chain
from tests.few_bits import few_bits_program
from tests.products import check, from_program
from tests.vector_codes import network

pytestmark = needs_headers


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
@pytest.mark.parametrize(("distinct", "budget"), [(2, 20), (8, 64), (40, 30)])
def test_every_bit(distinct, budget, dialect, tmp_path):
    program = chain(distinct)
    plan = HlsPlan(plan_dataflow(program, budget, skip=False, logic=CHEAP), dialect)
    assert all(s.codebook for s in plan.flow.stages if s.fold)
    built = from_program(program, tmp_path, "hls", plan=plan)
    assert "_index" in (built.dir / "hls" / "net_weights.h").read_text()
    check(built, ("hls",))


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
def test_vectors(dialect, tmp_path):
    program = network(1)
    plan = HlsPlan(plan_dataflow(program, 64, skip=False, logic=CHEAP), dialect)
    assert {s.codebook.vector for s in plan.flow.stages if s.codebook} & {2, 4, 8}
    check(from_program(program, tmp_path, "hls", plan=plan), ("hls",))


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
def test_depthwise_layers(dialect, tmp_path):
    plan = HlsPlan(plan_dataflow(apart(), 9, skip=False, logic=CHEAP), dialect)
    assert [s.codebook.vector for s in plan.flow.stages] == [1, 1]
    check(from_program(apart(), tmp_path, "hls", plan=plan), ("hls",))


def test_the_report_counts_indices():
    program = chain(8)
    plan = Hls().plan(program, {"pe_simd_budget": 4})
    assert any(s.codebook for s in plan.flow.stages)
    bare = replace(plan.flow, stages=tuple(replace(s, codebook=None) for s in plan.flow.stages))
    saved = [s.fold.per_pixel * s.fold.lanes * (8 - s.codebook.bits) for s in plan.flow.stages if s.codebook]
    counted = [Hls().report(program, p)["rom_bits"] for p in (replace(plan, flow=bare), plan)]
    assert counted[0] - counted[1] == sum(saved) > 0


@pytest.mark.parametrize("seed", range(6))
def test_engines_of_bits_have_none(seed, monkeypatch):
    monkeypatch.setattr(hls, "_LOGIC", CHEAP)
    program, _ = few_bits_program(seed)
    plan = Hls().plan(program, {})
    assert all(s.codebook is None or hls.engines.multiplies(program, s) for s in plan.flow.stages)
