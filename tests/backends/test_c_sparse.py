"""Index lists in C: what they hold, when they are taken, layers and networks on host and M4."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_sparse as sparse
from hwcomp.backends.c import CBackend
from hwcomp.plan import index_lists
from hwcomp.plan.memory import WeightLayout
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product
from tests.sparse_nets import PATTERNS, blocks, chain, masked

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def layout(rows, k, **how):
    return WeightLayout(rows, k, -(-k // 4) * 4, 2, True, "int8_t", **how)


def read(stream, counts, lay, windows, k):
    """The weights that a stream and its lists stand for, followed as the comment over `stored` says."""
    stride, u = 2 * lay.unit + 1, lay.unit
    made, at = np.zeros((4 * len(counts), lay.k_stored), np.int64), 0
    for number, count in enumerate(counts):
        x = 0
        for _ in range((count & 0xFFFF) // (4 * stride)):
            unit = stream[at : at + stride].astype(np.int64)
            at += stride
            x = int(unit[u]) if windows == 1 else x + int(unit[u])
            words = [*unit[:u][::-1], *unit[u + 1 :]]
            for i, word in enumerate(words):
                place = x // (4 * windows) + i % u
                quad, pair = divmod(place, lay.words)
                for half in range(2):
                    for odd in range(2):
                        byte = int(word) >> (16 * half + 8 * odd) & 255
                        value = byte - 256 if byte > 127 else byte
                        row = 4 * number + 2 * (i // u) + odd
                        made[row, 4 * quad + sparse.PAIRS[pair][half]] += value
            if windows > 1:
                x += u * windows * 4
    assert at == len(stream)
    return made[:, :k]


@pytest.mark.parametrize("windows", [4, 2, 1])
@pytest.mark.parametrize("unit", [sparse.QUAD, sparse.PAIR])
@pytest.mark.parametrize("pattern", [*PATTERNS, "nothing", "all"])
def test_lists_hold_the_weights(pattern, unit, windows):
    rng = np.random.default_rng(1)
    kept = PATTERNS[pattern](rng, (12, 24)) if pattern in PATTERNS else np.full((12, 24), pattern == "all")
    rows = np.where(kept, rng.integers(-127, 128, kept.shape), 0)
    words = next(f.words for f in index_lists.forms(rows, 24, windows) if f.unit == unit)
    lay = layout(12, 24, unit=unit, words=words)
    stream, counts = sparse.stored(rows, lay, windows)
    np.testing.assert_array_equal(read(stream, counts, lay, windows, 24), rows)
    assert (counts & 0xFFFF > 0).all()
    code, turn = sparse.CODE[windows, unit]
    entered = counts >> 16
    assert (entered % code == 0).all()
    assert ((entered // code + (counts & 0xFFFF) // (4 * (2 * unit + 1))) % turn == 0).all()  # whole turns from there


def test_only_units_with_weights_are_stored():
    rows = np.zeros((8, 16), int)
    rows[1, 5], rows[2, 6] = 3, 4  # one pair of k in the first four rows
    rows[6, [8, 9, 10]] = 1  # three k of a quad: two pairs
    lists = sparse.units(rows, 16, sparse.PAIR)
    assert [a.tolist() for a in lists] == [[[1, 5]], [[2, 0], [2, 1]]]
    assert [a.tolist() for a in sparse.units(rows, 16, sparse.QUAD)] == [[[1, 0]], [[2, 0]]]


def test_the_form_follows_the_zeros():
    rng = np.random.default_rng(2)
    values = rng.integers(1, 128, (64, 576))

    def chosen(kept, form="packed", rows=64):
        program = Builder(rng).input((4, 576), 8).dense(rows, weight=(values * kept)[:rows]).program()
        return CBackend().plan(program, {"c_weights": form}).steps[0].weights

    assert chosen(np.ones((64, 576), int)).unit == 0
    assert chosen(blocks(rng, (64, 576), 4, 4, 0.5)).unit == sparse.QUAD
    shared = chosen(PATTERNS["2:4 shared"](rng, (64, 576)))
    assert (shared.unit, shared.words) == (sparse.PAIR, 6)
    evens = chosen(np.tile([1, 0, 1, 0], 144))
    assert (evens.unit, evens.words) == (sparse.PAIR, 2)  # no other pairs are needed
    nearly = blocks(rng, (64, 576), 4, 4, 0.9)
    assert chosen(nearly).unit == 0  # faster, but more bytes
    assert chosen(nearly, "fast").unit == sparse.QUAD
    assert chosen(blocks(rng, (64, 576), 1, 1, 0.5)).unit == 0
    assert chosen(blocks(rng, (64, 576), 4, 4, 0.5), rows=62).unit == 0  # no four rows


@pytest.mark.parametrize("slack", [-1, 0.1, 100], ids=["least RAM", "default", "fastest"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_layers(pattern, slack, tmp_path):
    program = chain(pattern)
    built = c_product(program, tmp_path, "net", arena_slack=slack)
    assert "_sparse_" in (tmp_path / "src" / "net.c").read_text()
    assert_all_equal(built, CHost())
    if pattern in ("blocks", "2:4 shared"):
        assert_all_equal_on_m4(built)


def test_unsigned_weights_and_inputs(tmp_path):
    """Weights up to 255: bytes without sign."""
    rng = np.random.default_rng(4)
    kept = PATTERNS["blocks"](rng, (8, 32))
    b = Builder(rng).input((4, 32), signed=False).clamp(1, 254).dense(8, weight=rng.integers(129, 256, (8, 32)) * kept)
    built = c_product(b.program(), tmp_path, "net", arena_slack=100)
    text = (tmp_path / "src" / "net.c").read_text()
    assert "_sparse_4x2_u8" in text
    assert_all_equal(built, CHost())
    if shutil.which("arm-none-eabi-gcc"):
        from hwcomp.verify.m4 import CM4

        assert_all_equal(built, CM4(), 2)


def test_the_report_says_why():
    rng, backend = np.random.default_rng(5), CBackend()

    def facts(pattern, m=64):
        b = Builder(rng).input((64, 8, 8)).conv2d(m, (3, 3), weight=masked(rng, pattern, m, 64, (3, 3)))
        return backend.report(b.program(), backend.plan(b.program(), {"arena_slack": 10}))["kernels"][0]["weights"]

    found = facts("blocks")
    assert found["form"] == "index lists, 4 outputs x 4 inputs"
    assert "60% zeros, index lists take 0.4" in found["why"]
    assert found["bytes"] < 0.55 * 64 * 576
    assert facts("blocks", 62)["form"] == "int8_t"
