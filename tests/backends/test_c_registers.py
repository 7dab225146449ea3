"""Kernels of the generated C whose sums stay in registers: the same bits on a Cortex-M4 and on the host, and few instructions."""

import re

import numpy as np
import pytest

from hwcomp.verify import m4
from hwcomp.verify.c_host import CHost
from tests.program_factory import Builder, assert_all_equal, c_product
from tests.sparse_nets import masked

pytestmark = pytest.mark.skipif(bool(m4.CM4().missing()), reason=f"missing: {m4.CM4().missing()}")


def network(shape, seed=0, **how) -> Builder:
    return Builder(np.random.default_rng(seed)).input(shape, **how)


CALLS = {
    "lists": r"net_lists_\w+\(values",
    "rows": r"net_rows_\w+\(values",
    "put": r"net_put_\w+\(column, \w+, 0,",
    "held": r"net_held_\w+\((?:x|map)",
    "fours": r"net_fours_\w+\(map",
}


def check(builder: Builder, outputs: list[str], folder, primitive: str, layers: int):
    """Equal on both engines, and `primitive` runs in so many layers."""
    built = c_product(builder.program(outputs), folder, arena_slack=1000)
    assert len(re.findall(CALLS[primitive], (built.dir / "src" / "net.c").read_text())) == layers
    assert_all_equal(built, m4.CM4(), count=3)
    if not CHost().missing():
        assert_all_equal(built, CHost(), count=3)


def check_layers(cases: dict, folder, primitive: str, layers: int, **how):
    """Layers (shape, rows, kernel, options) in one network."""
    b, outputs = Builder(np.random.default_rng(len(cases))), []
    for n, (shape, rows, kernel, options) in enumerate(cases.values()):
        b.input(shape, signed=n % 3 > 0, **how)
        outputs.append(b.conv2d(rows, kernel, form="rounded", **{"signed": n % 2 > 0} | options).last)
    check(b, outputs, folder, primitive, layers)


LENGTHS = (2, 3, 4, 6, 7, 8, 9, 12, 16, 17, 18, 31, 33, 34, 35, 48, 65, 129, 500)
ROWS = {
    **{f"{k} values": ((k, 3, 3), 4 + k % 3, (1, 1), {}) for k in LENGTHS},
    "2 groups": ((12, 5, 3), 10, (1, 1), {"groups": 2}), "3 groups": ((18, 4, 4), 9, (2, 2), {"groups": 3}),
    "unsigned weights": ((3, 3, 4), 4, (1, 1), {"weight": np.arange(0, 252, 21).reshape(4, 3, 1, 1)}),
    "unsigned": ((20, 4, 5), 6, (1, 1), {"signed": False}), "7 bits": ((9, 3, 5), 6, (1, 1), {"bits": 7}),
    "16 bits": ((500, 2, 3), 6, (1, 1), {"bits": 16, "signed": True}),
    "unsigned, 16 bits": ((500, 2, 3), 6, (1, 1), {"bits": 16, "signed": False}),
    "one multiplier": ((9, 4, 5), 6, (1, 1), {"per_channel": False}), "large multipliers": ((20, 4, 5), 6, (1, 1), {"mb": 31}),
    "small multipliers": ((20, 4, 5), 6, (1, 1), {"mb": 12}), "few bits": ((20, 4, 5), 6, (1, 1), {"bits": 2, "signed": False}),
}  # fmt: skip


def test_rows(tmp_path):
    """Turns of products are entered in their middle: every remainder; odd rows besides; the last four windows overlap."""
    check_layers(ROWS, tmp_path, "rows", len(ROWS))


def test_shifts_that_do_not_grow(tmp_path):
    """Where the low word of the offset asks for a shift of more than 63 bits: high words have no such shift."""
    b, outputs = Builder(np.random.default_rng(1)), []
    for shift, low in ((62, 22), (56, 24), (55, 24)):
        outputs.append(b.input((6, 3, 4)).conv2d(4, (1, 1), form="affine").last)
        k = b.kernels[-1]
        k.params["requantize"]["shift"] = shift
        k.constants.update({"multiplier": np.array([3, 5, 7, 9], np.int32), "offset": np.full(4, 1 << low)})
    check(b, outputs, tmp_path, "rows", 1)


def test_rows_of_vectors(tmp_path):
    b = Builder(np.random.default_rng(1)).input((6, 24)).dense(24, form="rounded")
    check(b, [b.dense(10, form="rounded").last], tmp_path, "rows", 2)


WINDOWS = {
    "3x3": ((1, 7, 9), 5, (3, 3), {"pads": (1, 1, 1, 1)}),
    "3x3 without padding": ((1, 7, 9), 5, (3, 3), {}),
    "5x5": ((1, 9, 9), 4, (5, 5), {"pads": (2, 2, 2, 2)}),
    "three channels": ((3, 7, 6), 5, (3, 3), {"strides": (2, 2), "pads": (1, 1, 0, 0)}),
    "stretches apart": ((3, 9, 9), 5, (2, 3), {"dilations": (2, 3), "pads": (0, 1, 1, 0)}),
    "groups": ((6, 5, 5), 10, (2, 2), {"groups": 2}),
    "1x4 and 4x1": ((1, 6, 7), 5, (4, 1), {}),
}


@pytest.mark.parametrize("bits", [8, 16])
def test_windows_put_into_columns(bits, tmp_path):
    check_layers(WINDOWS, tmp_path, "put", len(WINDOWS), bits=bits)


HELD = {
    "3x3": ((1, 7, 9), 4, (3, 3), {"pads": (1, 1, 1, 1)}),
    "3x3 without padding": ((1, 7, 9), 6, (3, 3), {}),
    "by two": ((1, 9, 12), 14, (3, 3), {"pads": (1, 1, 1, 1), "strides": (2, 2)}),
    "two channels": ((2, 6, 6), 2, (2, 3), {"pads": (1, 0, 0, 1)}),
    "dilations": ((1, 9, 10), 4, (2, 3), {"dilations": (3, 2), "pads": (1, 2, 2, 1)}),
    "dilations of two channels": ((2, 9, 10), 4, (2, 2), {"dilations": (3, 2), "pads": (0, 2, 2, 0)}),
    "rows and columns that no window reaches": ((1, 12, 12), 8, (2, 2), {"strides": (3, 3)}),
    "the same, padded": ((1, 12, 13), 8, (2, 2), {"strides": (3, 3), "pads": (1, 0, 0, 0)}),
    "wide padding": ((1, 3, 2), 4, (3, 3), {"pads": (3, 2, 4, 3)}),
    "groups": ((6, 5, 5), 8, (2, 2), {"groups": 2}),
    "groups with padding": ((6, 5, 5), 12, (2, 2), {"groups": 2, "pads": (1, 0, 0, 1)}),
    "pointwise groups": ((24, 4, 4), 24, (1, 1), {"groups": 4}),
    "a long record": ((4, 5, 5), 130, (2, 2), {}),
    "pointwise by two": ((8, 9, 9), 10, (1, 1), {"strides": (2, 2)}),
    "unsigned weights": (
        (1, 5, 6),
        4,
        (3, 3),
        {"pads": (1, 1, 1, 1), "weight": np.arange(0, 252, 7).reshape(4, 1, 3, 3)},
    ),
    **{f"{k} channels": ((k, 4, 5), 10, (1, 1), {}) for k in range(2, 17)},
}


def test_held_windows(tmp_path):
    check_layers(HELD, tmp_path, "held", len(HELD))


NOT_HELD = {
    "odd rows": ((8, 4, 4), 5, (1, 1), {}),
    "many products": ((18, 4, 4), 4, (1, 1), {}),
    "few windows": ((8, 3, 5), 4, (1, 1), {}),
    "16 bits out": ((8, 4, 4), 4, (1, 1), {"bits": 16}),
    "one multiplier": ((8, 4, 4), 4, (1, 1), {"per_channel": False}),
    "wide weights": ((8, 4, 4), 4, (1, 1), {"weight_bits": 12}),
    "rows far apart": ((1, 8, 2100), 2, (3, 2), {}),
    "all windows above the map": ((1, 1, 20), 4, (1, 2), {"strides": (3, 1), "pads": (2, 0, 0, 0)}),
    "all windows beside the map": ((1, 40, 1), 4, (2, 1), {"strides": (1, 3), "pads": (0, 2, 0, 0)}),
}


def test_windows_that_are_not_held(tmp_path):
    check_layers(NOT_HELD, tmp_path, "held", 0)


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
    "unsigned weights": ((4, 5, 6), (3, 3), {"weight": np.arange(0, 252, 7).reshape(4, 1, 3, 3)}),
    "a large map": ((1023, 1, 4), (1, 2), {"pads": (0, 0, 0, 1)}),
}


def test_depthwise(tmp_path):
    check_layers({n: depthwise(*case) for n, case in DEPTHWISE.items()}, tmp_path, "fours", len(DEPTHWISE))


OTHERWISE = {
    "three outputs in a row": ((4, 5, 5), (3, 3), {}),
    "three channels": ((3, 6, 6), (3, 3), {}),
    "four columns": ((4, 6, 8), (3, 4), {}),
    "dilations": ((4, 6, 9), (3, 3), {"dilations": (1, 2)}),
    "16 bits out": ((4, 6, 6), (3, 3), {"bits": 16}),
    "one multiplier": ((4, 6, 6), (3, 3), {"per_channel": False}),
    "rows far apart": ((4, 5, 300), (3, 3), {"pads": (1, 1, 1, 1)}),
    "outputs far apart": ((1100, 1, 4), (1, 1), {}),
    "all windows above the map": ((4, 1, 8), (1, 2), {"strides": (3, 1), "pads": (2, 0, 0, 0)}),
}


def test_depthwise_that_goes_window_by_window(tmp_path):
    check_layers({n: depthwise(*case) for n, case in OTHERWISE.items()}, tmp_path, "fours", 0)


def depthwise(shape, kernel, how):
    return shape, shape[0], kernel, how | {"groups": shape[0]}


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
    assert m4.per_kernel(c_product(first.program(), tmp_path / "first", arena_slack=100))["conv2d_0"] <= 12 * 16 * 784


LISTS = {
    **{f"{k} channels": ((k, 3, 3), 8, (1, 1), {}) for k in (16, 32, 36, 64, 100)},
    "3x3": ((16, 5, 4), 12, (3, 3), {"pads": (1, 1, 1, 1)}), "four rows": ((128, 4, 5), 4, (1, 1), {}),
    "one multiplier": ((32, 4, 5), 16, (1, 1), {"per_channel": False}), "large multipliers": ((32, 4, 5), 8, (1, 1), {"mb": 31}),
    "16 bits": ((64, 2, 3), 8, (1, 1), {"bits": 16, "signed": True}), "unsigned": ((32, 4, 5), 8, (1, 1), {"signed": False}),
    "unsigned, 16 bits": ((64, 2, 3), 8, (1, 1), {"bits": 16, "signed": False}),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "layers"), [("blocks", 11), ("2:4 shared", 10), ("single", 9)])
@pytest.mark.parametrize("low", [-127, 0])
def test_lists(pattern, layers, low, tmp_path):
    """Lists of four rows, entered in the middle of a turn; the two walks of a list in turn, quads and pairs, weights of both signs.
    The other layers have no such lists, or sums too large for high words."""
    rng = np.random.default_rng(3)
    cases = {
        name: (shape, m, kernel, {**options, "weight": masked(rng, pattern, m, shape[0], kernel, low)})
        for name, (shape, m, kernel, options) in LISTS.items()
    }
    check_layers(cases, tmp_path, "lists", layers)
