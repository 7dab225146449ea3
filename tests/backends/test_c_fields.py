"""Weights of few bits as fields of words in C: how they lie there, every product, layers and networks on host and M4."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from hwcomp.backends import _c_fields
from hwcomp.backends._c_text import render
from hwcomp.backends.c import CBackend
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
VALUES = {
    "binary": (1, (-1, 1)), "ternary": (2, (-1, 0, 1)), "int2": (2, (-2, -1, 0, 1)), "even": (2, (-2, 0, 2)),
    "int3": (4, range(-3, 4)), "int4": (4, range(-7, 8)), "one value": (1, (3,)),
}  # fmt: skip


def dense(values, m=5, k=37, bits=8, seed=0, **how):
    rng = np.random.default_rng(seed)
    return Builder(rng).input((k,), bits, **how).dense(m, weight=rng.choice(list(values), (m, k))).program()


def layout_of(program):
    kernel = program.kernels[0]
    rows, k = kernel.constants["weight"].shape
    return _c_fields.choose(kernel, program.edges[program.inputs[0]], rows, k)


@pytest.mark.parametrize("label", VALUES)
def test_fields_hold_the_weights(label):
    """Read back bit by bit, as the comment over `stored` says."""
    bits, values = VALUES[label]
    program = dense(values)
    layout = layout_of(program)
    assert layout.bits == bits
    weight = program.kernels[0].constants["weight"]
    words = _c_fields.stored(weight, 1, layout).reshape(3, _c_fields.words(layout))
    per_word = 16 // bits
    for row in range(6):
        for k in range(layout.k_stored):
            place = k % per_word
            place = place // 4 * 4 + (0, 2, 1, 3)[place % 4]  # 0, 2, 1, 3 within four: its own inverse
            at = (place // 2 * 2 + row % 2) * bits + place % 2 * 16
            field = int(words[row // 2, k // per_word]) >> at & ((1 << bits) - 1)
            want = (int(weight[row, k]) - layout.first) // layout.step if row < 5 and k < 37 else 0
            assert field == want


def test_what_has_no_fields():
    assert layout_of(dense(range(-8, 9))) is None
    assert layout_of(dense((-1, 0, 1), bits=20)) is None  # inputs of four bytes
    assert layout_of(dense((-1, 0, 1), bits=16, signed=False)) is not None
    assert layout_of(dense(range(-7, 8), m=2, k=300, bits=16)) is None  # sums of 4-bit fields, times 16, leave 32 bits


def test_the_plan_says_what_is_stored():
    program, backend = dense((-1, 0, 1), m=64, k=512), CBackend()
    packed, fast = (backend.report(program, backend.plan(program, {"c_weights": o})) for o in ("packed", "fast"))
    assert (packed["weight_bytes"], fast["weight_bytes"]) == (64 * 512 // 4, 64 * 512)
    facts = packed["kernels"][0]["weights"]
    assert (facts["saving"], facts["form"], facts["bytes"]) == (16.0, "fields of 2 bits", 64 * 512 // 4)
    assert fast["kernels"][0]["weights"]["saving"] == 4.0
    assert "--c-weights fast" in fast["kernels"][0]["weights"]["why"]
    wide = dense(range(-64, 65), k=40)
    wide = backend.report(wide, backend.plan(wide, {}))["kernels"][0]["weights"]
    assert (wide["form"], wide["why"]) == ("int8_t", "weights from -64 to 64")


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("bits", _c_fields.SIZES)
@pytest.mark.parametrize("raw", [False, True])
def test_every_product(bits, step, raw, tmp_path):
    """Each field at each place of a word, with each byte: the other places are 0, and sums of places add up in int32."""
    windows = 1 if raw else 4
    x_type = "int8_t" if raw else "int16_t"
    prim = {"name": "f", "n": windows, "x": x_type, "bits": bits, "step": step, "dsp": False, "raw": raw, "quads": True}
    text = "#include <stdint.h>\n#include <stddef.h>\n#define t_NOINLINE\n" + render(
        "prim/c/fields.c.j2", p="t", prim=prim
    )
    text += f"""
int wrong(void) {{
    static {x_type} x[{16 * windows}];
    const int order[4] = {{0, {"2, 1" if raw else "1, 2"}, 3}};
    for (int place = 0; place < {16 // bits}; place++) for (int row = 0; row < 2; row++) for (int window = 0; window < {windows}; window++)
    for (uint32_t field = 0; field < {1 << bits}; field++) for (int v = -128; v < 128; v++) {{
        const uint32_t w = field << ((place / 2 * 2 + row) * {bits} + place % 2 * 16);
        const int k = place / 4 * 4 + order[place % 4];
        int32_t acc[{2 * windows}];
        for (int i = 0; i < {2 * windows}; i++) acc[i] = 7 + i;
        x[k * {windows} + window] = ({x_type})v;
        t_fields_f(x, &w, 1, acc);
        x[k * {windows} + window] = 0;
        for (int i = 0; i < {2 * windows}; i++)
            if (acc[i] != 7 + i + (i == row * {windows} + window ? {step} * (int32_t)field * v : 0)) return 1;
    }}
    return 0; }}
"""
    (tmp_path / "f.c").write_text(text)
    subprocess.run(["gcc", "-std=c99", "-O2", "-shared", "-fPIC", "f.c", "-o", "f.so"], cwd=tmp_path, check=True)
    assert ctypes.CDLL(str(tmp_path / "f.so")).wrong() == 0


def chain(values, seed=3):
    """Convolutions with every way to fill columns, odd rows, groups, and dense layers."""
    rng = np.random.default_rng(seed)
    b = Builder(rng).input((6, 9, 8))

    def weight(*shape):
        return rng.choice(list(values), shape)

    b.conv2d(7, (3, 3), pads=(1, 1, 1, 1), weight=weight(7, 6, 3, 3))
    b.conv2d(6, (3, 2), strides=(2, 1), weight=weight(6, 7, 3, 2)).conv2d(8, (1, 1), weight=weight(8, 6, 1, 1))
    b.conv2d(6, (3, 3), pads=(1, 1, 1, 1), groups=2, weight=weight(6, 4, 3, 3), signed=False)
    b.conv2d(8, (2, 2), weight=weight(8, 6, 2, 2), bits=16)
    return (
        b.flatten()
        .dense(9, weight=weight(9, b.x.size))
        .dense(32, weight=weight(32, 9))
        .dense(5, weight=weight(5, 32))
        .program()
    )


@pytest.mark.parametrize("slack", [-1, 0.1, 100], ids=["least RAM", "default", "fastest"])
@pytest.mark.parametrize("label", VALUES)
def test_layers(label, slack, tmp_path):
    program = chain(VALUES[label][1])
    built = c_product(program, tmp_path, "net", arena_slack=slack)
    assert_all_equal(built, CHost())
    if label in ("binary", "ternary", "int4"):
        assert_all_equal_on_m4(built)


def test_bytes_on_demand(tmp_path):
    built = c_product(chain((-1, 0, 1)), tmp_path, "net", c_weights="fast")
    assert "_fields_" not in (tmp_path / "src" / "net.c").read_text()
    assert_all_equal(built, CHost())
