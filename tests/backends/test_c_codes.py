"""Weights as Huffman codes in C: the shortest codes, streams with hostile tables bit by bit, and layers on host and M4."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from hwcomp.backends import _c_codes as codes
from hwcomp.backends import _c_forms
from hwcomp.backends._c_text import render
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
from tests.backends.test_c_fields import chain
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product
from tests.sparse_nets import blocks

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
FIBONACCI = [1, 1]
while len(FIBONACCI) < 24:  # without a limit the rarest would take 23 bits
    FIBONACCI.append(FIBONACCI[-1] + FIBONACCI[-2])


@pytest.mark.parametrize("longest", [8, 12, 16])
@pytest.mark.parametrize("counts", [[1, 1], [5, 0, 3, 1], FIBONACCI, [1] * 200, [0, 7, 7, 7]], ids=str)
def test_lengths_are_those_of_the_shortest_code(counts, longest):
    counts = np.array(counts)
    bits = codes.lengths(counts, longest)
    used = counts > 0
    assert (bits[~used] == 0).all()
    assert 1 <= bits[used].min() <= bits[used].max() <= longest
    assert (2.0 ** -bits[used].astype(float)).sum() == 1
    part = counts[used] / counts.sum()
    entropy = -(part * np.log2(part)).sum()
    assert entropy <= (part * bits[used]).sum() < entropy + 1
    if counts.size <= 4:  # no other complete code is shorter
        every = np.stack(np.meshgrid(*[np.arange(1, 5)] * used.sum()), -1).reshape(-1, used.sum())
        every = every[(2.0 ** -every.astype(float)).sum(axis=1) <= 1]
        assert (counts * bits).sum() == (every @ counts[used]).min()


def test_too_many_symbols_for_the_limit_are_refused():
    with pytest.raises(ValueError, match="17 symbols have no codes of 4 bits"):
        codes.lengths(np.ones(17), 4)


def test_one_symbol_alone_takes_no_bits():
    assert codes.lengths(np.array([0, 9])).tolist() == [0, 0]


def streams():
    rng = np.random.default_rng(0)
    deep = np.repeat(np.arange(24), FIBONACCI) - 12
    spread = np.zeros(40_000, np.int8)
    spread[rng.choice(40_000, 60, replace=False)] = rng.choice([-5, 3, 99], 60)
    tail = np.zeros(5000, np.int8)
    tail[3] = 7
    last = tail[::-1].copy()
    return {
        "one value": np.full(64, -3, np.int8), "zeros": np.zeros(64, np.int8), "two values": np.tile([1, -1], 40).astype(np.int8),
        "every byte": rng.permutation(np.tile(np.arange(-128, 128), 8)).astype(np.int8),
        "deep": rng.permutation(deep[: len(deep) // 4 * 4]).astype(np.int8), "far apart": spread, "zeros behind": tail,
        "zeros ahead": last, "halfwords": rng.choice([0, 0, 0, 0, 300, -32768, 32767], 4000).astype(np.int16),
        "dense": rng.choice([0, 1, 2], 4000).astype(np.int8),
    }  # fmt: skip


STREAMS = streams()


KINDS = [
    (w, runs, per)
    for w in ("int8_t", "uint8_t", "int16_t")
    for runs in (False, True)
    for per in ((0, 1) if runs else (1, 2, 4))
]
FLAGS = [
    "-std=c99",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """(run): (Coded, stream, count of each slice) -> (weights, halfwords read)."""
    folder = tmp_path_factory.mktemp("codes")
    text = "#include <stdint.h>\n#include <stddef.h>\n#define t_NOINLINE\n"
    for i, (symbol, entry) in enumerate(codes.ENTRY.items()):
        prim = {"name": symbol, "symbol": f"{symbol}_t", "entry": f"{entry}_t", "first": i == 0}
        text += render("prim/c/codes.c.j2", p="t", prim=prim)
    for w, runs, per in KINDS:
        entry = f"{codes.ENTRY[w[:-2]]}_t"
        prim = {"name": f"{w[:-2]}_{'runs' if runs else 'each'}{per}", "w": w, "entry": entry, "runs": runs, "per": per}
        text += render("prim/c/decode.c.j2", p="t", prim=prim)
        far = "gaps, ((uint32_t)1 << longest_e) - 1, " if runs else ""
        gaps = (
            "t_codes_uint8(e, least_e, longest_e, g, gaps);"
            if runs
            else "(void)e, (void)least_e, (void)longest_e, (void)g;"
        )
        text += f"""
size_t {prim["name"]}(const uint16_t *from, const uint16_t *h, uint32_t least_h, uint32_t longest_h, const {w} *v,
    const uint16_t *e, uint32_t least_e, uint32_t longest_e, const uint8_t *g, uint32_t first, {w} *to, uint32_t count, uint32_t times)
{{
    static {entry} values[4096];
    static uint16_t gaps[4096];
    t_stream s = {{from, 0, first}};
    t_codes_{w[:-2]}(h, least_h, longest_h, v, values);
    {gaps}
    for (; times > 0; times--, to += count)
        t_decode_{prim["name"]}(&s, values, ((uint32_t)1 << longest_h) - 1, {far}to, count);
    (void)gaps;
    return s.at / 16 + 2;
}}
"""
    (folder / "d.c").write_text(text)
    subprocess.run(["gcc", *FLAGS, "-shared", "-fPIC", "d.c", "-o", "d.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "d.so"))

    def run(found, size, times):
        arrays = {n: np.ascontiguousarray(v) for _, n, v, _ in found.arrays}
        to = np.full(size, 77, found.weights.dtype)

        def at(name):
            return arrays[name].ctypes.data_as(ctypes.c_void_p) if name in arrays else None

        call = library[f"{found.weights.dtype.name}_{'runs' if found.gaps else 'each'}{found.per}"]
        call.restype = ctypes.c_size_t
        ends = [(t.least, t.longest) if t else (0, 0) for t in (found.values, found.gaps)]
        read = call(at("w"), at("h"), *ends[0], at("v"), at("e"), *ends[1], at("g"), found.first,
                    to.ctypes.data_as(ctypes.c_void_p), size // times, times)  # fmt: skip
        return to, read

    return run


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("label", STREAMS)
def test_what_is_decoded_is_what_was_coded(label, times, decoder):
    flat = STREAMS[label]
    flat = flat[: len(flat) // (4 * times) * 4 * times]
    forms = [codes.coded(flat)]
    if (flat == 0).any() and flat.any():
        forms += [codes.runs(flat, reach) for reach in codes._REACHES]
    assert codes._cost(forms[0]) == min(map(codes._cost, forms))
    for found in forms:
        have, read = decoder(found, flat.size, times)
        assert np.array_equal(have, flat)
        assert read <= found.stream.size


def test_codes_as_long_as_a_table_can_be(decoder):
    """All lengths from 1 to 12, the longest ones twice."""
    lengths = np.array([*range(1, 13), 12])
    weights = np.arange(-6, 7).astype(np.int8)
    code = codes.Table(np.arange(13), lengths)
    symbols = np.random.default_rng(1).permutation(np.tile(np.arange(13), 8))
    found = codes.Coded(codes._stream([(code, symbols)]), code, weights)
    assert (found.tables, found.per) == ([8192], 1)
    have, read = decoder(found, symbols.size, 2)
    assert np.array_equal(have, weights[symbols])
    assert read <= found.stream.size


def test_no_code_begins_another_and_all_bits_mean_something():
    table = codes.Table(np.arange(11), np.array([1, 3, 3, *[5] * 8]))
    ends = {
        format(c, f"0{n}b")[::-1] if n else ""
        for c, n in zip(table.codes().tolist(), table.lengths.tolist(), strict=True)
    }
    assert len(ends) == 11
    assert not any(a != b and b.startswith(a) for a in ends for b in ends)
    assert sum(2.0 ** -len(e) for e in ends) == 1


def test_lengths_that_no_code_has(decoder):
    code = codes.Table(np.arange(10), np.array([1, 3, *[5] * 8]))
    weights = np.arange(10).astype(np.int8)
    symbols = np.random.default_rng(2).integers(0, 10, 400)
    have, _ = decoder(codes.Coded(codes._stream([(code, symbols)]), code, weights), 400, 1)
    assert np.array_equal(have, weights[symbols])


def test_a_second_look_where_one_does_not_hold_both_codes(decoder):
    """Weights of 200 values and distances up to 255: codes of both are longer than what is seen at once."""
    rng = np.random.default_rng(3)
    flat = np.zeros(600_000, np.int8)
    at = np.cumsum(rng.geometric(1 / 40, 15_000))
    flat[at[at < flat.size]] = np.clip(rng.normal(0, 25, (at < flat.size).sum()), -128, 127)
    found = codes.runs(flat, 255)
    assert found.per == 0
    assert found.values.longest + found.gaps.longest > codes.SEEN
    have, read = decoder(found, flat.size, 3)
    assert np.array_equal(have, flat)
    assert read <= found.stream.size


def test_as_many_values_as_tables_hold():
    few, many = np.arange(4096, dtype=np.int16), np.arange(4100, dtype=np.int16)
    assert codes.coded(few).values.longest == 12
    assert codes.coded(many) is None
    assert codes.coded(few.astype(np.int32)) is None


def test_distances_are_taken_where_zeros_are_many():
    assert codes.coded(STREAMS["far apart"]).gaps is not None
    assert codes.coded(STREAMS["dense"]).gaps is None
    assert codes.coded(STREAMS["dense"], distances=True).gaps is not None
    assert codes.coded(STREAMS["far apart"]).bytes < 60 * 3 + 120


@pytest.mark.parametrize(("rows", "once", "want"), [
    (300, True, 2), (500, False, 10), (20, False, 10), (10, True, 2), (7, False, 7), (25, False, 25), (1, True, 1), (9, True, 3),
])  # fmt: skip
def test_slices_are_whole_pairs_where_possible(rows, once, want):
    assert codes.rows_of_slice(rows, once) == want


def sparse(seed=4):
    """Convolutions (groups, odd rows, borders, halfwords) and dense layers whose weights are mostly zero."""
    return chain([0] * 12 + [-90, 17, 18, 101], seed)


@pytest.mark.parametrize("slack", [-1, 100], ids=["least RAM", "fastest"])
def test_layers(slack, tmp_path):
    program, backend = sparse(), CBackend()
    plan = backend.plan(program, {"c_weights": "small", "arena_slack": slack})
    coded = [s.weights.slices for s in plan.steps if s.weights]
    assert sum(s > 0 for s in coded) >= 4
    assert any(s.weights.scatter for s in plan.steps if s.weights)
    built = c_product(program, tmp_path, "net", arena_slack=slack, c_weights="small")
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


def test_several_vectors_and_a_slice_for_each_of_their_blocks(tmp_path):
    rng = np.random.default_rng(5)
    weight = rng.choice([0, 0, 0, 0, 0, -100, 50], (24, 37))
    program = Builder(rng).input((6, 37), 8).dense(24, weight=weight).program()
    assert CBackend().plan(program, {"c_weights": "small"}).steps[0].weights.slices == 3
    assert_all_equal(c_product(program, tmp_path, "net", c_weights="small"), CHost())


@pytest.mark.parametrize("x", [(-128, 127), (0, 255), (-30000, 32767)], ids=["int8", "uint8", "int16"])
@pytest.mark.parametrize("values", [[5, -7, 100], range(-128, 128), [255, 1]], ids=["few", "all", "unsigned"])
def test_a_dense_layer_is_multiplied_as_it_is_read(x, values, tmp_path):
    """Inputs and outputs without weights, and distances over several inputs."""
    rng = np.random.default_rng(7)
    weight = np.where(rng.random((160, 290)) < 0.1, rng.choice(list(values), (160, 290)), 0)
    weight[:, 20] = weight[17] = 0
    builder = Builder(rng).input((290,), 16 if x[1] > 255 else 8, signed=x[0] < 0)
    program = builder.dense(160, weight=weight).program()
    assert CBackend().plan(program, {"c_weights": "small"}).steps[0].weights.scatter
    assert_all_equal(c_product(program, tmp_path, "net", c_weights="small"), CHost())


def test_small_is_never_larger():
    backend = CBackend()
    for program in (sparse(), chain((-1, 0, 1)), chain(range(-127, 128))):
        small, packed = (backend.report(program, backend.plan(program, {"c_weights": f})) for f in ("small", "packed"))
        for a, b in zip(small["kernels"], packed["kernels"], strict=True):
            assert a["constant_bytes"] <= b["constant_bytes"]


def test_the_report_says_what_is_stored():
    backend, program = CBackend(), sparse()
    report = backend.report(program, backend.plan(program, {"c_weights": "small"}))
    facts = [k["weights"] for k in report["kernels"] if k["weights"]]
    coded = [f for f in facts if f["form"].startswith("Huffman")]
    assert coded
    assert all(
        "rows at a time are decoded into" in f["why"] or "multiplied as they are read" in f["why"] for f in coded
    )
    for f in facts:
        assert f["stages"]["float"] == 4 * f["weights"]
        assert f["stages"]["integers"] == f["weights"]
    assert all(f["bytes"] < f["stages"]["integers"] for f in coded)


def test_stages_count_their_overhead():
    weight = np.zeros((2, 600), np.int64)
    weight[0, 0], weight[1, 100] = 5, -7  # 700 elements apart: two zeros stand between
    assert _c_forms.stages(weight) == {"float": 4800, "integers": 1200, "sparse": 4 * 2, "shared": (4 * 9 + 7) // 8 + 2}


def test_small_takes_index_lists_where_tables_of_codes_weigh_more(tmp_path):
    rng, backend = np.random.default_rng(6), CBackend()
    weight = np.where(blocks(rng, (16, 32), 4, 4, 0.3), rng.permutation(512).reshape(16, 32) % 255 - 127, 0)
    program = Builder(rng).input((32,), 8).dense(16, weight=weight).program()
    layout = backend.plan(program, {"c_weights": "small"}).steps[0].weights
    assert (layout.unit > 0, layout.slices) == (True, 0)
    sizes = {
        f: backend.report(program, backend.plan(program, {"c_weights": f}))["weight_bytes"] for f in ("small", "packed")
    }
    assert sizes["small"] <= sizes["packed"] < weight.size
    assert_all_equal(c_product(program, tmp_path, "net", c_weights="small"), CHost())
