"""The lint of HLS C++: what the compiler emits passes, every kind of violation is caught, in the right line."""

import numpy as np
import pytest

from hwcomp import templates_dir
from hwcomp.backends import hls
from hwcomp.backends.base import Product
from hwcomp.options import HLS_DIALECTS
from hwcomp.registry import BACKENDS
from hwcomp.verify.hls_lint import lint
from hwcomp.verify.reference import run_program
from tests.conformance.test_kinds import KINDS
from tests.random_programs import random_program

FINE = """#include <stdint.h>
#include "hwc_types.h"
static const int8_t w[2][2] = {
  {1, -2},
  {3, 4},
};
constexpr int widest(int a, int b) { return a > b ? a : b; }
template <class T, int N> T total(const T x[N], const int8_t (&w)[2][2]) {
  const int M = N / 2, L = widest(M, 3);
  T held[L][N], sum = 0;
  for (int i = 0; i < N; i++) {
    sum += x[i] * held[M][i];
  }
  if (sum > 3) return T(3);
  return sum;
}
template <class T, int N> void top(T s) { total<T, N>(s, w); }
"""


def emitted(program, dialect):
    backend = BACKENDS["hls"]
    inputs = {n: np.zeros((1, *program.edges[n].shape), program.edges[n].dtype) for n in program.inputs}
    facts = Product("net", ("a test",), inputs, run_program(program, inputs))
    files = backend.emit(program, backend.plan(program, {"hls_dialect": dialect}), facts)
    return {n[4:]: t for n, t in files.items() if n.endswith((".h", ".cpp")) and n != "hls/tb.cpp"}


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
def test_what_is_emitted_passes(dialect):
    programs = [b.program(outputs) for b, outputs in (kind() for kind in KINDS)]
    for program in (*programs, *map(random_program, range(12))):
        files = emitted(program, dialect)
        assert len(files) >= 9
        assert lint(files) == []


@pytest.mark.parametrize("dialect", HLS_DIALECTS)
def test_every_cell_passes(dialect):
    cells = {p.name.removesuffix(".h.j2") for p in (templates_dir.templates() / "hls").glob("hwc_*.h.j2")}
    files = hls._closure(cells, dialect)
    assert len(files) > len(cells) > 20  # and the primitives
    assert lint({f"{name}.h": text for name, text in files.items()}) == []


def test_the_sound_file_passes():
    assert lint({"a.h": FINE, "hwc_types.h": ""}) == []


TOP = "template <class T, int N> void top"
BODY = "for (int i = 0; i < N; i++) {\n    sum += x[i] * held[M][i];\n  }"


@pytest.mark.parametrize(("old", "new", "text"), [
    ("T held", "T *p = new T[3], held", "new takes memory from the heap"),
    ("T held", "T *p = (T *)malloc(3);\n  T held", "malloc takes memory from the heap"),
    ("#include <stdint.h>", "#include <vector>", "<vector> is no header of a synthesis tool"),
    ("T held", "std::array<T, 3> a; T held", "std uses the standard library"),
    (BODY, "while (sum < 3) sum += 1;", "while leaves the number of rounds open"),
    (BODY, "do { sum += 1; } while (sum < 3);", "do leaves the number of rounds open"),
    (BODY, "again: sum += 1; if (sum < 3) goto again;", "goto leaves the number of rounds open"),
    ("sum += x[i] * held[M][i];", "if (sum > 3) break;", "break leaves the number of rounds open"),
    ("sum += x[i] * held[M][i];", "if (sum > 3) return sum;", "a loop that can be left by return"),
    ("sum += x[i] * held[M][i];", "i += 2;", "a loop that changes its own i"),
    ("sum += x[i] * held[M][i];", "--i;", "a loop that changes its own i"),
    ("i < N;", "i < int(x[0]);", "a loop whose bound x is not constant"),
    ("i < N;", "i < M + sum;", "a loop whose bound sum is not constant"),
    ("int i = 0; i < N; i++", "int i = N; i > 0; i--", "a loop that is not for (int i = FROM; i < TO; i++)"),
    ("int i = 0; i < N; i++", ";;", "a loop that is not for"),
    ("int M = N / 2", "int M = x[0]", "an array whose size L is not constant"),
    ("T held[L][N]", "T held[L][int(x[0])]", "an array whose size x is not constant"),
    ("T held[L][N]", "hwc_int<8, true> more[sum]; T held[L][N]", "an array whose size sum is not constant"),
    ("T held", "T **p; T held", "a pointer to a pointer"), ("T held", "T *const *p; T held", "a pointer to a pointer"),
    ("T held", "int8_t *rows[4]; T held", "an array of pointers"),
    ("T held", "int (*call)(int); T held", "a pointer to a function"),
    ("T held", "double d; T held", "double is no integer"), ("T held", "throw 3; T held", "throw can't be synthesized"),
    ("if (sum > 3) return T(3);", "if (sum > 3) return total<T, N>(x, w);", "total calls itself"),
    ("if (sum > 3) return T(3);", "top<T, N>(sum);", "total calls itself"),
    ("T held", 'printf("x"); T held', "printf calls the system"),
    (BODY, "for (int i = 0; i < N; i++) i = N;", "a loop that changes its own i"),
    (BODY, "for (int i = 0; i < N; i++) if (sum > 3) { sum = 0; } else i >>= 1;", "a loop that changes its own i"),
    (BODY, "for (int i = 0; i < N; i++) if (sum > 3) return sum;", "a loop that can be left by return"),
    ("sum += x[i] * held[M][i];", "int &other = i; other = 0;", "an address or a reference"),
    ("sum += x[i] * held[M][i];", "if (clear(&i)) sum = 0;", "an address or a reference"),
    ("if (sum > 3)", "if (sum > 3) { int M = sum; int8_t many[M]; }", "an array whose size M is not constant"),
    ("T held[L][N]", "ap_uint<8> more[sum]; T held[L][N]", "an array whose size sum is not constant"),
    ("T held[L][N]", "static const hwc_int<8, true> more[sum]; T held[L][N]", "an array whose size sum is not constant"),
    ("T held[L][N]", "const int more[] = {1, 2}; T held[L][N]", "an array without a size"),
    ("void top(T s)", "void top(T s[])", "an array without a size"),
    ("N / 2,", "N * 0.5,", "0.5 is no integer"), ("N / 2,", "N * 5e-1,", "5e-1 is no integer"),
    ("T held", "memcpy(x, w, N); T held", "a call of memcpy, which is not in these files"),
    ("T held", "sum = x->total(3); T held", "a call of total, which is not in these files"),
    ("T held", "union { int a; short b; } u; T held", "union can't be synthesized"),
    ("#include <stdint.h>", '#include "vector"', '"vector" is no header of a synthesis tool'),
    ("#include <stdint.h>", "#define ROUNDS while", "while in a macro"),
    ("#include <stdint.h>", "#define ROUNDS \\\n  4", "a line that goes on in the next one"),
    ("#include <stdint.h>", "#import <stdint.h>", "#import is not understood"),
    ("#include <stdint.h>", "int f(int n) <% return n; %>", "<% stands for a bracket"),
    ("#include <stdint.h>", "using P = int *;", "a name for a pointer"),
    (TOP, "namespace a { int f(int n) { int x[n]; return 0; } }\n" + TOP, "braces that are no"),
    (TOP, "struct A { int f(int n) { return f(n); } };\n" + TOP, "braces that are no"),
    (TOP, "int f(int n) noexcept { int x[n]; return 0; }\n" + TOP, "braces that are no"),
])  # fmt: skip
def test_a_violation_is_caught(old, new, text):
    assert FINE.count(old) == 1
    faults = lint({"a.h": FINE.replace(old, new), "b.h": "int other(int a) { return a; }", "hwc_types.h": ""})
    assert any(text in f for f in faults), faults
    assert all(f.startswith("a.h:") for f in faults)


def test_faults_name_the_line():
    text = FINE.replace("sum += x[i]", "if (sum > 3) break; sum += x[i]")
    assert lint({"a.h": text, "hwc_types.h": ""}) == ["a.h:12: break leaves the number of rounds open"]


def test_comments_and_constants_are_passed_over():
    assert lint({"a.h": "// new std::vector while (true)\n/* goto\n */\nint f(int a) { return a; }"}) == []
