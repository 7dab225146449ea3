"""The C product under other compilers and flags: no warning, no undefined behaviour, two networks in one program."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwcomp.backends.c import ports
from tests.backends.test_c_bits import NETS
from tests.backends.test_c_fields import chain
from tests.program_factory import Builder, c_product
from tests.random_programs import random_program

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
COMPILERS = {
    "host -O2": ["gcc", "-O2"],
    "host -O0": ["gcc", "-O0"],
    "Cortex-M4 -O3": [
        "arm-none-eabi-gcc",
        "-O3",
        "-mcpu=cortex-m4",
        "-mthumb",
        "-mfloat-abi=hard",
        "-mfpu=fpv4-sp-d16",
    ],
    "Cortex-M4 -O0": ["arm-none-eabi-gcc", "-O0", "-mcpu=cortex-m4", "-mthumb"],
    "Cortex-M0": ["arm-none-eabi-gcc", "-Os", "-mcpu=cortex-m0", "-mthumb"],
    "RV32": ["riscv64-unknown-elf-gcc", "-O2", "-march=rv32imac", "-mabi=ilp32", "-specs=picolibc.specs"],
}
UNITS = ("net.c", "net_weights.c", "net_static.c", "net_selftest.c")
needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def run(command, folder: Path, **how):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning(compiler, tmp_path):
    command = COMPILERS[compiler]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    for seed in range(100, 106):
        folder = c_product(random_program(seed), tmp_path / str(seed), arena_slack=(-1, 0.1, 100)[seed % 3]).dir / "src"
        run([*command, *WARNINGS, "-c", *UNITS], folder)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning_of_few_bits(compiler, tmp_path):
    """Fields of words; planes of bits, masked and not, packed from signed and unsigned bytes."""
    command = COMPILERS[compiler]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    programs = {"fields": chain(range(-7, 8))} | {n: NETS[n]().program() for n in ("two bits", "ternary by ternary")}
    for name, program in programs.items():
        run(
            [*command, *WARNINGS, "-c", *UNITS], c_product(program, tmp_path / name, "net", arena_slack=100).dir / "src"
        )


@needs_gcc
def test_no_warning_of_products_and_tables(tmp_path):
    """Unsigned words that meet signed products; tables that are read at every type of index."""
    b = (
        Builder(np.random.default_rng(0))
        .input((3, 7, 6), bits=20, signed=False)
        .requantize(bits=4, signed=False, name="v")
    )
    b.times("t0").lut(bits=16).lut(signed=False).at("v").times("t0", bits=9, signed=False).lut()
    folder = c_product(b.program(), tmp_path).dir / "src"
    run(["gcc", *WARNINGS, "-c", *UNITS], folder)


@needs_gcc
def test_from_cpp_without_a_warning(tmp_path):
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    folder = c_product(random_program(3), tmp_path).dir / "src"
    (folder / "main.cpp").write_text('#include "net.h"\nint main() { return net_selftest(); }\n')
    run(["gcc", "-c", *UNITS], folder)
    objects = [u.replace(".c", ".o") for u in UNITS]
    run(
        ["g++", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror", "main.cpp", *objects, "-o", "test"], folder
    )
    run(["./test"], folder)


@needs_gcc
@pytest.mark.parametrize("seed", range(200, 210))
def test_sanitizers_find_nothing(seed, tmp_path):
    program = random_program(seed)
    folder = c_product(program, tmp_path, arena_slack=(-1, 0.1, 100)[seed % 3]).dir / "src"
    (folder / "tight.c").write_text(TIGHT.replace("FIELD", ports(program)[1][0].field))
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]
    run(["gcc", "-std=c99", *sanitize, "net.c", "net_weights.c", "tight.c", "-o", "test"], folder)
    assert run(["./test"], folder) == "equal\n"


# An arena of exactly the size that is promised, on the heap, where the sanitizer sees its ends.
TIGHT = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net_golden.h"
int main(void)
{
    void *const arena = malloc(net_ARENA_BYTES ? net_ARENA_BYTES : 1);
    net_out_t out;
    int sample, bad = 0;
    for (sample = 0; sample < net_GOLDEN_SAMPLES; sample++) {
        memset(&out, 0x55, sizeof out);
        memset(arena, sample ? 0xaa : 0x7f, net_ARENA_BYTES);
        net_run_arena(&net_golden_in[sample], &out, arena);
        bad |= memcmp(out.FIELD, net_golden_out[sample].FIELD, sizeof out.FIELD) != 0;
    }
    free(arena);
    puts(bad ? "differs" : "equal");
    return bad;
}
"""


@needs_gcc
def test_two_networks_in_one_program(tmp_path):
    first = c_product(random_program(9), tmp_path, "first").dir / "src"
    c_product(random_program(7), tmp_path, "second")
    (first / "both.c").write_text(
        '#include "first.h"\n#include "second.h"\nint main(void) { return first_selftest() + 2 * second_selftest(); }\n'
    )
    units = [f"{n}{u[3:]}" for n in ("first", "second") for u in UNITS]
    run(["gcc", *WARNINGS, "-O1", "both.c", *units, "-o", "both"], first)
    run(["./both"], first)
    (first / "one.c").write_text('#include "first.c"\n#include "second.c"\n')
    run(["gcc", *WARNINGS, "-c", "one.c"], first)


@needs_gcc
def test_the_selftest_sees_a_wrong_weight(tmp_path):
    program = Builder(np.random.default_rng(1)).input((8,)).dense(6, form="affine", bits=16, mb=31).program()
    folder = c_product(program, tmp_path).dir / "src"
    head, weights, tail = re.split(r"= {\n|\n};", (folder / "net_weights.c").read_text(), maxsplit=2)
    (folder / "net_weights.c").write_text(f"{head}= {{\n{re.sub('[-0-9]+', '0', weights)}\n}};{tail}")
    run(["gcc", "test_main.c", *UNITS, "-o", "test"], folder)
    done = subprocess.run(["./test"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "net: FAIL, golden sample 1 differs\n")


@needs_gcc
def test_what_is_not_called_is_not_linked(tmp_path):
    """The static arena and the self-test are object files of their own."""
    folder = c_product(random_program(9), tmp_path).dir / "src"
    (folder / "main.c").write_text(
        '#include "net.h"\nstatic net_in_t in;\nstatic net_out_t out;\n'
        "static long long arena[net_ARENA_BYTES / 8 + 1];\n"
        "int main(void) { net_run_arena(&in, &out, arena); return 0; }\n"
    )
    run(["gcc", "-O1", "-c", *UNITS], folder)
    run(["ar", "rcs", "libnet.a", *(u.replace(".c", ".o") for u in UNITS)], folder)
    run(["gcc", "main.c", "libnet.a", "-o", "test"], folder)
    symbols = run(["nm", "test"], folder)
    assert "net_run_arena" in symbols
    assert "net_selftest" not in symbols
    assert "net_golden" not in symbols
    assert " net_run\n" not in symbols


@needs_gcc
def test_the_weights_can_go_to_a_section(tmp_path):
    folder = c_product(random_program(3), tmp_path).dir / "src"
    run(["gcc", "-c", '-Dnet_CONST=__attribute__((section(".far")))', "net_weights.c"], folder)
    assert ".far" in run(["objdump", "-h", "net_weights.o"], folder)


@needs_gcc
def test_only_what_is_allowed_is_included_and_called(tmp_path):
    for seed in (1, 2, 3, 4):
        folder = c_product(random_program(seed), tmp_path / str(seed)).dir / "src"
        for path in [*folder.glob("net*.c"), *folder.glob("net*.h")]:
            text = path.read_text()
            found = {line.split()[1] for line in text.splitlines() if line.startswith("#include")}
            own = {f'"{p.name}"' for p in folder.glob("net*.h")}
            assert found <= own | {"<stdint.h>", "<stddef.h>", "<string.h>", "<arm_acle.h>"}
            assert "float" not in text.replace("float32", "")
            assert "malloc" not in text


def test_cmake(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    folder = c_product(random_program(4), tmp_path / "a folder").dir / "src"
    run(["cmake", "-S", ".", "-B", "build"], folder)
    run(["cmake", "--build", "build"], folder)
    assert "100% tests passed" in run(["ctest", "--test-dir", "build"], folder)
