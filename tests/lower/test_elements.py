"""Tables and products: every entry and every pair against exact rationals; what they refuse."""

from fractions import Fraction

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.lower.build import lower
from sw_ref import interp
from sw_ref.program import Layout, type_range
from tests.models import model, quantized
from tests.sw_ref import exact


def lowered(op, interval, *, quant="int8", shape=(1, 3, 4, 5), opset=17, **attrs):
    proto = model([(op, ["x"], ["y"], attrs)], {"x": shape}, opset=opset)
    return lower(quantized(proto, input_ranges={"x": interval}, quant=quant)[0])


def run(program, **inputs):
    arrays = {n: np.asarray(a, program.edges[n].dtype) for n, a in inputs.items()}
    return interp.run(program, arrays)["y"]


def test_a_table_holds_the_rounded_function_of_every_value():
    program = lowered("Abs", (-3.0, 2.0)).program
    (kernel,) = program.kernels
    x, y = program.edges["x"], program.edges["y"]
    assert (kernel.kind, kernel.params, kernel.constants["table"].size) == ("lut", {"first": -128}, 256)
    for q, got in zip(range(-128, 128), kernel.constants["table"].tolist(), strict=True):
        real = abs((q - x.zero) * Fraction(float(x.scale)))
        want = exact.nearest_even(real / Fraction(float(y.scale))) + y.zero
        assert got == min(max(want, -128), 127)
    assert (y.lo, y.hi) == (kernel.constants["table"].min(), kernel.constants["table"].max())


@pytest.mark.parametrize(("op", "interval", "end"), [("Log", (0.25, 8.0), -128), ("Reciprocal", (0.5, 4.0), 127)])
def test_a_pole_at_zero_saturates(op, interval, end):
    program = lowered(op, interval).program
    x, table = program.edges["x"], program.kernels[0].constants["table"]
    assert table[x.zero + 128] == end
    assert sorted(set(table.tolist())) != [end]


@pytest.mark.parametrize("quant", ["int16", "dfp12", "fixed:Q3.4"])
def test_other_widths(quant):
    program = lowered("Tanh", (-3.0, 3.0), quant=quant).program
    x, y = program.edges["x"], program.edges["y"]
    kernel = program.kernels[0]
    first, last = type_range(x.bits, x.signed)
    assert (kernel.params["first"], kernel.constants["table"].size) == (first, last - first + 1)
    q = np.arange(x.lo, x.hi + 1)
    real = (kernel.constants["table"][q - first] - y.zero) * float(y.scale)
    ends = [(end - y.zero) * float(y.scale) for end in type_range(y.bits, y.signed)]
    want = np.clip(np.tanh((q - x.zero) * float(x.scale)), *ends)
    assert np.abs(real - want).max() <= 0.5001 * float(y.scale)


def test_what_a_symmetric_type_holds_below_a_domain():
    """The root of a negative number is that of zero."""
    program = lowered("Sqrt", (0.0, 4.0), quant="dfp8").program
    x, y = program.edges["x"], program.edges["y"]
    table = program.kernels[0].constants["table"]
    assert x.lo == -128
    assert set(table[:129].tolist()) == {y.zero}
    assert table[-1] > y.zero


def product(a=(-1.0, 2.0), b=(0.0, 1.0), shapes=((1, 3, 4, 5), (1, 3, 4, 5)), **options):
    proto = model([("Mul", ["x", "z"], ["y"], {})], dict(zip("xz", shapes, strict=True)))
    return lower(quantized(proto, input_ranges={"x": a, "z": b}, **options)[0], options.get("profile", 31))


def test_a_product_of_every_pair():
    """Both zero points, one rounding: the nearest integer wherever the exact value is no tie within the multiplier's error."""
    made = product(shapes=((1, 256), (1, 256)))
    program = made.program
    a, b, y = (program.edges[n] for n in "xzy")
    rows = np.arange(-128, 128)
    got = run(program, x=np.repeat(rows[:, None], 256, 1), z=np.broadcast_to(rows, (256, 256)))
    scale = Fraction(float(a.scale)) * Fraction(float(b.scale)) / Fraction(float(y.scale))
    for i in range(0, 256, 5):
        for j in range(256):
            value = (int(rows[i]) - a.zero) * (int(rows[j]) - b.zero) * scale + y.zero
            limited = min(max(value, Fraction(y.lo)), Fraction(y.hi))
            assert abs(int(got[i, j]) - limited) <= Fraction(1, 2) + Fraction(1, 10**4)
    p = program.kernels[0].params
    products = [(int(i) - a.zero) * (int(j) - b.zero) for i in (-128, 127) for j in (-128, 127)]
    assert (p["acc_lo"], p["acc_hi"]) == (min(products), max(products))
    assert made.proofs[0].accumulators == max(products) - min(products) + 1


def test_a_square_is_not_negative():
    proto = model([("Mul", ["x", "x"], ["y"], {})], {"x": (1, 6)})
    program = lower(quantized(proto, input_ranges={"x": (-2.0, 3.0)})[0]).program
    assert program.kernels[0].params["acc_lo"] == 0
    assert program.edges["y"].lo >= program.edges["y"].zero


@pytest.mark.parametrize(("shapes", "order"), [
    (((1, 3, 4, 5), (1, 3, 1, 1)), Layout.channels_last((3, 4, 5))), (((1, 3, 7), (1, 3, 1)), Layout.row_major((3, 7))),
    (((1, 3, 1, 1), (1, 3, 4, 5)), Layout.channels_last((3, 4, 5))),
])  # fmt: skip
def test_a_gate_stands_second_and_scales_channels(shapes, order):
    program = product(shapes=shapes).program
    (kernel,) = [k for k in program.kernels if k.kind == "mul"]
    full = "x" if np.prod(shapes[0]) > 3 else "z"
    assert kernel.inputs[0] == full
    assert program.edges["y"].layout == order
    gate = "z" if full == "x" else "x"
    rng = np.random.default_rng(0)
    arrays = {n: rng.integers(-128, 128, (2, *program.edges[n].shape)) for n in "xz"}
    arrays[gate][:, 1] = program.edges[gate].zero  # a factor of 0
    y = run(program, **arrays)
    assert (y[:, 1] == program.edges["y"].zero).all()
    assert (y[:, 0] != program.edges["y"].zero).any()


def test_a_function_of_an_index_is_refused():
    nodes = [("ArgMax", ["x"], ["i"], {"axis": 1}), ("Abs", ["i"], ["y"], {})]
    with pytest.raises(Exception, match="int64"):
        lower(quantized(model(nodes, {"x": (1, 4)}, types={"y": "int64"}))[0])


def test_a_function_that_is_not_a_number_is_refused_by_node():
    """An infinite slope times zero, which the type of x holds."""
    with pytest.raises(ModelError, match="not a number") as caught:
        lowered("HardSigmoid", (1.0, 2.0), alpha=np.inf)
    assert caught.value.node == "HardSigmoid_0"


def test_a_wide_table_is_refused_by_node(monkeypatch):
    from hwcomp.lower import tables

    monkeypatch.setattr(tables, "_WIDEST", 7)
    with pytest.raises(UnsupportedError, match=r"2\^8 entries") as caught:
        lowered("Abs", (-1.0, 1.0))
    assert caught.value.node == "Abs_0"
