"""Kernels of the generated C whose sums stay in registers: the same bits as the interpreter on a Cortex-M4 and on the host, and few instructions."""

import numpy as np
import pytest

from hwcomp.verify import m4
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, c_product

pytestmark = pytest.mark.skipif(bool(m4.CM4().missing()), reason=f"missing: {m4.CM4().missing()}")


def network(shape, seed=0, **how) -> Builder:
    return Builder(np.random.default_rng(seed)).input(shape, **how)


def check(builder: Builder, folder, *functions: str):
    """Equal on both engines, and these primitives run."""
    built = c_product(builder.program(), folder, arena_slack=100)
    text = (built.dir / "src" / "net.c").read_text()
    for name in functions:
        assert f"net_{name}_" in text, name
    assert_all_equal(built, m4.CM4(), count=3)
    if not CHost().missing():
        assert_all_equal(built, CHost(), count=3)
    return built


@pytest.mark.parametrize("k", [2, 3, 4, 6, 7, 8, 9, 12, 16, 17, 18, 31, 33, 34, 35, 48, 65, 129, 500])
def test_rows_of_every_length(k, tmp_path):
    """Turns of products are entered in their middle: every remainder; odd rows besides; the last four windows overlap."""
    check(network((k, 3, 3), seed=k, signed=k % 2 > 0).conv2d(4 + k % 3, (1, 1), form="rounded"), tmp_path, "rows")


OUTPUTS = {
    "unsigned": {"signed": False}, "7 bits": {"bits": 7}, "16 bits": {"bits": 16}, "unsigned, 16 bits": {"bits": 16, "signed": False},
    "one multiplier": {"per_channel": False}, "large multipliers": {"mb": 31}, "small multipliers": {"mb": 12},
    "few bits": {"bits": 2, "signed": False},
}  # fmt: skip


@pytest.mark.parametrize("what", OUTPUTS)
def test_outputs_of_rows(what, tmp_path):
    check(network((9, 4, 5), seed=len(what)).conv2d(6, (1, 1), form="rounded", **OUTPUTS[what]), tmp_path)


@pytest.mark.parametrize("groups", [2, 3])
def test_rows_of_groups(groups, tmp_path):
    b = network((6 * groups, 5, 3)).conv2d(4 * groups, (1, 1), groups=groups, form="rounded")
    b.conv2d(3 * groups, (2, 2), groups=groups, form="rounded")
    check(b, tmp_path, "rows")


def test_rows_of_vectors(tmp_path):
    check(network((6, 24)).dense(10, form="rounded"), tmp_path, "rows")


def test_unsigned_weights_in_rows(tmp_path):
    weight = np.arange(0, 252, 21).reshape(4, 3, 1, 1)
    check(network((3, 4, 4)).conv2d(4, (1, 1), weight=weight, form="rounded"), tmp_path, "rows")


WINDOWS = {
    "3x3": ((1, 7, 9), (3, 3), {"pads": (1, 1, 1, 1)}),
    "3x3 without padding": ((1, 7, 9), (3, 3), {}),
    "5x5": ((1, 9, 9), (5, 5), {"pads": (2, 2, 2, 2)}),
    "three channels": ((3, 7, 6), (3, 3), {"strides": (2, 2), "pads": (1, 1, 0, 0)}),
    "stretches apart": ((3, 9, 9), (2, 3), {"dilations": (2, 3), "pads": (0, 1, 1, 0)}),
    "groups": ((6, 5, 5), (2, 2), {"groups": 2}),
    "1x4 and 4x1": ((1, 6, 7), (4, 1), {}),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("what", WINDOWS)
def test_windows_put_into_columns(what, bits, tmp_path):
    shape, kernel, how = WINDOWS[what]
    check(network(shape, bits=bits, signed=len(what) % 2 > 0).conv2d(4, kernel, form="rounded", **how), tmp_path, "put")


DEPTHWISE = {
    "3x3": ((8, 7, 7), (3, 3), {"pads": (1, 1, 1, 1)}),
    "blocks that overlap unevenly": ((4, 5, 14), (3, 3), {"pads": (1, 1, 1, 1)}),
    "by two": ((8, 14, 15), (3, 3), {"pads": (1, 1, 1, 1), "strides": (2, 2)}),
    "a wide row": ((4, 4, 13), (3, 3), {"pads": (0, 1, 1, 0), "strides": (1, 2)}),
    "four outputs": ((4, 6, 6), (3, 3), {}),
    "five outputs": ((4, 3, 5), (3, 3), {"pads": (1, 1, 1, 1)}),
    "columns that no window reaches": ((4, 8, 10), (2, 2), {"strides": (3, 2), "pads": (1, 0, 0, 0)}),
    "rows and columns that no window reaches": ((4, 10, 10), (2, 1), {"strides": (3, 2)}),
    "wide padding": ((4, 2, 3), (3, 3), {"pads": (2, 3, 4, 3)}),
    "channels beside fours": ((7, 4, 6), (3, 3), {"pads": (1, 1, 1, 1)}),
    "5x3": ((5, 8, 8), (5, 3), {"pads": (2, 1, 2, 1)}),
    "1x3": ((4, 3, 8), (1, 3), {"pads": (0, 1, 0, 1)}),
    "many channels": ((260, 3, 4), (3, 3), {"pads": (1, 1, 1, 1)}),
    "a large map": ((1023, 1, 4), (1, 2), {"pads": (0, 0, 0, 1)}),
}


@pytest.mark.parametrize("what", DEPTHWISE)
def test_depthwise(what, tmp_path):
    shape, kernel, how = DEPTHWISE[what]
    b = network(shape, seed=len(what), signed=len(what) % 3 > 0)
    check(b.conv2d(shape[0], kernel, groups=shape[0], form="rounded", signed=len(what) % 2 > 0, **how), tmp_path, "fours")


def test_depthwise_with_unsigned_weights(tmp_path):
    weight = np.arange(0, 252, 7).reshape(4, 1, 3, 3)
    check(network((4, 5, 6)).conv2d(4, (3, 3), groups=4, weight=weight, form="rounded"), tmp_path, "fours")


OTHERWISE = {
    "three outputs in a row": ((4, 5, 5), (3, 3), {}),
    "three channels": ((3, 6, 6), (3, 3), {}),
    "four columns": ((4, 6, 8), (3, 4), {}),
    "dilations": ((4, 6, 9), (3, 3), {"dilations": (1, 2)}),
    "16 bits out": ((4, 6, 6), (3, 3), {"bits": 16}),
    "one multiplier": ((4, 6, 6), (3, 3), {"per_channel": False}),
    "rows far apart": ((4, 5, 300), (3, 3), {"pads": (1, 1, 1, 1)}),
    "outputs far apart": ((1100, 1, 4), (1, 1), {}),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_depthwise_that_goes_window_by_window(what, tmp_path):
    shape, kernel, how = OTHERWISE[what]
    built = check(network(shape).conv2d(shape[0], kernel, groups=shape[0], form="rounded", **how), tmp_path)
    assert "_fours_" not in (built.dir / "src" / "net.c").read_text()


def test_few_instructions(tmp_path):
    """What these kernels are for: layers with little work per output."""
    b = network((24, 7, 7)).conv2d(24, (1, 1), form="rounded")
    b.conv2d(24, (3, 3), pads=(1, 1, 1, 1), groups=24, form="rounded").conv2d(24, (1, 1), groups=3, form="rounded")
    counts = m4.per_kernel(c_product(b.program(), tmp_path, arena_slack=100))
    pointwise, depthwise, grouped = counts.values()
    assert pointwise <= 1.3 * 24 * 24 * 49
    assert depthwise <= 21 * 24 * 49
    assert grouped <= 2.1 * 24 * 8 * 49
    first = network((1, 28, 28)).conv2d(16, pads=(1, 1, 1, 1), form="rounded")
    assert m4.measure(c_product(first.program(), tmp_path / "first"))["instructions"] <= 17 * 16 * 784
