"""Dense layers of few weights in C: lists of steps bit by bit on host and M4, and when they are taken."""

import shutil

import numpy as np
import pytest

from hwcomp.backends import _c_steps
from hwcomp.backends.c import CBackend
from hwcomp.plan import row_steps
from hwcomp.plan.memory import WeightLayout
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, assert_all_equal_on_m4, c_product
from tests.sparse_nets import blocks

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def sparse(rows, k, density, values=(-128, 127, 3), seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((rows, k)) < density, rng.choice(list(values), (rows, k)), 0)


def program(weight, x=(-128, 127), shape=None):
    builder = Builder(np.random.default_rng(1)).input(
        shape or (weight.shape[1],), 16 if x[1] > 255 else 8, signed=x[0] < 0
    )
    return builder.dense(len(weight), weight=weight).program()


def layout(made, form="packed"):
    return CBackend().plan(made, {"c_weights": form}).steps[0].weights


def walked(weight):
    """The rows that steps lead through."""
    counts, ctype = row_steps.count(weight), "uint8_t" if weight.max() > 127 else "int8_t"
    steps = _c_steps.stored(weight, WeightLayout(*weight.shape, 0, 1, False, ctype)).astype(np.int64)
    found, at = np.zeros(weight.shape, np.int64), 0
    for m, n in enumerate(counts.tolist()):
        for place, value in zip(np.cumsum(steps[at : at + n] & 255), steps[at : at + n] >> 8, strict=True):
            found[m, place] += value
        at += n
    assert at == len(steps)
    return found


@pytest.mark.parametrize("density", [0.0005, 0.01, 0.3])
@pytest.mark.parametrize("values", [(-128, 127, 3), (1, 255)], ids=["signed", "unsigned"])
def test_steps_lead_to_every_weight(density, values):
    weight = sparse(7, 1500, density, values)
    weight[0], weight[1, [0, 255, 256, 511, 1499]] = 0, values[1]
    assert np.array_equal(walked(weight), weight)
    assert row_steps.size(weight) == 2 * row_steps.count(weight).sum() + 7 * row_steps.count(weight).itemsize


@pytest.mark.parametrize("x", [(-128, 127), (0, 255), (-30000, 32767)], ids=["int8", "uint8", "int16"])
@pytest.mark.parametrize("values", [(-128, 127, 3), (1, 255)], ids=["signed", "unsigned"])
def test_layers(x, values, tmp_path):
    weight = sparse(33, 700, 0.03, values)
    weight[5] = weight[-1] = 0
    made = program(weight, x)
    assert layout(made).steps
    built = c_product(made, tmp_path, "net")
    assert_all_equal(built, CHost())
    assert_all_equal_on_m4(built)


def test_steps_are_taken_where_they_are_faster_and_no_larger():
    assert layout(program(sparse(32, 400, 0.1))).steps
    assert not layout(program(sparse(32, 400, 0.4))).steps
    assert layout(program(sparse(32, 400, 0.15)), "fast").steps
    assert not layout(program(sparse(32, 400, 0.1), shape=(3, 400))).steps  # several vectors share what is read
    assert not layout(program(np.zeros((4, 8), np.int64))).steps
    few = blocks(np.random.default_rng(2), (64, 256), 4, 4, 0.3) * sparse(64, 256, 1.0)
    assert layout(program(few)).unit  # all four weights of a quad, for four rows: lists are faster


def test_the_report_has_the_reason():
    made = program(sparse(32, 400, 0.1))
    facts = CBackend().report(made, CBackend().plan(made, {}))["kernels"][0]["weights"]
    assert facts["form"] == "lists of weights and distances"
    assert "90% zeros, steps take 0.46 of the instructions and 0.21 of the bytes" in facts["why"]
    assert facts["bytes"] == row_steps.size(made.kernels[0].constants["weight"])


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no compiler for Cortex-M4")
@pytest.mark.parametrize(("rows", "k", "density"), [(100, 784, 0.1), (100, 300, 0.05), (64, 128, 0.2)])
def test_instructions_are_those_that_are_expected(rows, k, density, tmp_path):
    from hwcomp.verify.m4 import per_kernel

    made = program(sparse(rows, k, density))
    counted = next(iter(per_kernel(c_product(made, tmp_path)).values()))
    assert counted == pytest.approx(row_steps.instructions(made.kernels[0].constants["weight"]), rel=0.15)
