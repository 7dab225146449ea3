"""Random Programs with every layer unrolled that can be: every tensor equal on Verilog with stalls, at full pace."""

import pytest

from hwcomp.plan import unrolled
from tests.few_bits import few_bits_program
from tests.products import check, from_program
from tests.random_programs import random_program


def wired(program):
    return any(k.kind in ("conv2d", "dense") and unrolled.obstacle(program, k) is None for k in program.kernels)


def seeds(make, many):
    """The first seeds of which a layer can be unrolled."""
    return [s for s in range(2 * many) if wired(make(s))][:many]


def few(seed):
    return few_bits_program(seed)[0]


def run(program, seed, folder):
    built = from_program(program, folder, "fpga", unroll=("all",))
    assert list((built.dir / "rtl").glob("net_k*_unrolled.v"))
    check(built, ["verilator"], seed=seed)


@pytest.mark.parametrize("seed", seeds(few, 8))
def test_few_bits(seed, tmp_path):
    run(few(seed), seed, tmp_path)


@pytest.mark.parametrize("seed", seeds(random_program, 8))
def test_random_programs(seed, tmp_path):
    run(random_program(seed), seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(few, 60)[8:])
def test_many_of_few_bits(seed, tmp_path):
    run(few(seed), seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(random_program, 60)[8:])
def test_many_random_programs(seed, tmp_path):
    run(random_program(seed), seed, tmp_path)
