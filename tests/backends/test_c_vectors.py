"""Vector codes in C: what is stored, and layers whose rows are decoded, on host and M4."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_vectors
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
from sw_ref.program import Layout
from tests.program_factory import assert_all_equal, c_product, samples
from tests.vector_codes import Coded, network

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
SMALL = {"c_weights": "small"}


def layouts(program, **options):
    return [s.weights for s in CBackend().plan(program, SMALL | options).steps if s.weights]


@pytest.mark.parametrize("slack", [-1, 100], ids=["least RAM", "fastest"])
@pytest.mark.parametrize("seed", range(3))
def test_layers(seed, slack, tmp_path):
    program = network(seed)
    sizes = [w.vector for w in layouts(program, arena_slack=slack)]
    assert sizes == [4, 8, 4, 2, 4, 4, 0, 0]  # rows that are no whole quads, and an odd number of them
    built = c_product(program, tmp_path, "net", arena_slack=slack, **SMALL)
    assert_all_equal(built, CHost())
    if shutil.which("arm-none-eabi-gcc"):
        from hwcomp.verify.m4 import CM4

        given = samples(program, 2)
        have, want = (engine.run(built, given, taps=True).values for engine in (CM4(), CHost()))
        assert all(np.array_equal(have[n], want[n]) for n in want)
