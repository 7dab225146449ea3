"""Softmax engines under Verilator: every order of elements, one ROM and two, and the latency that the plan says."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.plan.timing import frame_latency
from hwcomp.verify import engines
from tests.products import check, from_program
from tests.program_factory import Builder

pytestmark = pytest.mark.skipif(bool(engines.engine("verilator").missing()), reason="Verilator is not installed")


def chain(shape, **how) -> Builder:
    return Builder(np.random.default_rng(3)).input(shape, **how)


CASES = {
    "a vector": lambda: chain((11,)).softmax(),
    "of a dense layer": lambda: chain((24,)).dense(10).softmax(),
    "channels of a map": lambda: chain((3, 4, 3)).conv2d(5, (2, 2)).softmax(scale=0.1),
    "a whole map": lambda: chain((3, 2, 4)).conv2d(4, (1, 1)).softmax((0, 1, 2), 0.1),
    "before a layer": lambda: chain((6, 3, 3)).softmax().conv2d(4, (2, 2)),
    "one class": lambda: chain((1, 2, 2)).softmax(),
    "unsigned, a short table": lambda: chain((9,), signed=False).softmax(scale=0.7, zero=0, signed=False),
    "two tables": lambda: chain((12,), bits=16).softmax(scale=3e-4, fraction=16, zero=-32768, bits=16),
    "two tables, cut": lambda: chain((5,), bits=16).softmax(scale=2.0**-8, fraction=7, zero=0),
    "few bits": lambda: chain((6,), bits=4).softmax(scale=0.5, fraction=3, zero=-1, bits=4),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_and_as_fast_as_planned(case, tmp_path):
    program = CASES[case]().program()
    (outcome,) = check(from_program(program, tmp_path, "fpga"), ("verilator",), count=40)
    estimate = frame_latency(program, plan_dataflow(program))
    assert abs(outcome.stats["latency_cycles"] - estimate) <= 10


def test_tables_that_a_lane_does_not_hold_are_refused(tmp_path):
    b = chain((12,), bits=16).softmax(scale=3e-4, fraction=16, zero=-32768, bits=16)
    b.kernels[-1].params["bits"] = 30
    with pytest.raises(UnsupportedError, match="two tables of 30 bits"):
        from_program(b.program(), tmp_path, "fpga")
