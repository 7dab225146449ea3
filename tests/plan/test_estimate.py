"""What hardware would take of a float graph, beside what the plan of its Program takes."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp import tuning
from hwcomp.backends.verilog import Verilog
from hwcomp.driver import Watch, quantized_graph
from hwcomp.lower.build import lower
from hwcomp.options import CompileOptions
from hwcomp.plan import estimate
from hwcomp.plan.dataflow import fold_dataflow
from tests.models import loaded, model, values
from tests.passes.test_units import fused
from tests.program_factory import Builder
from tests.sparse_nets import masked


def network():
    """3x3 and pointwise convolutions, a depthwise one, one in groups, a dense layer."""
    nodes = [
        ("Conv", ["x", "a"], ["t1"], {"pads": [1] * 4}), ("Relu", ["t1"], ["r1"], {}),
        ("Conv", ["r1", "b"], ["t2"], {"group": 16, "pads": [1] * 4, "strides": [2, 2]}),
        ("Conv", ["t2", "c"], ["t3"], {}), ("Conv", ["t3", "d"], ["t4"], {"group": 4}),
        ("GlobalAveragePool", ["t4"], ["p"], {}), ("Flatten", ["p"], ["f"], {}), ("Gemm", ["f", "e"], ["y"], {}),
    ]  # fmt: skip
    shapes = {"a": (16, 3, 3, 3), "b": (16, 1, 3, 3), "c": (24, 16, 1, 1), "d": (16, 6, 1, 1), "e": (16, 10)}
    return model(nodes, {"x": (1, 3, 12, 12)}, {n: values(n, *s) for n, s in shapes.items()})


def program():
    options = CompileOptions(targets=("fpga",), passes={"calibrate": {"samples": 1}})
    return lower(quantized_graph(loaded(network()), options, Watch())[0]).program


@pytest.mark.parametrize("budget", [5, 16, 64, 250])
def test_cycles_are_those_of_the_plan(budget):
    graph = fused(network())
    cost = tuning.costs(budget)["cycles"](graph)
    assert cost(graph) == fold_dataflow(program(), budget).interval


def test_fewer_lanes_keep_the_interval_of_less():
    dots = list(tuning._dots(fused(network())).values())
    less = [*dots[:2], replace(dots[2], outputs=12, channels=8), *dots[3:]]
    interval = estimate.cycles(dots, 64)
    lanes = [sum(f.lanes for f in estimate.at_least(d, interval)) for d in (dots, less)]
    assert lanes[1] < lanes[0] <= 64
    assert all(f.beats <= interval for f in estimate.at_least(less, interval))


def test_the_report_estimates_luts_by_the_same_model():
    back_end, mine = Verilog(), program()
    report = back_end.report(mine, back_end.plan(mine, {"pe_simd_budget": 64}))
    assert report["lut_estimate"] == estimate.luts(report["lanes"], 5, len(report["stages"]) - 5, report["buffer_bits"])
    graph = fused(network())
    assert 0.5 <= tuning.costs(64)["lut"](graph)(graph) / report["lut_estimate"] <= 1.5


def test_multiplexers_and_tables_are_logic():
    """A layer whose lanes choose 2 of 4 channels, one with weights from a table."""
    rng, b = np.random.default_rng(1), Builder(np.random.default_rng(0)).input((16, 6, 6))
    b.conv2d(16, (1, 1), weight=masked(rng, "2:4 shared", 16, 16)).conv2d(
        64, (3, 3), weight=rng.choice([-90, 17, 50], (64, 16, 3, 3))
    )
    mine, back_end = b.program(), Verilog()
    plan = back_end.plan(mine, {"pe_simd_budget": 200})
    report = back_end.report(mine, plan)
    chosen, shared = (plan.stages[i] for i in range(2))
    assert chosen.fold.select and not chosen.codebook and shared.codebook
    muxes = chosen.fold.muxes * chosen.fold.select.luts(8)
    tables = round(shared.fold.lanes * shared.codebook.luts)
    assert muxes > 0 < tables
    dots = len(report["stages"])
    assert report["lut_estimate"] == estimate.luts(report["lanes"], dots, 0, report["buffer_bits"]) + muxes + tables


@pytest.mark.parametrize("target", ["fpga", "hls"])
@pytest.mark.parametrize(("budget", "step"), [(5, 1), (24, 2), (64, 4)])
def test_steps_follow_the_lanes_of_the_folds(target, budget, step):
    graph = fused(network())
    lanes = [f.pe * f.simd for f in estimate.folded(tuning._dots(graph).values(), budget)]
    assert sum(n >= step for n in lanes) >= 3 and (step == 4 or sum(n >= 2 * step for n in lanes) < 3)
    assert tuning.tuned(target, budget).steps(graph) == dict.fromkeys(tuning._dots(graph), (step, step))
    assert tuning.tuned("mcu", budget).steps(graph) == dict.fromkeys(tuning._dots(graph), (4, 4))
    assert tuning.tuned(None, budget) is None


@pytest.mark.parametrize(("budget", "block"), [(5, "4x4"), (200, "8x8"), (2000, "16x16")])
def test_blocks_are_as_large_as_the_lanes(budget, block):
    graph = fused(network())
    assert tuning.tuned("fpga", budget).block(graph) == block
    most = max(f.pe * f.simd for f in estimate.folded(tuning._dots(graph).values(), budget))
    side = int(block.split("x")[0])
    assert side * side >= most or side == 16


def test_a_network_without_dot_products_takes_no_lanes():
    graph = fused(model([("Relu", ["x"], ["y"], {})], {"x": (1, 4)}, {}))
    costs = tuning.costs(None)
    assert [costs[name](graph)(graph) for name in ("cycles", "lane_cycles")] == [0, 0]
