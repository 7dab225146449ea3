"""Lowering of Softmax: how far results are from the real function, the types, and the order of elements."""

import itertools
from decimal import Decimal

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.lower.build import lower
from hwcomp.lower.softmax import lie_together
from sw_ref.interp import run
from sw_ref.program import Layout
from tests.models import model, quantized, values


def program(n, interval, quant="int8"):
    proto = model([("Softmax", ["x"], ["y"], {"axis": 1})], {"x": ("N", n)})
    return lower(quantized(proto, input_ranges={"x": interval}, quant=quant)[0]).program


def worst(p, q):
    """The largest distance, in steps of the output, from the real Softmax of the dequantized input, in its type's range."""
    x, y = p.edges["x"], p.edges["y"]
    e = np.exp((q.astype(np.float64) - q.max(axis=1, keepdims=True)) * float(x.scale))
    real = e / e.sum(axis=1, keepdims=True) / float(y.scale) + y.zero
    return float(np.abs(run(p, {"x": q.astype(x.dtype)})["y"] - np.minimum(real, y.hi)).max())


@pytest.mark.parametrize("interval", [(-0.5, 0.5), (-4.0, 4.0), (-30.0, 20.0), (0.0, 1000.0)])
def test_every_pair_and_many_triples(interval):
    """Softmax depends on distances from the largest: for two elements 256 cases are all, for three 65,536."""
    d = np.arange(256)
    assert worst(program(2, interval), np.stack([127 - d, np.full(256, 127)], axis=1)) <= 0.5 + 1 / 32
    triples = np.array(list(itertools.product(range(-128, 128), repeat=2)))
    assert worst(program(3, interval), np.insert(triples, 1, 127, axis=1)) <= 0.5 + 1 / 32


@pytest.mark.parametrize("n", [1, 4, 10, 100, 1000, 2000])
@pytest.mark.parametrize(("quant", "bound"), [
    ("int8", 0.5 + 1 / 32), ("dfp8", 0.5 + 1 / 32), ("fixed:Q3.4", 0.5 + 1 / 32), ("fixed:Q7.8", 0.5 + 1 / 32),
    ("dfp6", 0.5 + 1 / 32), ("dfp16", 1), ("int16", 1),
])  # fmt: skip
def test_results_are_within_a_step(n, quant, bound):
    p = program(n, (-6.0, 5.0), quant)
    x, rng = p.edges["x"], np.random.default_rng(n)
    steps = min(int(3 / float(x.scale)) + 1, x.hi - x.lo)  # distances that count, also where the type is wide
    q = np.concatenate([
        rng.integers(x.lo, x.hi + 1, (60, n)), rng.integers(x.hi - steps, x.hi + 1, (60, n)), np.full((1, n), x.lo),
        np.where(np.arange(n) == n // 2, x.hi, x.lo)[None], rng.integers(x.hi - 2, x.hi + 1, (20, n)),
    ])  # fmt: skip
    assert worst(p, q) <= bound


@pytest.mark.parametrize(("quant", "scale", "zero"), [
    ("int8", 2.0**-8, -128), ("int16", 2.0**-16, -32768), ("dfp8", 2.0**-7, 0), ("dfp12", 2.0**-11, 0),
    ("fixed:Q3.4", 2.0**-4, 0), ("fixed:Q0.15", 2.0**-15, 0),
])  # fmt: skip
def test_the_type_of_shares(quant, scale, zero):
    y = program(3, (-1.0, 1.0), quant).edges["y"]
    assert (float(y.scale), y.zero, y.lo) == (scale, zero, zero)
    assert y.hi == min(round(zero + 1 / scale), 2 ** (y.bits - 1) - 1)


def test_the_table_is_rounded_correctly():
    p = program(10, (-3.0, 4.0))
    k, step = p.kernels[0], Decimal(float(p.edges["x"].scale))
    want = [round(Decimal(2) ** k.params["bits"] * (-d * step).exp()) for d in range(256)]
    assert k.constants["exp"].tolist() == want


def test_a_table_ends_where_exponentials_are_zero():
    k = program(10, (-500.0, 500.0)).kernels[0]
    assert len(k.constants["exp"]) == 5  # a step is 3.9, an entry is zero beyond 15.9


def test_lie_together():
    shape = (4, 3, 2)
    assert lie_together(Layout.channels_last(shape), shape, (0,))
    assert not lie_together(Layout.row_major(shape), shape, (0,))
    assert lie_together(Layout.row_major(shape), shape, (2,))
    assert lie_together(Layout.row_major(shape), shape, (1, 2))
    assert not lie_together(Layout.channels_last(shape), shape, (1, 2))
    assert lie_together(Layout.channels_last(shape), shape, (0, 1, 2))


def test_other_axes_are_brought_together():
    proto = model([("Softmax", ["x"], ["y"], {"axis": 3})], {"x": (1, 4, 3, 2)})
    p = lower(quantized(proto)[0]).program
    assert [k.kind for k in p.kernels] == ["reorder", "softmax"]
    assert lie_together(p.edges["y"].layout, (4, 3, 2), (2,))


def test_shares_beside_other_values_are_converted():
    """Concat gives both one type, and Softmax keeps its own."""
    constants = {"w": values("soft cat", 3, 2, 1, 1, scale=4.0)}
    nodes = [
        ("Softmax", ["x"], ["s"], {"axis": 1}), ("Conv", ["x", "w"], ["c"], {}), ("Concat", ["s", "c"], ["y"], {"axis": 1}),
    ]  # fmt: skip
    p = lower(quantized(model(nodes, {"x": (1, 2, 3, 3)}, constants))[0]).program
    assert float(p.edges["s"].scale) == 2.0**-8
    assert p.edges["y"].scale > 2.0**-8
    assert [k.kind for k in p.kernels].count("requantize") == 1


def test_what_only_moves_shares_keeps_their_type():
    nodes = [("Softmax", ["x"], ["s"], {"axis": 1}), ("Flatten", ["s"], ["y"], {})]
    p = lower(quantized(model(nodes, {"x": (1, 2, 3, 3)}))[0]).program
    assert (float(p.edges["y"].scale), p.edges["y"].zero) == (2.0**-8, -128)


def test_too_many_for_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedError, match="Softmax over 4000 elements"):
        program(4000, (-1.0, 1.0), "int16")
