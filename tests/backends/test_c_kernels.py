"""The generated C on the host against the interpreter: every tensor, no tolerance."""

import numpy as np
import pytest

from hwcomp.backends.c import CBackend
from hwcomp.errors import UnsupportedError
from hwcomp.verify.c_host import CHost
from sw_ref.program import Edge, Layout, Program
from tests.program_factory import Builder, assert_all_equal, c_product, lenet5, random_program

pytestmark = pytest.mark.skipif(bool(CHost().missing()), reason=f"missing: {CHost().missing()}")

SLACKS = (-1, 0.1, 1, 100)  # from the least scratch to the fastest way


@pytest.mark.parametrize("seed", range(32))
def test_random_programs(seed, tmp_path):
    built = c_product(random_program(seed), tmp_path, arena_slack=SLACKS[seed % 4])
    assert_all_equal(built, CHost(), seed=seed)


def chain(seed=0, shape=(3, 7, 6), **how) -> Builder:
    return Builder(np.random.default_rng(seed)).input(shape, **how)


CASES = {
    "one window in each way": lambda: chain(shape=(5, 3, 3)).conv2d(3),
    "strides and dilations": lambda: chain(shape=(2, 13, 11)).conv2d(5, (3, 2), (2, 3), (2, 4), (1, 0, 2, 3)),
    "padding wider than the map": lambda: chain(shape=(2, 2, 2)).conv2d(3, (3, 3), pads=(3, 4, 2, 3)),
    "a window larger than the map": lambda: chain(shape=(2, 2, 3)).conv2d(3, (4, 4), pads=(1, 1, 1, 1)),
    "groups": lambda: chain(shape=(6, 5, 5)).conv2d(9, groups=3, pads=(1, 1, 1, 1)),
    "depthwise": lambda: chain(shape=(7, 6, 6)).conv2d(7, groups=7, pads=(1, 0, 1, 2), form="rne"),
    "depthwise without padding": lambda: chain(shape=(4, 6, 6)).conv2d(4, (5, 3), groups=4),
    "depthwise with a multiplier": lambda: chain(shape=(3, 6, 6)).conv2d(6, groups=3),
    "depthwise in 16 bits": lambda: chain(shape=(5, 4, 4), bits=16).conv2d(5, groups=5, weight_bits=16),
    "pointwise": lambda: chain(shape=(8, 4, 5)).conv2d(6, (1, 1)),
    "one channel": lambda: chain(shape=(1, 9, 9)).conv2d(1, (5, 5)),
    "one weight": lambda: chain(shape=(1, 4, 4)).conv2d(1, (1, 1)),
    "unsigned": lambda: chain(bits=8, signed=False).conv2d(4, bits=8, signed=False).flatten().dense(5),
    "a wide accumulator": lambda: (
        chain(bits=16).conv2d(4, weight_bits=16, bias_bits=34).flatten().dense(3, weight_bits=16)
    ),
    "20-bit activations": lambda: chain(bits=20).conv2d(4, bits=20).maxpool2d().requantize(bits=18, signed=False),
    "unsigned weights": lambda: chain().conv2d(4, (1, 1), weight=np.arange(0, 252, 21).reshape(4, 3, 1, 1)),
    "one multiplier": lambda: chain().conv2d(4, per_channel=False).flatten().dense(6, per_channel=False),
    "vectors": lambda: chain(shape=(5, 6, 7), layout=Layout.row_major((5, 6, 7))).dense(3),
    "a vector of every length": lambda: (
        chain(shape=(1,)).dense(2).dense(3).dense(5).dense(6).dense(7).dense(9).dense(1)
    ),
    "pooling with padding": lambda: chain(shape=(5, 5, 6)).maxpool2d((3, 2), (2, 1), (1, 2), (1, 1, 2, 0)),
    "pooling of nothing": lambda: chain(shape=(4, 2, 2)).maxpool2d((1, 1), (1, 1), pads=(2, 2, 1, 1)),
    "pooling 16 bits": lambda: chain(bits=16, signed=False).maxpool2d((2, 3), (1, 2)),
    "affine per channel": lambda: chain().requantize(form="affine").flatten().requantize(form="affine"),
    "per channel in a flattened map": lambda: chain().conv2d(4).flatten().requantize(),
    "clamp": lambda: chain().clamp(-3, 50),
    "argmax of channels": lambda: chain().conv2d(5).argmax(0, True),
    "argmax of rows": lambda: chain().conv2d(5).argmax(1),
    "argmax of a flattened map": lambda: chain().conv2d(5).flatten().argmax(),
    "argmax with ties": lambda: chain(shape=(40,), bits=2).argmax(),
    "from vectors to maps": lambda: (
        chain(shape=(6,)).dense(12, layout=Layout.channels_last((3, 2, 2))).reshape((3, 2, 2)).conv2d(4, (2, 2))
    ),
}


@pytest.mark.parametrize("slack", [-1, 100])
@pytest.mark.parametrize("case", CASES)
def test_cases(case, slack, tmp_path):
    assert_all_equal(c_product(CASES[case]().program(), tmp_path, arena_slack=slack), CHost())


def test_a_branching_program_with_several_ports(tmp_path):
    b = chain(shape=(3, 6, 6)).input((10,), name="second")
    left = b.dense(4).last
    b.last = "t0"
    middle = b.conv2d(4, (3, 3)).last
    right = b.flatten().last
    b.last = middle
    pooled = b.maxpool2d().last
    program = b.program([pooled, left, "second", right, middle, "t0"])
    assert_all_equal(c_product(program, tmp_path), CHost())


def test_a_program_without_kernels(tmp_path):
    edge = chain(shape=(2, 3, 4)).x
    assert_all_equal(c_product(Program(("t0",), ("t0",), {"t0": edge}, ()), tmp_path), CHost())


def test_lenet5(tmp_path):
    assert_all_equal(c_product(lenet5(), tmp_path), CHost(), count=20)


def test_progress_and_many_samples(tmp_path):
    built = c_product(chain(shape=(6,)).dense(3).program(), tmp_path)
    done = []
    CHost().run(built, {"t0": np.zeros((150, 6), np.int8)}, False, done.append)
    assert sum(done) == 150


def test_what_c_can_not_take():
    rows = chain(layout=Layout.row_major((3, 7, 6)))
    for program in (rows.conv2d(2).program(), chain(layout=Layout.row_major((3, 7, 6))).maxpool2d().program()):
        with pytest.raises(UnsupportedError, match="channels last"):
            CBackend().supports(program)
    b = chain()
    b.edges["t0"] = Edge(**{**vars(b.x), "layout": Layout.channels_last((3, 7, 6))})
    with pytest.raises(UnsupportedError, match="don't lie together"):
        CBackend().plan(b.dense(2).program(), {})
    with pytest.raises(UnsupportedError, match="kernel at node '/fold_0/Node'"):
        CBackend().supports(chain().add("fold", chain().x, {}).program())
