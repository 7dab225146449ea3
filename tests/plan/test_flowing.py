"""No pause of inputs stops a design for ever: joins have room though engines that stall hold bubbles."""

import pytest

from hwcomp.plan import fifos
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.plan.execution import Execution
from hwcomp.plan.liveness import live
from hwcomp.plan.timing import build
from tests.random_programs import random_program


def stuck(program, plan):
    """With one result at most in each engine."""
    timing = build(program, plan)
    for pipe in timing.pipes:
        pipe.hold_one()
    for_ever = Execution(timing.graph, [], 3).stuck
    assert live(timing.graph) != for_ever
    return for_ever


@pytest.mark.parametrize(("seed", "budget"), [(1010, 82), (1350, None)])
def test_joins_get_room(seed, budget, monkeypatch):
    program = random_program(seed)
    assert not stuck(program, plan_dataflow(program, budget))
    monkeypatch.setattr(fifos._Search, "flowing", lambda self, depths: depths)
    least = plan_dataflow(program, budget)
    assert stuck(program, least)
    assert not Execution(build(program, least).graph, build(program, least).pipes, 3).stuck


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_flow(seed):
    program = random_program(seed)
    assert not stuck(program, plan_dataflow(program, 12 + seed * 7 % 300))
