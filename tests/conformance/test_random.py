"""L2: random networks and random Programs; every tensor equal on every engine, stalls on both sides of the Verilog."""

import pytest
from hypothesis import given, settings

from hwcomp.errors import WorkFailed
from hwcomp.lower.build import lower
from tests.conformance.streaming import streaming_program
from tests.models import quantized
from tests.oracle import worst_steps
from tests.products import check, compiled, from_program, stress
from tests.random_programs import random_program
from tests.strategies import chain, chains

FEW = {"calibrate": {"samples": 8}}


@settings(max_examples=150)
@given(chains())
def test_networks_compute_their_float_semantics(c):
    """The Program against the float graph, layer by layer: engines that agree could still be wrong together."""
    graph, _ = quantized(c.proto, input_ranges={"x": c.interval}, passes=FEW)
    lowered = lower(graph)
    program = lowered.program
    for name, steps in worst_steps(lowered.graph, program, stress(program)):
        assert steps < 1e-3, name


def both(seed, folder, paced=True):
    """A random network on C and Verilog."""
    c = chain(seed)
    product = compiled(c.proto, folder, "mcu,fpga", pe_simd_budget=c.budget, input_ranges={"x": c.interval}, passes=FEW)
    check(product, ("reference", "c", "verilator"), seed=seed, paced=paced)


@pytest.mark.parametrize("seed", range(36))
def test_random_networks(seed, tmp_path):
    both(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1320))
def test_many_random_networks(seed, tmp_path):
    both(seed, tmp_path, paced=False)


@pytest.mark.parametrize("seed", [3, 11, 29])
def test_random_networks_on_the_cortex_m4(seed, tmp_path):
    c = chain(seed)
    product = compiled(c.proto, tmp_path, "mcu", input_ranges={"x": c.interval}, passes=FEW)
    check(product, ("c:m4",), count=4, seed=seed)


def program(seed, folder):
    """Whatever a Program may hold, every kernel kind in any order, several inputs and outputs."""
    made, budget = random_program(seed), None if seed % 3 == 0 else 12 + seed * 7 % 300
    check(from_program(made, folder, "mcu,fpga", budget), ("reference", "c", "verilator"), seed=seed, paced=False)


@pytest.mark.parametrize("seed", [*range(16), 1010, 1350, 5067, 5082])  # 1010, 1350: pauses fill engines with bubbles
def test_random_programs(seed, tmp_path):
    program(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_many_random_programs(seed, tmp_path):
    program(seed, tmp_path)


def stream(seed, folder, paced=True):
    program, budget = streaming_program(seed)
    check(from_program(program, folder, "mcu,fpga", budget), ("reference", "c", "verilator"), seed=seed, paced=paced)


@pytest.mark.parametrize("seed", range(16))
def test_random_streaming_programs(seed, tmp_path):
    """Beyond what `lower` writes today: other widths, signs, forms, limits, padding values."""
    stream(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1250))
def test_many_random_streaming_programs(seed, tmp_path):
    stream(seed, tmp_path, paced=False)


@pytest.mark.parametrize(("draw", "seed"), [(both, 1065), (stream, 1219)])
def test_padded_neighbours_keep_their_pace(draw, seed, tmp_path):
    """Padded layers back to back whose beats are nearly alike: one layer's padding must not hold up the other."""
    draw(seed, tmp_path)


BUDGETS = [1, 2, 3, 7, 16, 64, 250]


@pytest.mark.parametrize("budget", BUDGETS)
def test_one_network_under_many_budgets(budget, tmp_path):
    """Lane counts that do not divide the channels; the bits never change."""
    from tests.models import model, values

    nodes = [
        ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("MaxPool", ["a"], ["b"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["b"], ["c"], {}), ("Gemm", ["c", "v"], ["y"], {}),
    ]  # fmt: skip
    proto = model(nodes, {"x": (1, 3, 7, 7)}, {"w": values("w", 5, 3, 3, 3), "v": values("v", 45, 11)})
    if budget < 2:
        with pytest.raises(WorkFailed, match="--pe-simd-budget 2"):
            compiled(proto, tmp_path, "fpga", pe_simd_budget=budget)
        return
    product = compiled(proto, tmp_path, "fpga", pe_simd_budget=budget)
    check(product, ("verilator",), count=6)
    assert product.manifest["targets"]["fpga"]["interval"] >= 7 * 7 * 5 * 27 / budget
