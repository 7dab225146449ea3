"""Vector codes in C: what is stored, and layers whose rows are decoded, on host and M4."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_vectors
from hwcomp.backends._c_text import render
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
from tests.program_factory import assert_all_equal, assert_all_equal_on_m4, c_product
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
    assert sizes == [4, 8, 4, 2, 4, 4, 2, 4]  # the last two: rows that are no whole quads, and an odd number of them
    built = c_product(program, tmp_path, "net", arena_slack=slack, **SMALL)
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


def test_bytes_are_those_of_indices_and_codebooks():
    backend, program = CBackend(), network()
    plan = backend.plan(program, SMALL)
    report = backend.report(program, plan)
    found = [
        (k, r)
        for k, r, s in zip(program.kernels, report["kernels"], plan.steps, strict=True)
        if s.weights and s.weights.vector
    ]
    assert len(found) == 8
    for kernel, row in found:
        book, index = kernel.constants["codebook"], kernel.constants["index"]
        bits = {4: 2, 8: 3, 16: 4, 32: 5, 64: 6, 256: 8}[book.shape[2]]
        assert row["weights"]["bytes"] == book.size + -(-index.size * bits // 8)
        assert row["weights"]["form"].startswith(f"indices of {bits} bits for {book.shape[3]} weights")
        assert "codebooks included" in row["weights"]["why"]
        assert row["weights"]["bytes"] < kernel.constants["weight"].size


def test_packed_takes_vectors_where_decoding_is_a_small_part():
    """Convolutions decode once for many windows; a dense layer of one vector would take more than twice as long."""
    b = Coded(np.random.default_rng(1)).input((16, 12, 12)).conv(24, (3, 3), codewords=64)
    program = b.flatten().fully(10, dims=(24, 100), codewords=256).program()
    found = {f: [w.vector for w in layouts(program, c_weights=f)] for f in ("fast", "packed", "small")}
    assert found == {"fast": [0, 0], "packed": [4, 0], "small": [4, 4]}


def uneven(size, seed=6, bits=8):
    """Odd rows, in slices and groups; with vectors of two also rows and parts that are no whole quads."""
    k = 12 if size > 2 else 6
    b = Coded(np.random.default_rng(seed)).input((2 * k if size < 8 else 16, 7, 6), bits)
    b.conv(27, (3, 2), size=size, pads=(1, 0, 1, 1), codewords=8, stages=2).conv2d(16, (1, 1)).conv(
        14, (2, 2), groups=2, size=size, codewords=4
    )
    b.conv2d(2 * k if size < 8 else 24, (1, 1)).conv(21, (1, 1), size=size, parts=3, codewords=8)
    return b.program()


@pytest.mark.parametrize("slack", [-1, 100], ids=["least RAM", "fastest"])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_rows_that_are_no_whole_pairs_or_quads(size, slack, tmp_path):
    program = uneven(size)
    plan = CBackend().plan(program, SMALL | {"arena_slack": slack})
    coded = [(k, s.weights) for k, s in zip(program.kernels, plan.steps, strict=True) if "vectors" in k.params]
    assert [w.vector for _, w in coded] == [size] * 3
    assert not any(
        _c_vectors.quick(_c_vectors.Vectors(k.constants["codebook"], k.constants["index"]), w) for k, w in coded
    )
    built = c_product(program, tmp_path, "net", arena_slack=slack, **SMALL)
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


@pytest.mark.parametrize("rows", [9, 16])
def test_inputs_of_16_bits(rows, tmp_path):
    """Weights of a pair stand in their order, those of an odd row in quads."""
    program = Coded(np.random.default_rng(7)).input((60,), 16).fully(rows, codewords=8).program()
    assert [(w.vector, w.quads) for w in layouts(program)] == [(4, False)]
    assert_all_equal(c_product(program, tmp_path, "net", **SMALL), CHost())


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for Cortex-M4")
@pytest.mark.parametrize(
    ("rows", "how"),
    [
        (24, {"codewords": 256}), (24, {}), (24, {"stages": 2}), (24, {"size": 8}), (25, {}), (25, {"size": 2, "stages": 2}),
        (25, {"codewords": 256}),
    ],
    ids=str,
)  # fmt: skip
def test_instructions_are_those_that_are_expected(rows, how, tmp_path):
    from hwcomp.verify.m4 import per_kernel

    program = Coded(np.random.default_rng(8)).input((480, 1, 1)).conv(rows, (1, 1), **how).program()
    (layout,), (kernel,) = layouts(program), program.kernels
    codes = _c_vectors.Vectors(kernel.constants["codebook"], kernel.constants["index"].astype(np.int64))
    dense, found = (
        next(iter(per_kernel(c_product(program, tmp_path / f, c_weights=f)).values())) for f in ("fast", "small")
    )
    assert found - dense == pytest.approx(_c_vectors.instructions(codes, layout, 0, 0), rel=0.1)


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
    for rows, order in (
        (6, [(0, 1), (2, 3), (4, 5)]),
        (2, [(0, 1), (2, 3), (4, 5)]),
        (3, [(0, 1), (2,), (3, 4), (5,)]),
        (1, [(r,) for r in range(6)]),
    ):
        number = int.from_bytes(codes.stream(rows).tobytes(), "little")
        want = [index[s, row, j] for some in order for j in range(5) for s in range(2) for row in some]
        assert [number >> bits * i & (1 << bits) - 1 for i in range(60)] == want
        assert codes.bytes == codes.codebook.size + codes.stream(rows).size


def test_sums_of_bytes_wrap_nowhere():
    """On either path: the portable one adds ints, the other four bytes at once."""
    text = render(
        "prim/c/vectors.c.j2",
        p="t",
        prim={"name": "4_8_2", "size": 4, "bits": 8, "stages": 2, "first": True, "any": False},
    )
    assert "uadd8" in text
    assert "(int8_t)(a0_0[0] + a1_0[0])" in text
