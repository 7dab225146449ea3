"""L2 on HLS C++: every kernel kind in every form, operators' cases, random Programs; each tensor equal, in both dialects.

A design takes g++ some seconds, so the ordinary tests build a few dozen; the sweeps are slow tests."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.options import HLS_DIALECTS
from tests.backends.hls_tools import needs_headers
from tests.backends.verilog_designs import PROGRAMS
from tests.conformance.streaming import streaming_program
from tests.conformance.test_elements import CASES as ELEMENTS
from tests.conformance.test_kinds import KINDS
from tests.few_bits import few_bits_program
from tests.models import op_cases
from tests.products import check, compiled, from_program
from tests.program_factory import Builder
from tests.random_programs import random_program

pytestmark = needs_headers

CASES = op_cases()
ENGINES = ("reference", "hls")


def other(index):
    """The dialects in turn."""
    return HLS_DIALECTS[index % len(HLS_DIALECTS)]


@pytest.mark.parametrize("index", range(len(KINDS)), ids=[f.__name__ for f in KINDS])
def test_kinds(index, tmp_path):
    b, outputs = KINDS[index]()
    check(from_program(b.program(outputs), tmp_path, "hls", (None, 11, 2000)[index % 3], dialect=other(index)), ENGINES)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", HLS_DIALECTS)
@pytest.mark.parametrize("budget", [None, 11, 2000])
@pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)
def test_kinds_under_all_budgets(kind, budget, dialect, tmp_path):
    b, outputs = kind()
    check(from_program(b.program(outputs), tmp_path, "hls", budget, dialect=dialect), ENGINES)


@pytest.mark.parametrize("index", range(len(PROGRAMS)), ids=list(PROGRAMS))
def test_designs(index, tmp_path):
    program, budget = list(PROGRAMS.values())[index]()
    check(from_program(program, tmp_path, "hls", budget, dialect=other(index + 1)), ENGINES)


@pytest.mark.parametrize("index", range(len(ELEMENTS)), ids=list(ELEMENTS))
def test_tables_and_products(index, tmp_path):
    program = list(ELEMENTS.values())[index]().program()
    check(from_program(program, tmp_path, "hls", (None, 200)[index % 2], dialect=other(index)), ENGINES)


SHARES = [
    (seed, {"shape": shape, "bits": bits, "signed": signed}, axes, scale)
    for seed, (shape, bits, signed, axes, scale) in enumerate([
        ((10,), 8, True, (0,), 0.1), ((7, 3, 4), 8, False, (0,), 0.03), ((5, 2, 3), 12, True, (0,), 0.004), ((4, 6), 16, True, (1,), 2e-4),
    ])
]  # fmt: skip


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
@pytest.mark.parametrize(("seed", "how", "axes", "scale"), SHARES)
def test_softmax(seed, how, axes, scale, dialect, tmp_path):
    """One table, two tables; a vector, pixels of a map, rows."""
    program = Builder(np.random.default_rng(seed)).input(**how).softmax(axes, scale=scale).program()
    check(from_program(program, tmp_path, "hls", dialect=dialect), ENGINES)


def case(index, folder, dialect):
    """An operator's case through the whole compiler; what Verilog refuses is refused here too, by the node."""
    _, one = CASES[index]
    options = {"input_ranges": one.ranges}
    try:
        product = compiled(one.model, folder, "hls", hls_dialect=dialect, **options)
    except UnsupportedError as error:
        assert error.node in {n.name for n in one.model.graph.node}, str(error)
        with pytest.raises(UnsupportedError):
            compiled(one.model, folder, "fpga", **options)
        return
    check(product, ENGINES)


EVERY = 12


@pytest.mark.parametrize("index", range(0, len(CASES), EVERY), ids=[label for label, _ in CASES[::EVERY]])
def test_cases(index, tmp_path):
    case(index, tmp_path, other(index // EVERY))


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(CASES)), ids=[label for label, _ in CASES])
def test_all_cases(index, tmp_path):
    case(index, tmp_path, other(index))


def random_one(seed, folder, dialect):
    program, budget = random_program(seed), None if seed % 3 == 0 else 12 + seed * 7 % 300
    check(from_program(program, folder, "hls", budget, dialect=dialect), ENGINES, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_random_programs(seed, tmp_path):
    random_one(seed, tmp_path, other(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2000, 2120))
def test_many_random_programs(seed, tmp_path):
    random_one(seed, tmp_path, other(seed))


def streamed(seed, folder, dialect):
    """Other widths, signs, forms, limits, padding values than `lower` writes today."""
    program, budget = streaming_program(seed)
    check(from_program(program, folder, "hls", budget, dialect=dialect), ENGINES, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_random_streaming_programs(seed, tmp_path):
    streamed(seed, tmp_path, other(seed + 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2000, 2120))
def test_many_random_streaming_programs(seed, tmp_path):
    streamed(seed, tmp_path, other(seed))


def few_bits(seed, folder, dialect):
    """Tensors of one bit, weights of one bit, ternary, powers of two, thresholds, borders that lack terms."""
    program, budget = few_bits_program(seed)
    check(from_program(program, folder, "hls", budget, dialect=dialect), ENGINES, seed=seed)


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_of_few_bits(seed, tmp_path):
    few_bits(seed, tmp_path, other(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2000, 2120))
def test_many_random_programs_of_few_bits(seed, tmp_path):
    few_bits(seed, tmp_path, other(seed))
