"""L2: random networks with branches, joins, gates and functions; every tensor equal on every engine."""

import pytest

from hwcomp.lower.build import lower
from tests.models import quantized
from tests.nets import net
from tests.oracle import worst_steps
from tests.products import check, compiled, stress

FEW = {"calibrate": {"samples": 8}}


def options(c):
    return {"input_ranges": dict.fromkeys(c.inputs, c.interval), "passes": FEW}


def everywhere(seed, folder):
    c = net(seed)
    product = compiled(c.proto, folder, "mcu,fpga", pe_simd_budget=c.budget, **options(c))
    check(product, ("reference", "c", "verilator"), seed=seed, paced=False)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed, tmp_path):
    everywhere(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_many_random_networks(seed, tmp_path):
    everywhere(seed, tmp_path)


@pytest.mark.parametrize("seed", range(200, 260))
def test_float_semantics(seed):
    """The Program against the float graph, layer by layer: engines that agree could still be wrong together."""
    c = net(seed)
    graph, _ = quantized(c.proto, **options(c))
    lowered = lower(graph)
    for name, steps in worst_steps(lowered.graph, lowered.program, stress(lowered.program)):
        assert steps < 1e-3, name
