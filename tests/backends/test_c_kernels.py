"""The generated C on the host against the interpreter: every tensor, no tolerance."""

import numpy as np
import pytest

from hwcomp.backends._c_joins import shorter_sum
from hwcomp.backends.c import CBackend
from hwcomp.errors import UnsupportedError
from hwcomp.verify.c_host import CHost
from sw_ref import numerics as nm
from sw_ref.program import Edge, Layout, Program
from tests.program_factory import Builder, assert_all_equal, c_product, lenet5
from tests.random_programs import random_network, random_program, sequence_program

pytestmark = pytest.mark.skipif(bool(CHost().missing()), reason=f"missing: {CHost().missing()}")

SLACKS = (-1, 0.1, 1, 100)  # from the least scratch to the fastest way


@pytest.mark.parametrize("seed", range(32))
def test_random_programs(seed, tmp_path):
    built = c_product(random_program(seed), tmp_path, arena_slack=SLACKS[seed % 4])
    assert_all_equal(built, CHost(), seed=seed)


@pytest.mark.parametrize("seed", range(24))
def test_random_sequences(seed, tmp_path):
    built = c_product(sequence_program(seed), tmp_path, arena_slack=SLACKS[seed % 4])
    assert_all_equal(built, CHost(), seed=seed)


def chain(seed=0, shape=(3, 7, 6), **how) -> Builder:
    return Builder(np.random.default_rng(seed)).input(shape, **how)


CASES = {
    "a table of bytes": lambda: chain().lut(),
    "a table to another width": lambda: chain(bits=5, signed=False).lut(bits=16).lut(bits=4),
    "a table of 16 bits": lambda: chain(bits=16).lut(bits=12, signed=False),
    "a product": lambda: chain().conv2d(3, (1, 1), name="v").times("t0", form="rne").times("v", form="affine"),
    "a product of wide values": lambda: chain(bits=20).requantize(bits=24, name="v").times("t0", bits=16),
    "a product of unsigned 32-bit values": lambda: chain(bits=24, signed=False).times("t0", bits=8),
    "a product of unsigned values of two widths": lambda: (
        chain(bits=20, signed=False).requantize(bits=4, signed=False, name="v").times("t0").at("t0").times("v")
    ),
    "a gate": lambda: chain().global_average(name="g").at("t0").times("g", form="rne").times("g", bits=12),
    "a square": lambda: chain().times("t0"),
    "a gate of rows": lambda: chain(shape=(3, 1)).input((3, 7)).times("t0"),
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
    "softmax of a vector": lambda: chain(shape=(11,)).softmax(),
    "softmax of channels": lambda: chain(shape=(5, 3, 4)).softmax(),
    "softmax of rows": lambda: chain(shape=(4, 7)).softmax((1,), 0.02),
    "softmax of a whole map": lambda: chain(shape=(3, 2, 4)).softmax((0, 1, 2), 0.1),
    "softmax of one element": lambda: chain(shape=(1, 2, 2)).softmax(),
    "softmax of unsigned values": lambda: chain(shape=(9,), signed=False).softmax(scale=0.3),
    "softmax where one value has it all": lambda: chain(shape=(9,)).softmax(scale=30.0),
    "softmax with ties": lambda: chain(shape=(512,), lo=3, hi=4).softmax(scale=1e-6),
    "softmax of many": lambda: chain(shape=(3000,)).softmax(scale=0.01),
    "softmax in 16 bits": lambda: chain(shape=(12,), bits=16).softmax(scale=3e-4, fraction=16, zero=-32768, bits=16),
    "softmax of 16 bits to 8": lambda: chain(shape=(200,), bits=16).softmax(scale=2.0**-8, fraction=7, zero=0),
    "softmax of 20 bits": lambda: chain(shape=(6,), bits=20, signed=False).softmax(scale=1e-5, zero=0, signed=False),
    "softmax before a layer": lambda: chain(shape=(6, 3, 3)).softmax().conv2d(4, (2, 2)),
    "softmax with few bits": lambda: chain(shape=(6,), bits=4).softmax(scale=0.5, fraction=3, zero=-1, bits=4),
    "from vectors to maps": lambda: (
        chain(shape=(6,)).dense(12, layout=Layout.channels_last((3, 2, 2))).reshape((3, 2, 2)).conv2d(4, (2, 2))
    ),
}


def fork(shape=(5, 4, 6), left=None, right=None, **how) -> Builder:
    """Two tensors of one shape, t1 and t2 (the last), made from t0."""
    b = chain(shape=shape, **how)
    return b.requantize(**(left or {})).at("t0").requantize(**(right or {}))


def twice(kind, **how) -> Builder:
    b = chain(shape=(8, 3, 5))
    return getattr(b, kind)(**how)


JOINS = {
    "a sum": lambda: fork().plus("t1", mb=(31, 30)),
    "a sum that ends in ties": lambda: fork().plus("t1", form="rne", mb=(1, 1), bits=7),
    "a sum of bytes with and without sign": lambda: fork(left={"signed": False}).plus("t1", signed=False, mb=(16, 31)),
    "a sum after ReLU": lambda: fork().plus("t1", mb=(31, 31), lo=0),
    "a sum of a byte and two": lambda: fork(left={"bits": 16}).plus("t1", bits=16, mb=(24, 31)),
    "a sum in 32 bits": lambda: fork(left={"bits": 16}, right={"bits": 16}).plus("t1", bits=16, mb=(8, 8)),
    "a rounded sum in 32 bits": lambda: fork(left={"bits": 16}, right={"bits": 16}).plus(
        "t1", bits=16, mb=(8, 8), form="rne"
    ),
    "a sum of two words": lambda: fork(left={"bits": 20}, right={"bits": 20, "signed": False}).plus("t1", bits=20),
    "a rounded sum of two words": lambda: fork(left={"bits": 20}).plus("t1", bits=8, form="rne"),
    "a sum of a tensor and itself": lambda: chain().requantize().plus("t1"),
    "a sum of one element": lambda: fork((1,)).plus("t1"),
    "a sum of vectors": lambda: fork((7,)).plus("t1"),
    "an average": lambda: chain(shape=(6, 7, 8)).avgpool2d(),
    "an average with borders": lambda: chain(shape=(5, 5, 6)).avgpool2d((3, 2), (2, 1), (1, 2), (1, 1, 2, 0)),
    "an average of what is inside": lambda: chain(shape=(5, 5, 6)).avgpool2d(
        (3, 3), (1, 1), pads=(1, 1, 1, 1), classes=None
    ),
    "an average with classes of its own": lambda: chain(shape=(4, 6, 6)).avgpool2d(classes=300),
    "an average of padding alone": lambda: chain(shape=(4, 2, 2)).avgpool2d((1, 1), (1, 1), pads=(2, 2, 1, 1)),
    "an average with one multiplier": lambda: chain(shape=(8, 4, 4)).avgpool2d((3, 3), (1, 1), pads=(1, 1, 1, 1)),
    "a global average": lambda: chain(shape=(9, 7, 7)).global_average(form="affine", mb=31),
    "a global average, unsigned": lambda: chain(shape=(9, 16, 16), signed=False).global_average(),
    "a global average of many": lambda: chain(shape=(5, 20, 20)).global_average(),
    "a global average of a long row": lambda: chain(shape=(6, 1, 600)).global_average(),
    "an average of large windows": lambda: chain(shape=(4, 18, 18)).avgpool2d((17, 17), (1, 1)),
    "an average of long rows": lambda: chain(shape=(4, 2, 300), signed=False).avgpool2d((2, 299), (1, 1)),
    "an average of 16 bits": lambda: chain(shape=(6, 5, 5), bits=16).avgpool2d((3, 3), bits=16),
    "an average of 20 bits": lambda: chain(shape=(3, 50, 60), bits=20, signed=False).global_average(bits=20),
    "a concatenation": lambda: chain(shape=(5, 3, 4)).conv2d(3, (1, 1)).concat(["t0", "t0", "t1"]),
    "a concatenation of rows": lambda: chain().concat(["t0"], 1),
    "a concatenation of columns": lambda: chain().requantize().concat(["t0"], 2),
    "a concatenation of vectors": lambda: chain(shape=(7,)).dense(5).concat(["t0", "t1"]),
    "a concatenation of 16 bits": lambda: chain(shape=(4, 3, 3), bits=16).concat(["t0"]),
    "a slice": lambda: twice("slice", start=3, stop=6),
    "a slice of one channel": lambda: twice("slice", start=7, stop=8),
    "a slice of rows": lambda: twice("slice", start=1, stop=3, axis=1),
    "a slice of columns": lambda: twice("slice", start=0, stop=4, axis=2),
    "a slice of a flattened map": lambda: twice("flatten").slice(5, 77),
    "repeated rows": lambda: twice("repeat", axis=1, times=3),
    "repeated columns": lambda: twice("repeat", axis=2, times=2),
    "repeated channels": lambda: twice("repeat", axis=0, times=2),
    "a repeated vector": lambda: chain(shape=(7,), bits=16).repeat(0, 4),
    "a shuffle of two groups": lambda: twice("shuffle", groups=2),
    "a shuffle of two groups in the whole": lambda: chain(shape=(24, 1, 1)).shuffle(groups=2),
    "a shuffle of two groups that are no words": lambda: chain(shape=(12, 2, 2)).shuffle(groups=2),
    "a shuffle of two groups of halfwords": lambda: chain(shape=(8, 2, 2), bits=12).shuffle(groups=2),
    "a shuffle of four groups": lambda: twice("shuffle", groups=4),
    "a shuffle in any order": lambda: twice("shuffle", order=[1, 2, 0, 7, 3, 4, 6, 5]),
    "a shuffle of a flattened map": lambda: twice("flatten").shuffle(),
    "a shuffle of rows": lambda: chain(shape=(6, 5), bits=16).shuffle(),
}


@pytest.mark.parametrize("case", JOINS)
def test_joins(case, tmp_path):
    assert_all_equal(c_product(JOINS[case]().program(), tmp_path), CHost())


@pytest.mark.parametrize("seed", range(1000, 1024))
def test_random_networks(seed, tmp_path):
    built = c_product(random_network(seed), tmp_path, arena_slack=SLACKS[seed % 4])
    assert_all_equal(built, CHost(), seed=seed)


def test_a_residual_network_with_an_output_inside(tmp_path):
    """The sums overwrite what nobody reads again, and nothing else."""
    b = chain(shape=(4, 6, 6)).conv2d(8, (1, 1))
    inside = b.last
    for _ in range(3):
        before = b.last
        b.conv2d(8, pads=(1, 1, 1, 1)).conv2d(8, pads=(1, 1, 1, 1)).plus(before, lo=0)
    b.plus(inside).global_average().flatten().dense(5)
    for outputs in ([b.last], [b.last, inside], [b.last, before, "t0"]):
        assert_all_equal(c_product(b.program(outputs), tmp_path), CHost())


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


def test_shorter_multipliers_are_proved():
    """Real scales of bytes always find them; where every sum can end in a tie there are none."""
    rng, edges = np.random.default_rng(0), chain(shape=(1,)).input((1,), signed=False).edges
    a, b = edges["t0"], edges["t1"]
    for _ in range(20):
        ma, mb = (int(m) for m in rng.integers(1 << 28, 1 << 31, 2))
        rq = {"form": str(rng.choice(["rne", "affine"])), "shift": 31, "lo": -128, "hi": 127, "zero": 3}
        c = int(rng.integers(-(1 << 37), 1 << 37))
        m, n, offset, shift = shorter_sum(a, b, ma, mb, c, rq)
        left, right = np.arange(-128, 128)[:, None], np.arange(256)
        found = (left * m + right * n + offset) >> shift
        total = left * ma + right * mb + c
        want = total >> 31 if rq["form"] == "affine" else nm.rshift_rne(total, 31) + 3
        np.testing.assert_array_equal(np.clip(found, -128, 127), np.clip(want, -128, 127))
        assert 128 * m + 255 * n + abs(offset) < 1 << 31
    ties = {"form": "rne", "shift": 1, "lo": -128, "hi": 127, "zero": 0}
    assert shorter_sum(a, b, 1, 1, 0, ties) is None
    wide = chain(shape=(1,), bits=16).x
    assert shorter_sum(wide, a, 1 << 30, 1 << 30, 0, {**ties, "shift": 31}) is None, "too many pairs to try"


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
    b = fork()
    b.edges["t1"] = Edge(**{**vars(b.edges["t1"]), "layout": Layout.row_major((5, 4, 6))})
    with pytest.raises(UnsupportedError, match="lie in different orders"):
        CBackend().supports(b.plus("t1").program())
    with pytest.raises(UnsupportedError, match="stored in different types"):
        CBackend().supports(fork(right={"bits": 16}).concat(["t1"]).program())
    with pytest.raises(UnsupportedError, match="kernel at node '/fold_0/Node'"):
        CBackend().supports(chain().add("fold", chain().x, {}).program())
