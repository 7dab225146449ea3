"""Networks on vector codes: every tensor equal on every engine, whatever codes there are."""

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwcomp.verify.c_host import CHost
from tests.passes.test_few_bits import data
from tests.passes.test_vectors import net
from tests.products import check, compiled
from tests.program_factory import assert_all_equal, c_product
from tests.vector_codes import Coded

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


@pytest.mark.parametrize("fields", [{}, {"size": 2, "stages": 2}], ids=["4x16", "2x16, two stages"])
def test_compiled_for_c_and_verilog(fields, tmp_path):
    passes = {"vectors": {"enabled": True, "codewords": 16, "samples": 128, **fields}}
    built = compiled(net(), tmp_path, calibration={"x": data(128)}, passes=passes, c_weights="small")
    assert sum("codebook" in k.constants for k in built.program.kernels) >= 4
    check(built, ("reference", "c", "verilator"), count=4)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_codes(tmp_path_factory, data):
    """Random sizes, codebooks, parts, stages and groups, in layers of one chain."""
    b = Coded(np.random.default_rng(data.draw(st.integers(0, 1 << 20)))).input((16, data.draw(st.integers(1, 5)), 4))
    for _ in range(data.draw(st.integers(1, 2))):
        how = {
            "size": data.draw(st.sampled_from([2, 4, 8])), "codewords": data.draw(st.integers(2, 256)),
            "stages": data.draw(st.integers(1, 3)), "groups": data.draw(st.sampled_from([1, 2])),
        }  # fmt: skip
        b.conv(16 * data.draw(st.integers(1, 3)), (1, 1), parts=data.draw(st.integers(1, 8 // how["size"])), **how)
        assert b.x.shape[0] % 16 == 0
    channels, places = b.x.shape[0], b.x.size // b.x.shape[0]
    b.flatten().fully(
        data.draw(st.integers(1, 40)), dims=(channels, places), size=4, codewords=data.draw(st.integers(2, 40))
    )
    assert_all_equal(c_product(b.program(), tmp_path_factory.mktemp("any"), "net", c_weights="small"), CHost())
