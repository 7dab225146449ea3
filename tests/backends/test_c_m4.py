"""The generated C on a simulated Cortex-M4: the same bits as the interpreter, and the figures of LeNet-5."""

import subprocess

import numpy as np
import pytest

from hwcomp.backends.c import CBackend
from hwcomp.errors import WorkFailed
from hwcomp.verify import m4
from tests.backends.test_c_kernels import CASES, JOINS
from tests.program_factory import Builder, assert_all_equal, c_product, lenet5, samples
from tests.random_programs import random_program

pytestmark = pytest.mark.skipif(bool(m4.CM4().missing()), reason=f"missing: {m4.CM4().missing()}")


@pytest.mark.parametrize("seed", range(500, 508))
def test_random_programs(seed, tmp_path):
    built = c_product(random_program(seed), tmp_path, arena_slack=(-1, 0.1, 100)[seed % 3])
    assert_all_equal(built, m4.CM4(), count=4, seed=seed)


MAPS = (
    "unsigned",
    "unsigned weights",
    "groups",
    "depthwise",
    "a wide accumulator",
    "strides and dilations",
    "pointwise",
)


@pytest.mark.parametrize("slack", [-1, 100])
@pytest.mark.parametrize("case", MAPS)
def test_cases(case, slack, tmp_path):
    assert_all_equal(c_product(CASES[case]().program(), tmp_path, arena_slack=slack), m4.CM4(), count=3)


SOME = (
    "a sum of bytes with and without sign", "an average of what is inside", "a global average, unsigned",
    "a global average of many", "a global average of a long row", "a shuffle in any order",
)  # fmt: skip


@pytest.mark.parametrize("case", SOME)
def test_joins(case, tmp_path):
    assert_all_equal(c_product(JOINS[case]().program(), tmp_path), m4.CM4(), count=3)


def test_sums_and_averages_are_fast(tmp_path):
    b = Builder(np.random.default_rng(1)).input((32, 8, 8)).clamp(-90, 99)
    b.plus("t0", mb=(31, 30)).global_average(mb=31, form="affine")
    counts = m4.per_kernel(c_product(b.program(), tmp_path))
    assert counts["add_1"] <= 7.2 * 32 * 64
    assert counts["avgpool2d_2"] <= 1.3 * 32 * 64


@pytest.mark.parametrize("windows", [1, 2, 4])
def test_dot_products_of_every_length(windows, tmp_path):
    """The assembly loops are entered in their middle: every remainder, even and odd rows, signed and unsigned bytes."""
    b = Builder(np.random.default_rng(windows))
    outputs = []
    for n in (*range(1, 18), 29, 32, 34, 67):
        b.input((windows, n), signed=n % 3 != 0)
        outputs.append(b.dense(2 + n % 2, bits=16).last)
    for slack in (-1, 100):
        assert_all_equal(c_product(b.program(outputs), tmp_path, arena_slack=slack), m4.CM4(), count=3)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    return c_product(lenet5(), tmp_path_factory.mktemp("lenet5"), "lenet")


def test_lenet5_is_equal_and_fast(lenet):
    """Limits of the product: half of the instructions of the best competing generator, flash, RAM."""
    program = lenet.program
    result = m4.CM4().run(lenet, samples(program, 2), False)
    plan = CBackend().plan(program, {})
    weights = sum(k.constants["weight"].size for k in program.kernels if "weight" in k.constants)
    assert result.stats["instructions"] <= 1.1 * 2_293_000
    assert result.stats["flash_bytes"] <= weights + 12 * 1024
    assert result.stats["ram_bytes"] <= 1.1 * plan.peak_tensors
    assert 0 < result.stats["stack_bytes"] <= CBackend().report(program, plan)["stack_bytes_estimate"]
    assert result.stats["weight_bytes"] == CBackend().report(program, plan)["constant_bytes"]


def test_the_figures_of_a_folder(lenet):
    total, parts = m4.measure(lenet), m4.per_kernel(lenet)
    assert list(parts) == [k.name for k in lenet.program.kernels]
    assert sum(parts.values()) == pytest.approx(total["instructions"], rel=0.01)
    assert m4.measure(lenet) == total


def test_the_bare_metal_example(tmp_path):
    folder = c_product(random_program(4), tmp_path).dir / "src" / "baremetal"
    done = subprocess.run(["make", "image.elf", "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "net: PASS, all golden outputs equal" in done.stdout
    assert "net: instructions of one inference: " in done.stdout


def test_a_fault_is_one_clear_error(tmp_path):
    built = c_product(Builder(np.random.default_rng(0)).input((4,)).dense(3).program(), tmp_path)
    model = tmp_path / "src" / "net.c"
    model.write_text(model.read_text().replace("net_k0_dense(in", '__asm__ volatile("udf #0");\n    net_k0_dense(in'))
    with pytest.raises(WorkFailed, match=r"ended with code 3\. it stopped at a fault"):
        m4.CM4().run(built, samples(built.program, 1), False)


def test_code_that_does_not_compile_is_one_clear_error(tmp_path):
    built = c_product(Builder(np.random.default_rng(0)).input((4,)).dense(3).program(), tmp_path)
    (tmp_path / "src" / "net.c").write_text("nonsense\n")
    with pytest.raises(WorkFailed, match="does not compile the generated C"):
        m4.CM4().run(built, samples(built.program, 1), False)


def test_a_network_that_is_too_large_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(m4, "LINK", (*m4.LINK, "-Wl,--defsym=__stack_size=0x3fffc0"))
    built = c_product(Builder(np.random.default_rng(0)).input((40,)).dense(80).program(), tmp_path)
    with pytest.raises(WorkFailed, match="does not fit the simulated board"):
        m4.CM4().run(built, samples(built.program, 1), False)


def test_missing_tools_are_named_with_their_packages(monkeypatch):
    monkeypatch.setattr(m4.shutil, "which", lambda tool: None)
    for word in ("gcc-arm-none-eabi", "qemu-system-arm"):
        assert word in m4.CM4().missing()
