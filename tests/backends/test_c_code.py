"""Size of the code: what the report says beside what the compiler for a Cortex-M4 makes, in all forms of weights."""

import shutil

import numpy as np
import pytest

from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import compile_all
from hwcomp.verify.m4 import ARCH
from tests import vector_codes
from tests.program_factory import Builder, c_product
from tests.sparse_nets import masked

pytestmark = pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for a Cortex-M4")


def drawn(values):
    return lambda rng, m, c, kernel: rng.choice(values, (m, c, *kernel))


def pattern(name):
    return lambda rng, m, c, kernel: masked(rng, name, m, c, kernel)


WEIGHTS = {
    "bytes": (lambda rng, m, c, kernel: rng.integers(-127, 128, (m, c, *kernel)), "packed"), "quads": (pattern("blocks"), "packed"),
    "pairs": (pattern("2:4 shared"), "packed"), "single": (pattern("single"), "packed"),
    "codebook": (drawn([-90, 17, 50]), "packed"), "prefix codes": (drawn([0] * 12 + [-90, 17]), "small"),
}  # fmt: skip


def chain(kind):
    """A padded 3x3, a pointwise and a 3x3 convolution; dense."""
    make, rng = WEIGHTS[kind][0], np.random.default_rng(2)
    b = Builder(np.random.default_rng(1)).input((16, 8, 8))
    for m, kernel, pads in ((16, (3, 3), 1), (32, (1, 1), 0), (16, (3, 3), 0)):
        b.conv2d(m, kernel, pads=(pads,) * 4, weight=make(rng, m, b.x.shape[0], kernel), form="affine")
    b.flatten().dense(64, weight=make(rng, 64, b.x.size, (1, 1))[..., 0, 0], form="affine")
    return b.dense(32, weight=make(rng, 32, 64, (1, 1))[..., 0, 0], form="affine").program()


def vectors(kind):
    """Dense layers and one of all weights: the last stands alone, with nothing decoded."""
    make, rng = WEIGHTS[kind][0], np.random.default_rng(2)
    b = Builder(np.random.default_rng(1)).input((256,))
    for m in (128, 64, 32):
        b.dense(m, weight=make(rng, m, b.x.size, (1, 1))[..., 0, 0], form="affine")
    return b.program()


def sizes(program, folder, form):
    """(bytes that the report says, bytes of code)."""
    made = c_product(program, folder, "net", c_weights=form).dir / "src"
    compile_all(["arm-none-eabi-gcc", *ARCH, "-std=c99", "-O3", "-ffunction-sections", "-c", "net.c"], made)
    code = int(compile_all(["arm-none-eabi-size", "net.o"], made).splitlines()[1].split()[0])
    back_end = CBackend()
    return back_end.report(program, back_end.plan(program, {"c_weights": form}))["code_bytes_estimate"], code


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("network", [chain, vectors], ids=["convolutions", "dense"])
def test_code_is_about_as_large_as_the_report_says(network, kind, tmp_path):
    expected, code = sizes(network(kind), tmp_path, WEIGHTS[kind][1])
    assert expected == pytest.approx(code, rel=0.25)


def test_codewords_are_decoded_by_code_too(tmp_path):
    expected, code = sizes(vector_codes.network(), tmp_path, "small")
    assert expected == pytest.approx(code, rel=0.25)
