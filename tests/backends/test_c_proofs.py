"""The C primitives on bits, proven: their text is run on symbols and a solver finds no words for which they are wrong."""

import ctypes
import re
import shutil

import numpy as np
import pytest
import z3

from hwcomp.backends import _c_bits, _c_xnor
from hwcomp.backends._c_text import render
from sw_ref import numerics as nm
from tests.backends.c_symbols import Cell, Stream, Word, assembly, functions
from tests.backends.test_c_bits import NAMES, counting, library

PLAIN = {"t_POPCOUNT": False, "t_DSP": False}


def source(counts=()):
    prims = {"differ": {key: counting(*key) for key in counts}}
    text = render("prim/c/bits.c.j2", p="t", body=" ".join(f"t_{n}" for n in NAMES), prims=prims)
    return text + "".join(render("prim/c/differ.c.j2", p="t", prim=prim) for prim in prims["differ"].values())


@pytest.fixture(scope="module")
def c():
    return functions(source(), PLAIN)


def words(*names, signed=False):
    return [Word(z3.BitVec(n, 32), signed) for n in names]


def proven(claim, *assumptions):
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(*assumptions, z3.Not(claim))
    assert solver.check() == z3.unsat, solver.reason_unknown() if solver.check() == z3.unknown else solver.model()


def bit(word, i):
    return z3.Extract(i, i, word.bits) == 1


def number(condition):
    return z3.If(condition, z3.BitVecVal(1, 32), z3.BitVecVal(0, 32))


def test_a_wrong_claim_is_refuted(c):
    (a,) = words("a")
    with pytest.raises(AssertionError):
        proven(c["t_ones4"](a).bits == c["t_ones4"](a).bits + number(a.bits == 0x12345678))


def test_ones_of_four_bits_each(c):
    """Every word: fields of four bits hold the ones of their four bits, and twice as many of another word fit beside them."""
    a, b = words("a", "b")
    fields = c["t_ones4"](a)
    for i in range(0, 32, 4):
        proven(z3.Extract(i + 3, i, fields.bits) == sum((z3.ZeroExt(3, z3.Extract(j, j, a.bits)) for j in range(i + 1, i + 4)),
                                                        z3.ZeroExt(3, z3.Extract(i, i, a.bits))))  # fmt: skip
    few = [z3.ULE(z3.Extract(i + 3, i, c["t_ones4"](w).bits), 4) for w in (a, b) for i in range(0, 32, 4)]
    proven(z3.And(few))
    x, y = words("x", "y")  # fields of at most four: what the two words are
    small = [z3.ULE(z3.Extract(i + 3, i, w.bits), 4) for w in (x, y) for i in range(0, 32, 4)]
    for i in range(0, 32, 4):
        want = z3.Extract(i + 3, i, x.bits) + 2 * z3.Extract(i + 3, i, y.bits)
        proven(z3.And(z3.Extract(i + 3, i, (x + (y << 1)).bits) == want, z3.ULE(want, 12)), *small)


@pytest.mark.parametrize("form", ["plain", "assembly"])
@pytest.mark.parametrize("masked", [False, True])
def test_full_adders(form, masked):
    """sum + two words that differ = new sum + 2 * carry, in each of the 32 columns; words are read in order."""
    text = source([(masked, 4)])
    total, *given = words("total", *(f"x{i}" for i in range(4)), *(f"w{i}" for i in range(8)))
    x, w = Stream(given[:4]), Stream(given[4:])
    difference = [(a ^ b) & m if masked else a ^ b for a, b, m in zip(given[:2], given[4:6], given[8:10], strict=True)]
    inside = [(given[4 + i] & ~given[8 + i].bits).bits == 0 for i in range(4)] if masked else []
    if form == "plain":
        name = "t_next_masked_4_add" if masked else "t_next_add"
        cell = Cell(total)
        carry = functions(text, PLAIN)[name](cell, x, w)
        new = cell.value
    else:
        found = [part for part in re.findall(r"__asm__\(.*?\);", text, re.DOTALL) if "ldrd" in part]
        part = next(p for p in found if ("#16]" in p) == masked)
        values = assembly(part, {0: total, 5: x, 6: w})
        new, carry = values[0], values[1]
    assert (x.at, w.at) == (2, 2)
    a, b = difference
    proven(z3.And(
        new.bits == (total ^ a ^ b).bits, carry.bits == ((total & a) | (total & b) | (a & b)).bits,
    ), *inside)  # fmt: skip
    t, p, q = z3.BitVecs("t p q", 2)  # what sum and carry mean: t + p + q = s + 2c for single bits
    s, carried = t ^ p ^ q, (t & p) | (t & q) | (p & q)
    proven(t + p + q == s + 2 * carried, z3.ULT(t, 2), z3.ULT(p, 2), z3.ULT(q, 2))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8])
def test_differing_bits_column_by_column(n, masked):
    """The planes that the adders leave hold the count of each column (of more words: test_the_counter_keeps_the_sum). All
    32 columns are alike: no operation but the last ones moves bits, so column 0 is proven; adding up the planes is proven above
    and by test_sums_of_fields."""
    text = source([(masked, n)])
    body = text[text.index(f"t_differ{'_masked' if masked else ''}_{n}(") :]
    returned = re.findall(r"return ([^;]*);\n#endif", body)[0]
    names = re.findall(r"ones_(?:pair\((\w+), (\w+)\)|word\((\w+)\))", returned)
    planes = [p for group in names for p in group if p]
    shifts = [int(v) for v in re.findall(r"<< (\d+)", returned)]
    assert shifts == list(range(2, len(planes), 2))
    # the same text, made to return one plane after the other
    x = words(*(f"x{i}" for i in range(n)))
    w = words(*(f"w{i}" for i in range(2 * n if masked else n)))
    found = []
    for plane in planes:
        changed = text.replace(f"return {returned};", f"return {plane};")
        function = functions(changed, PLAIN)[f"t_differ{'_masked' if masked else ''}_{n}"]
        found.append(function(Stream(x), Stream(w)))
    inside = [(w[i] & ~w[n + i].bits).bits == 0 for i in range(n)] if masked else []
    differ = [(x[i] ^ w[i]) & w[n + i] if masked else x[i] ^ w[i] for i in range(n)]
    want = sum((number(bit(d, 0)) for d in differ[1:]), number(bit(differ[0], 0)))
    have = sum((number(bit(p, 0)) << i for i, p in enumerate(found[1:], 1)), number(bit(found[0], 0)))
    proven(have == want, *inside)


def test_moving_bits_in(c):
    bits, d, limit, level, v, first = words("bits", "d", "limit", "level", "v", "first")
    below = z3.And(z3.ULT(d.bits, 1 << 31), z3.ULT(limit.bits, 1 << 31))
    shifted = z3.LShR(bits.bits, 1)

    def moved(condition):
        return shifted | (number(condition) << 31)

    proven(c["t_push"](bits, d, limit).bits == moved(z3.ULT(d.bits, limit.bits)), below)
    signed = Word(v.bits, signed=True)
    proven(c["t_put"](bits, signed).bits == moved(v.bits > 0))
    for plane in range(max(_c_bits.MOST.values())):
        proven(c["t_shift_in"](bits, level, plane).bits == moved(bit(level, plane)))
        proven(c["t_put_plane"](bits, v, first, plane).bits == moved(bit(v - first, plane)))
    for n in range(1, 33):
        proven(c["t_settle"](bits, Word(n)).bits == z3.LShR(bits.bits, 32 - n))


def test_words_are_what_is_packed(c):
    """32 values moved in one by one, and settled: bit i is value i, as `pack` has it."""
    for n in (1, 5, 31, 32):
        values = words(*(f"v{i}" for i in range(n)), signed=True)
        bits = Word(z3.BitVec("before", 32))
        for v in values:
            bits = c["t_put"](bits, v)
        bits = c["t_settle"](bits, Word(n)) if n < 32 else bits
        for i in range(n):
            proven(bit(bits, i) == (values[i].bits > 0))
        for i in range(n, 32):
            proven(z3.Not(bit(bits, i)))


def test_agreement_and_planes(c):
    base, d = words("base", "d", signed=True)
    low, high = words("low", "high")
    for step in (1, 2):
        proven(c["t_agree"](base, d, Word(step, signed=True)).bits == base.bits - step * d.bits)
    proven(c["t_weigh"](low, high).bits == low.bits + 2 * high.bits)
    a, b = words("a", "b")
    for i in range(32):
        proven(bit(c["t_either"](a, b), i) == z3.Or(bit(a, i), bit(b, i)))


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_steps_are_counted(tmp_path):
    """Every accumulator of 16 bits, thresholds that rise, repeat, or are never reached; rising and falling."""
    prim = {"name": "s", "a": "int32_t", "t": "int32_t"}
    text = render("prim/c/threshold.c.j2", p="t", prim=prim, body="t_reached_s( t_staircase_s(")
    text += """
void all(const int32_t *t, size_t n, int32_t lo, int32_t step, int32_t *many, int32_t *one)
{ for (int32_t a = -32768; a < 32768; a++) { many[a + 32768] = t_staircase_s(a, t, n, lo, step);
    one[a + 32768] = t_reached_s(a, t[0], lo, step); } }
"""
    function, rng = library(tmp_path, text).all, np.random.default_rng(0)
    a = np.arange(-32768, 32768)
    for n in (1, 2, 3, 7):
        for _ in range(4):
            t = np.sort(rng.integers(-32769, 32769, n)).astype(np.int32)
            t[: n // 2] = t[n // 2]
            many, one = np.empty((2, a.size), np.int32)
            pointers = [v.ctypes.data_as(ctypes.c_void_p) for v in (t, many, one)]
            for lo, step, falls in ((-1, 2, 0), (0, 1, 0), (n, -1, 1)):
                function(pointers[0], ctypes.c_size_t(n), lo, step, *pointers[1:])
                least, size = (lo - n, 1) if falls else (lo, step)
                assert np.array_equal(many, nm.requantize_threshold(a, t, falls, least, size))
                assert np.array_equal(one, lo + step * (a >= t[0]))


def test_limits_say_what_thresholds_say():
    """base - step * d >= T where d < limit, for all integers: the formula of `_limits`."""
    base, threshold, d = z3.Ints("base threshold d")
    for step in (1, 2):
        limit = (base - threshold) / step + 1  # z3 divides down by a positive divisor, as // does
        limit = z3.If(limit > 0, limit, 0)
        proven((base - step * d >= threshold) == (d < limit), d >= 0)


def test_products_of_bits_are_dot_products():
    """x = first + step * sum 2^j u_j against w of -1, 0, +1: all values of one place; sums of places add up."""
    for planes, first, step in ((1, -1, 2), (2, -1, 1), (2, -2, 1), (3, 0, 1)):
        found = _c_bits.Bits(1, 1, planes, first, step)
        for weight in (-1, 0, 1):
            full = int(_c_xnor._full(np.array([[weight]]), found)[0])
            for number_ in range(1 << planes):
                x = first + step * number_
                sign, mask = int(weight > 0), int(weight != 0)
                d = sum(((number_ >> j & 1) ^ sign & mask & 1 if mask else 0) << j for j in range(planes))
                assert (
                    full - step * d == nm.dense_accumulate(np.array([[x]]), np.array([[weight]]), [0], acc_bits=8)[0, 0]
                )
