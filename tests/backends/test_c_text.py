"""The text of the C product: names that nothing can escape from, the same bytes every time, golden files."""

import re
from pathlib import Path

import numpy as np
import pytest

from hwcomp.backends._c_text import comment, field_names, float_literal, literal, rows
from hwcomp.backends.base import Product
from hwcomp.backends.c import CBackend, ports
from hwcomp.verify.c_host import CHost
from sw_ref import interp
from sw_ref.program import Kernel, Program
from tests.products import assert_golden
from tests.program_factory import Builder, assert_all_equal, c_product, samples
from tests.random_programs import random_program

GOLDEN = Path(__file__).parent.parent / "golden" / "c"
HOSTILE = [
    'a;system("x")', "*/ evil(); /*", "??/", "\\", "line\nbreak", "tab\t\0nul", "../../x", "x" * 10_000,
    "\N{SNOWMAN}\U0001f980", "int", "endmodule", "INT8_MAX", "NULL", "9lives", "", "_", "a b", "a_b", "A_B", "%s%n",
    "{{ p }}", "{% raw %}", "\x1b[31m", "\u202eabc", "__LINE__", "linux", "#define", "//", "'\"", "\x7f", "\udcff",
]  # fmt: skip


def emitted(program, name="net", banner=("a test",), **options):
    backend, stored = CBackend(), samples(program, 2)
    facts = Product(name, banner, stored, interp.run(program, stored))
    return backend.emit(program, backend.plan(program, options), facts)


def small() -> Program:
    b = Builder(np.random.default_rng(3)).input((2, 6, 5), name="image")
    b.conv2d(3, (3, 3), pads=(1, 1, 1, 1), form="affine").maxpool2d().requantize(form="rne").flatten()
    return b.dense(4, name="scores", form="rne").argmax(name="class").program(["class", "scores"])


def test_golden_text():
    """In the least RAM, which takes the fewest primitives."""
    assert_golden(emitted(small(), arena_slack=-1), GOLDEN)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_program_gives_the_same_text(seed):
    assert emitted(random_program(seed)) == emitted(random_program(seed))


def renamed(program: Program, names: list[str]) -> Program:
    """The program under hostile names of edges, kernels and origins."""
    new = {old: names[i % len(names)] + ("" if i < len(names) else f"\n{i}") for i, old in enumerate(program.edges)}
    edges = {new[n]: type(e)(**{**vars(e), "name": new[n]}) for n, e in program.edges.items()}
    kernels = [
        Kernel(k.kind, f"{names[i % len(names)]}{i}", tuple(map(new.get, k.inputs)), tuple(map(new.get, k.outputs)),
               k.params, k.constants, tuple(names))
        for i, k in enumerate(program.kernels)
    ]  # fmt: skip
    return Program(tuple(new[n] for n in program.inputs), tuple(new[n] for n in program.outputs), edges, tuple(kernels))


@pytest.mark.parametrize("shift", range(0, len(HOSTILE), 7))
def test_hostile_names_compile_run_and_stay_inside_comments(shift, tmp_path):
    program = renamed(small(), HOSTILE[shift:] + HOSTILE[:shift])
    built = c_product(program, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert max(map(len, text.split(b"\n"))) < 200 or path.suffix == ".md"
            assert not re.search(rb"[^\x09\x0a\x20-\x7e]", text), path
            assert b"??" not in text
            assert b"\\\n" not in text or path.name == "Makefile"
    assert_all_equal(built, CHost())


def test_ports_with_hostile_names(tmp_path):
    b = Builder(np.random.default_rng(0))
    for name in HOSTILE:
        b.input((3,), name=name)
    program = Program(tuple(b.inputs), tuple(reversed(b.inputs)), b.edges, ())
    fields = [p.field for p in ports(program)[0]]
    assert len({f.lower() for f in fields}) == len(HOSTILE)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,60}", f) for f in fields)
    assert_all_equal(c_product(program, tmp_path), CHost())


def test_a_banner_can_not_leave_its_comment():
    for path, content in emitted(small(), banner=("*/ int x; /*", "a\nb", "??/")).items():
        assert "*/ int x" not in content and "\na" not in content.replace("\nadd_", "").replace("\nand", ""), path
        assert "??/" not in content


@pytest.mark.parametrize("name", HOSTILE)
def test_comments(name):
    text = comment(name)
    assert len(text) <= 60
    assert all(" " <= c <= "~" and c not in "*?\\" for c in text)


def test_fields_differ_without_regard_to_case():
    fields = field_names(["x", "X", "x_2", "x", "int", "INT8_C", "Int"])
    assert len({f.lower() for f in fields}) == 7
    assert field_names(["image", "images.1"]) == ["image", "images_1"]


def test_literals():
    assert literal(-(1 << 31)) == "(-2147483647 - 1)"
    assert literal(-(1 << 63), "int64_t") == "(-INT64_C(9223372036854775807) - 1)"
    assert literal(-5) == "(-5)"
    assert literal(1 << 63, "uint64_t") == "UINT64_C(9223372036854775808)"
    assert rows(np.array([1, -2]), "int8_t") == "    1,-2,"


@pytest.mark.parametrize("bits", [0x3F800000, 0x3DCCCCCD, 0x00000001, 0x7F7FFFFF, 0x3B808081, 0x2EDBE6FF])
def test_scales_survive_as_decimal_text(bits):
    text = float_literal(bits)
    assert text.endswith("f") and ("." in text or "e" in text)
    assert np.float32(text[:-1]).view(np.uint32) == bits
