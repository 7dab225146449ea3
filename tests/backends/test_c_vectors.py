"""Vector codes in C: what is stored, and layers whose rows are decoded, on host and M4."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_vectors
from hwcomp.backends._c_text import render
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
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


def test_bytes_are_those_of_indices_and_codebooks():
    backend, program = CBackend(), network()
    plan = backend.plan(program, SMALL)
    report = backend.report(program, plan)
    found = [
        (k, r)
        for k, r, s in zip(program.kernels, report["kernels"], plan.steps, strict=True)
        if s.weights and s.weights.vector
    ]
    assert len(found) == 6
    for kernel, row in found:
        book, index = kernel.constants["codebook"], kernel.constants["index"]
        bits = {4: 2, 8: 3, 16: 4, 32: 5, 64: 6, 256: 8}[book.shape[2]]
        assert row["weights"]["bytes"] == book.size + -(-index.size * bits // 8)
        assert row["weights"]["form"].startswith(f"indices of {bits} bits for {book.shape[3]} weights")
        assert "codebooks included" in row["weights"]["why"]
        assert row["weights"]["bytes"] < kernel.constants["weight"].size


@pytest.mark.parametrize("form", ["packed", "fast"])
def test_vectors_are_for_the_smallest_form_only(form):
    assert {s.weights.vector for s in CBackend().plan(network(), {"c_weights": form}).steps if s.weights} == {0}


def test_a_codebook_that_is_larger_than_the_weights_is_not_taken():
    b = Coded(np.random.default_rng(3)).input((16,)).fully(24, codewords=64)
    assert [w.vector for w in layouts(b.program())] == [4]
    b = Coded(np.random.default_rng(3)).input((16,)).fully(24, codewords=128)
    assert [w.vector for w in layouts(b.program())] == [0]


def test_rows_in_another_order_than_their_vectors_stay_bytes(tmp_path):
    """Behind a map the elements lie channels last; codes along the logical order don't fit them."""
    program = Coded(np.random.default_rng(4)).input((4, 3, 3)).flatten().fully(64).program()
    assert [w.vector for w in layouts(program)] == [0]
    assert_all_equal(c_product(program, tmp_path, "net", **SMALL), CHost())


def test_several_vectors_and_slices(tmp_path):
    program = Coded(np.random.default_rng(5)).input((6, 36)).fully(24, codewords=16).program()
    assert [(w.vector, w.slices) for w in layouts(program)] == [(4, 3)]
    assert_all_equal(c_product(program, tmp_path, "net", **SMALL), CHost())


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_stream_holds_the_indices_lowest_bit_first(bits):
    rng = np.random.default_rng(bits)
    index = rng.integers(0, 1 << bits, (2, 6, 5))
    codes = _c_vectors.Vectors(np.zeros((2, 1, 1 << bits, 4), np.int8), index)
    number, want = int.from_bytes(codes.stream.tobytes(), "little"), []
    for pair in range(3):
        want += [index[s, 2 * pair + row, j] for j in range(5) for s in range(2) for row in range(2)]
    assert [number >> bits * i & (1 << bits) - 1 for i in range(60)] == want
    assert codes.bytes == codes.codebook.size + codes.stream.size


def test_sums_of_bytes_wrap_nowhere():
    """On either path: the portable one adds ints, the other four bytes at once."""
    text = render(
        "prim/c/vectors.c.j2", p="t", prim={"name": "4_8_2", "size": 4, "bits": 8, "stages": 2, "first": True}
    )
    assert "uadd8" in text
    assert "(int8_t)(a0_0[0] + a1_0[0])" in text
