"""Words of bits in C: which tensors are packed, the primitives one by one, and layers of every shape against the reference."""

import ctypes
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from hwcomp.backends import _c_bits as bits
from hwcomp.backends._c_text import render
from hwcomp.backends._c_xnor import _CHUNK, rising
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
from sw_ref.interp import requantize
from sw_ref.program import Edge, Kernel, Layout, Program
from tests.few_bits import Bits
from tests.program_factory import assert_all_equal, c_product, samples

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
ONE = 0x3F800000


# --- primitives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", range(1, 80))
def test_the_counter_keeps_the_sum(words):
    """A full adder keeps a + b + c = s + 2*carry (8 cases, below). So if every word and carry is used exactly once, at its own
    weight, the planes hold the number of ones, whatever the words are."""
    steps, planes, rest = bits.counter(words)
    weight, unused = {f"x{i}": 1 for i in range(words)}, {f"x{i}" for i in range(words)}
    read = set(rest)
    for step in steps:
        assert not read & set(step.loads)
        read |= set(step.loads)
        operands = [n for n in (step.a, step.b, step.c) if n]
        assert {weight[n] for n in operands} == {weight[operands[0]]}
        assert len(set(operands)) == len(operands)
        assert unused.issuperset(operands)
        assert all(int(n[1:]) in read for n in operands if n[0] == "x")
        unused -= set(operands)
        weight |= {step.sum: weight[step.a], step.carry: 2 * weight[step.a]}
        unused |= {step.sum, step.carry}
    assert unused == set(planes)
    assert [weight[p] for p in planes] == [1 << i for i in range(len(planes))]
    assert read == set(range(words))


def test_a_full_adder_and_a_half_adder():
    for a in (0, 1):
        for b in (0, 1):
            for c in (0, 1):
                t = a ^ b
                assert a + b + c == (t ^ c) + 2 * ((a & b) | (t & c))
            assert a + b == (a ^ b) + 2 * (a & b)


CALLS = """
uint32_t ones_word(uint32_t a) { return t_ones_word(a); }
uint32_t ones_pair(uint32_t a, uint32_t b) { return t_ones_pair(a, b); }
uint32_t first_wrong(uint32_t from, uint64_t count, uint32_t step)
{ for (uint64_t i = 0; i < count; i++) { const uint32_t v = from + (uint32_t)i * step;
    if (t_ones_word(v) != (uint32_t)__builtin_popcount(v)) return 1; } return 0; }
int sums_wrong(int most)
{ uint32_t f[8], v; for (f[7] = 0; f[7] < 13; f[7]++) for (f[6] = 0; f[6] < 13; f[6]++) for (f[5] = 0; f[5] < 13; f[5]++)
    for (f[4] = 0; f[4] < 13; f[4]++) for (f[3] = 0; f[3] < 13; f[3]++) for (f[2] = 0; f[2] < 13; f[2]++)
    for (f[1] = 0; f[1] < 13; f[1]++) { if (f[1] + f[2] + f[3] + f[4] + f[5] + f[6] + f[7] > (uint32_t)most) break;
      for (f[0] = 0; f[0] < 13; f[0]++) {
        v = f[0] | f[1] << 4 | f[2] << 8 | f[3] << 12 | f[4] << 16 | f[5] << 20 | f[6] << 24 | f[7] << 28;
        if (t_sum4(v) != f[0] + f[1] + f[2] + f[3] + f[4] + f[5] + f[6] + f[7]) return 1; } } return 0; }
uint32_t push(uint32_t a, uint32_t d, uint32_t l) { return t_push(a, d, l); }
int32_t agree(int32_t a, uint32_t d, int32_t step) { return t_agree(a, d, step); }
uint32_t weigh(uint32_t a, uint32_t b) { return t_weigh(a, b); }
uint32_t level16(uint32_t d, const uint16_t *l, size_t n) { return t_level16(d, l, n); }
uint32_t level32(uint32_t d, const uint32_t *l, size_t n) { return t_level32(d, l, n); }
uint32_t shift_in(uint32_t a, uint32_t level, unsigned plane) { return t_shift_in(a, level, plane); }
uint32_t put_plane(uint32_t a, int32_t v, int32_t first, unsigned plane) { return t_put_plane(a, v, first, plane); }
uint32_t put(uint32_t a, int32_t v) { return t_put(a, v); }
uint32_t settle(uint32_t a, unsigned n) { return t_settle(a, n); }
uint32_t either(uint32_t a, uint32_t b) { return t_either(a, b); }
"""
NAMES = (
    "POPCOUNT",
    "push(",
    "agree(",
    "put(",
    "settle(",
    "either(",
    "weigh(",
    "level16(",
    "level32(",
    "shift_in(",
    "put_plane(",
)


def library(folder, text, *flags):
    (folder / "prims.c").write_text("#include <stdint.h>\n#include <stddef.h>\n#include <string.h>\n" + text)
    command = ["gcc", "-std=c99", "-O2", *flags, "-shared", "-fPIC", "prims.c", "-o", "prims.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "prims.so"))


def prims(sizes, popcount):
    text = f"#define t_POPCOUNT {int(popcount)}\n#define t_DSP 0\n"
    counts = {(masked, n): counting(masked, n) for n in sizes for masked in (False, True)}
    text += render("prim/c/bits.c.j2", p="t", body=" ".join(f"t_{n}" for n in NAMES), prims={"differ": counts})
    for (masked, n), prim in counts.items():
        text += render("prim/c/differ.c.j2", p="t", prim=prim)
        name = f"differ_masked_{n}" if masked else f"differ_{n}"
        text += f"uint32_t {name}(const uint32_t *x, const uint32_t *w) {{ return t_{name}(x, w); }}\n"
    return text


def counting(masked, n):
    adders, planes, rest = bits.counter(n)
    return {"words": n, "masked": masked, "chunks": [(0, n)], "adders": adders, "planes": planes, "rest": rest}


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    return library(tmp_path_factory.mktemp("bits"), prims((), False) + CALLS)


def test_ones_of_every_half_word(c):
    """Fields of four bits do not touch until they are summed: all values of each half, the other one empty or full."""
    for start, step in ((0, 1), (0, 1 << 16), (0xFFFF0000, 1), (0xFFFF, 1 << 16)):
        assert c.first_wrong(ctypes.c_uint32(start), ctypes.c_uint64(1 << 16), ctypes.c_uint32(step)) == 0


@pytest.mark.slow
def test_ones_of_every_word(c):
    assert c.first_wrong(ctypes.c_uint32(0), ctypes.c_uint64(1 << 32), ctypes.c_uint32(1)) == 0


def test_sums_of_fields(c):
    """Eight fields of at most 12: all whose sum is small; the slow test takes all 13^8."""
    assert c.sums_wrong(12) == 0


@pytest.mark.slow
def test_sums_of_all_fields(c):
    assert c.sums_wrong(96) == 0


def test_ones_of_pairs(c):
    words = [0, 1, 0xFFFFFFFF, 0x80000000, 0x55555555, *np.random.default_rng(0).integers(0, 1 << 32, 200).tolist()]
    for a in words:
        for b in words[:20]:
            assert c.ones_pair(a, b) == a.bit_count() + 2 * b.bit_count()


def test_push_agree_put_settle_either(c):
    for d in range(40):
        for limit in range(42):
            assert c.push(0x12345678, d, limit) & 0xFFFFFFFF == 0x12345678 >> 1 | (d < limit) << 31
        for step in (1, 2):
            assert c.agree(36, d, step) == 36 - step * d
    for v in range(-128, 128):
        assert c.put(6, v) & 0xFFFFFFFF == 3 | (v > 0) << 31
    for n in range(1, 33):
        assert c.settle(0xDEADBEEF, n) & 0xFFFFFFFF == 0xDEADBEEF >> (32 - n)
    for a in (-1, 1):
        for b in (-1, 1):
            assert (c.either(a > 0, b > 0) > 0) == (max(a, b) > 0)


@pytest.mark.parametrize("flags", [(), ("-mpopcnt",)], ids=["adders", "popcount"])
def test_differing_bits_of_every_number_of_words(flags, tmp_path):
    sizes = range(1, _CHUNK + 1)
    found = library(tmp_path, prims(sizes, "-mpopcnt" in flags), *flags)
    rng = np.random.default_rng(1)
    for n in sizes:
        function, masked = getattr(found, f"differ_{n}"), getattr(found, f"differ_masked_{n}")
        ends = [(np.zeros(n, np.uint32), np.full(n, 0xFFFFFFFF, np.uint32)), (np.zeros(n, np.uint32),) * 2]
        drawn = [rng.integers(0, 1 << 32, (2, n), np.uint32) for _ in range(20)]
        for x, w in (*ends, *drawn):
            x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
            got = function(x.ctypes.data_as(ctypes.c_void_p), w.ctypes.data_as(ctypes.c_void_p))
            assert got == int(np.bitwise_count(x ^ w).sum())
            mask = rng.integers(0, 1 << 32, n, np.uint32)
            row = np.concatenate([w & mask, mask])
            got = masked(x.ctypes.data_as(ctypes.c_void_p), row.ctypes.data_as(ctypes.c_void_p))
            assert got == int(np.bitwise_count((x ^ w) & mask).sum())


def test_levels_and_planes(c):
    limits = [np.array([9, 5, 5, 0], t) for t in (np.uint16, np.uint32)]
    for d in range(12):
        for function, limit in zip((c.level16, c.level32), limits, strict=True):
            for n in range(5):
                have = function(ctypes.c_uint32(d), limit.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(n))
                assert have == sum(d < int(v) for v in limit[:n])
    for level in range(8):
        for plane in range(3):
            assert c.shift_in(6, level, plane) & 0xFFFFFFFF == 3 | (level >> plane & 1) << 31
            assert c.put_plane(6, level - 5, -5, plane) & 0xFFFFFFFF == 3 | (level >> plane & 1) << 31
        assert c.weigh(level, 3) == level + 6


@pytest.mark.parametrize("planes, first, step", [(1, -1, 2), (2, -1, 1), (3, 5, 1)])
@pytest.mark.parametrize("group", [1, 7, 31, 32, 33, 64, 100])
def test_packing_and_back(group, planes, first, step):
    layout = bits.Bits(group, 3, planes, first, step)
    values = first + step * np.random.default_rng(group).integers(0, 1 << planes, (4, 3 * group))
    words = bits.pack(values, layout)
    assert words.shape == (4, layout.bytes // 4)
    assert np.array_equal(bits.unpack(words, layout), values)
    for plane in range(planes):
        for i in range(group):
            bit = (words[0, plane * layout.plane + i // 32] >> (i % 32)) & 1
            assert bit == ((values[0, i] - first) // step >> plane & 1)
    assert group % 32 == 0 or (words.reshape(4, 3 * planes, -1)[..., -1] >> (group % 32) == 0).all()


# --- layers -----------------------------------------------------------------------------------------------------------


class Net:
    """A chain of layers of bits behind an 8-bit input; `weights` they take; activations are -1 and +1, or of `few` values."""

    def __init__(self, seed, shape, weights=(-1, 1), few=None):
        self.rng, self.kernels, self.edges = np.random.default_rng(seed), [], {}
        self.weights, self.few = weights, few
        self.last = self.edge(shape, bipolar=False)

    def edge(self, shape, bipolar=True, bits_=8, layout=None):
        name = f"t{len(self.edges)}"
        layout = layout or (Layout.channels_last(shape) if len(shape) == 3 else Layout.row_major(shape))
        ends = (-1, 1) if bipolar else (-(1 << (bits_ - 1)), (1 << (bits_ - 1)) - 1)
        width, signed = 1 if bipolar else bits_, True
        if bipolar and self.few:
            bipolar, ends, width, signed = False, self.few, 3, self.few[0] < 0
        self.edges[name] = Edge(name, tuple(shape), width, signed, *ends, ONE, 0, layout, bipolar)
        return name

    @property
    def x(self):
        return self.edges[self.last]

    def add(self, kind, out, params, constants=None):
        self.kernels.append(Kernel(kind, f"{kind}_{len(self.kernels)}", (self.last,), (out,), params, constants or {}))
        self.last = out
        return self

    def thresholds(self, channels, lo, hi, levels=1, falling=False):
        record = {"form": "threshold", "lo": -1, "hi": -1 + 2 * levels, "step": 2}
        if self.few:
            levels = self.few[1] - self.few[0]
            record = {"form": "threshold", "lo": self.few[0], "hi": self.few[1], "step": 1}
        t = np.sort(self.rng.integers(lo, hi + 2, (channels, levels)), axis=1).astype(np.int16)
        return {"requantize": record}, {
            "threshold": t,
            "descending": self.rng.integers(0, 1 + falling, channels).astype(np.int8),
        }

    def sign(self, per_channel=True):
        channels = self.x.shape[0] if per_channel else 1
        return self.add(
            "requantize", self.edge(self.x.shape, layout=self.x.layout), *self.thresholds(channels, -90, 90)
        )

    def _dot(self, kind, weight, shape, params, final, falling):
        m, k = len(weight), weight[0].size
        if final:
            record = {"form": "affine", "shift": 1, "lo": -128, "hi": 127}
            constants = {
                "multiplier": self.rng.integers(1, 4, m).astype(np.int8),
                "offset": self.rng.integers(-9, 9, m).astype(np.int8),
            }
            found, out = {"requantize": record}, self.edge(shape, bipolar=False)
        else:
            found, constants = self.thresholds(m, -k // 3, k // 3, falling=falling)
            out = self.edge(shape)
        bias = self.rng.integers(-2, 3, m).astype(np.int8)
        most = k * max(map(abs, self.few or (1,))) + 2
        bounds = {"acc_bits": 14, "acc_lo": -most, "acc_hi": most}
        return self.add(
            kind, out, {**params, **bounds, **found}, {"weight": weight.astype(np.int8), "bias": bias, **constants}
        )

    def conv(
        self,
        m,
        kernel=(3, 3),
        strides=(1, 1),
        dilations=(1, 1),
        pads=(0, 0, 0, 0),
        pad_value=0,
        final=False,
        falling=False,
    ):
        c, h, w = self.x.shape
        size = [(n + a + b - (k - 1) * d - 1) // s + 1 for n, a, b, k, d, s in
                zip((h, w), pads[:2], pads[2:], kernel, dilations, strides, strict=True)]  # fmt: skip
        params = {
            "kernel": list(kernel), "strides": list(strides), "dilations": list(dilations), "pads": list(pads), "groups": 1,
            "pad_value": pad_value,
        }  # fmt: skip
        return self._dot("conv2d", self.rng.choice(self.weights, (m, c, *kernel)), (m, *size), params, final, falling)

    def dense(self, m, final=False, falling=False):
        shape = self.x.shape
        return self._dot("dense", self.rng.choice(self.weights, (m, shape[-1])), (*shape[:-1], m), {}, final, falling)

    def pool(self, pads=(0, 0, 0, 0)):
        c, h, w = self.x.shape
        size = [(n + a + b - 2) // 2 + 1 for n, a, b in zip((h, w), pads[:2], pads[2:], strict=True)]
        params = {"kernel": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": list(pads), "pad_value": self.x.lo}
        return self.add("maxpool2d", self.edge((c, *size)), params)

    def flatten(self):
        return self.add("reshape", self.edge((self.x.size,), layout=self.x.layout), {"shape": [self.x.size]})

    def program(self):
        return Program(("t0",), (self.last,), self.edges, tuple(self.kernels))


TERNARY = (-1, 0, 1)
NETS = {
    "a chain of maps": lambda: Net(0, (3, 9, 8)).sign().conv(40, pads=(1, 1, 1, 1)).pool().conv(33).flatten().dense(5, final=True),
    "whole words": lambda: Net(1, (32, 6, 6)).sign().conv(64, pads=(1, 0, 2, 1)).conv(32).flatten().dense(70).dense(6, final=True),
    "padded with +1": lambda: Net(2, (5, 6, 7)).sign().conv(9, pads=(1, 2, 1, 0), pad_value=1).conv(4, (1, 1), final=True),
    "padded with -1": lambda: Net(3, (34, 5, 4)).sign().conv(9, pads=(2, 1, 0, 1), pad_value=-1).conv(4, (2, 1), final=True),
    "strides and dilations": lambda: (
        Net(4, (6, 11, 12)).sign().conv(8, (3, 2), (2, 3), (2, 1), (1, 0, 1, 2)).conv(3, final=True, kernel=(1, 2))
    ),
    "a padded pool": lambda: Net(5, (35, 5, 5)).sign().pool((1, 0, 0, 1)).conv(4, (2, 2), final=True),
    "vectors": lambda: Net(6, (77,)).sign(per_channel=False).dense(33).dense(64).dense(9, final=True),
    "many words": lambda: Net(7, (2600,)).sign(per_channel=False).dense(3).dense(2, final=True),
    "several vectors": lambda: Net(8, (4, 40)).sign(per_channel=False).dense(37).dense(9, final=True),
    "falling channels are turned": lambda: (
        Net(9, (7, 5, 5)).sign().conv(8, falling=True).conv(9, falling=True).flatten().dense(3, final=True)
    ),
    "ternary weights": lambda: (
        Net(11, (5, 7, 6), TERNARY).sign().conv(40, pads=(1, 1, 1, 1)).pool().conv(33, (2, 2)).flatten().dense(5, final=True)
    ),
    "two bits": lambda: (
        Net(12, (5, 7, 6), few=(0, 3)).sign().conv(40, pads=(1, 0, 1, 1), falling=True).conv(33, (2, 2)).flatten().dense(5, final=True)
    ),
    "ternary by ternary": lambda: (
        Net(13, (34, 7, 6), TERNARY, (-1, 1)).sign().conv(9, pads=(1, 1, 1, 1)).pool().conv(64, (2, 2), falling=True)
        .conv(3, final=True, kernel=(1, 1))
    ),
    "padding that is no value": lambda: (
        Net(14, (6, 5, 6), TERNARY, (1, 4)).sign().conv(9, pads=(2, 1, 1, 0), pad_value=0).conv(4, (2, 2), final=True)
    ),
    "vectors of two bits": lambda: Net(15, (3, 77), few=(-2, 1)).sign(per_channel=False).dense(33, falling=True).dense(9, final=True),
    "three bits": lambda: (
        Net(17, (40, 5, 6), few=(0, 7)).sign().conv(33, (2, 2), falling=True).conv(9, pads=(1, 1, 0, 0)).flatten().dense(5, final=True)
    ),
    "many masked words": lambda: Net(16, (2600,), TERNARY, (0, 2)).sign(per_channel=False).dense(3).dense(2, final=True),
    "ends in bits": lambda: Net(10, (40,)).sign(per_channel=False).dense(20).dense(9),
}  # fmt: skip


ON_M4 = ("a chain of maps", "many words", "two bits", "ternary by ternary", "many masked words")


@pytest.mark.parametrize("label", NETS)
def test_layers_of_bits(label, tmp_path):
    program = NETS[label]().program()
    built = c_product(program, tmp_path, "net")
    assert_all_equal(built, CHost())
    if shutil.which("arm-none-eabi-gcc") and label in ON_M4:
        from hwcomp.verify.m4 import CM4

        have = CM4().run(built, samples(program, 2), taps=True).values
        want = CHost().run(built, samples(program, 2), taps=True).values
        assert all(np.array_equal(have[n], want[n]) for n in want)


def test_what_is_packed():
    program = NETS["a chain of maps"]().program()
    found = bits.packed(program)
    assert set(found) == {"t1", "t2", "t3", "t4", "t5"}
    assert (found["t1"].group, found["t1"].words, found["t2"].group, found["t2"].words) == (3, 1, 40, 2)
    assert found["t4"] == found["t5"] == bits.Bits(33, 4)
    two = bits.packed(NETS["two bits"]().program())
    assert two["t1"] == bits.Bits(5, 42, 2, 0, 1)
    assert two["t2"].bytes == 2 * 4 * 2 * two["t2"].count
    assert bits.packed(NETS["three bits"]().program())["t1"].planes == 3
    assert not bits.packed(Net(17, (4, 5, 6), TERNARY, (0, 7)).sign().conv(3, final=True).program())
    ends = NETS["ends in bits"]().program()
    assert ends.outputs[0] not in bits.packed(ends)


def test_a_reader_that_takes_no_bits_keeps_a_tensor_unpacked():
    program = NETS["vectors"]().program()
    last = program.kernels[-1]
    wider = replace(last, constants={**last.constants, "weight": last.constants["weight"] * np.int8([[2] + [1] * 63])})
    assert last.inputs[0] in bits.packed(program)
    assert last.inputs[0] not in bits.packed(replace(program, kernels=(*program.kernels[:-1], wider)))


def test_turned_channels_are_the_same_function():
    """count(a < T) of a falling channel is count(-a >= 1 - T): every accumulator, ties included."""
    net = Net(3, (9,), few=(0, 3)).sign(per_channel=False).dense(6, falling=True)
    kernel = net.kernels[-1]
    assert 0 < kernel.constants["descending"].sum() < 6
    turned = rising(kernel)
    assert not turned.constants["descending"].any()
    sign = np.where(kernel.constants["descending"] > 0, -1, 1)
    a = np.arange(-40, 41)[:, None] * np.ones(6, np.int64)
    assert np.array_equal(requantize(a, kernel, 1), requantize(a * sign, turned, 1))
    assert np.array_equal(turned.constants["weight"], kernel.constants["weight"] * sign[:, None])


@pytest.mark.parametrize(("form", "planes"), [("sign", 1), ("ternary", 2)])
def test_words_of_weights_fall_with_the_channels(form, planes):
    """Whole words of 32 channels for each kernel position: pruned to 32, a layer of 33 has half the bytes."""

    def stored(channels):
        source = Bits(np.random.default_rng(0)).source((channels, 5, 5), (8, True, False)).steps((1, True, True))
        program = source.convolution(channels, form, (1, True, True), pad=1).program()
        report = CBackend().report(program, CBackend().plan(program, {}))
        return report["kernels"][-1]["weights"]["bytes"]

    assert [stored(c) for c in (64, 33, 32)] == [planes * c * 9 * 4 * -(-c // 32) for c in (64, 33, 32)]
