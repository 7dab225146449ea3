"""Lowering of normalized rows and of products of two tensors: how far results are from the real functions."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.lower.build import lower
from sw_ref.interp import run
from tests.models import model, quantized, values


def normalized(n, quant, interval=(-3.0, 5.0), epsilon=1e-5):
    proto = model(
        [("LayerNormalization", ["x", "g", "b"], ["y"], {"epsilon": epsilon}, "norm")], {"x": ("N", n)},
        {"g": values("g", n) + np.float32(1.5), "b": values("b", n)},
    )  # fmt: skip
    graph, _ = quantized(proto, input_ranges={"x": interval}, quant=quant)
    return lower(graph).program, graph


def worst(program, graph, q):
    """The largest distance, in steps, from LayerNormalization of the dequantized input in float64, inside the type."""
    x, y, node = program.edges["x"], program.edges["y"], graph.nodes[-1]
    real = (q - float(x.zero)) * float(x.scale)
    centred = real - real.mean(axis=1, keepdims=True)
    g, b = (graph.tensors[n].data.astype(np.float64) for n in node.inputs[1:])
    want = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + node.attrs.epsilon) * g + b
    want = np.clip(want / float(y.scale) + y.zero, *y.type_range)
    return float(np.abs(run(program, {"x": q.astype(x.dtype)})["y"] - want).max())


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 0.1, 40.0])
def test_every_pair(epsilon):
    """Of two elements only the distance counts: 256 of 65,536 pairs would do."""
    q = np.stack([g.ravel() for g in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))], axis=1)
    assert worst(*normalized(2, "int8", epsilon=epsilon), q) <= 0.5 + 0.01


@pytest.mark.parametrize("n", [1, 3, 16, 200, 1600])
@pytest.mark.parametrize(("quant", "bound"), [("int8", 0.51), ("dfp8", 0.51), ("int16", 0.75)])
def test_results_are_nearly_the_nearest(n, quant, bound):
    program, graph = normalized(n, quant)
    x, rng = program.edges["x"], np.random.default_rng(n)
    narrow = np.clip(rng.integers(-3, 4, (40, n)) + rng.integers(x.lo, x.hi, (40, 1)), x.lo, x.hi)
    one = np.where(np.arange(n) == n // 2, x.hi, x.lo)[None]
    q = np.concatenate([rng.integers(x.lo, x.hi + 1, (40, n)), narrow, one, np.full((1, n), x.hi)])
    assert worst(program, graph, q) <= bound


def test_rows_whose_squares_do_not_fit_are_refused():
    with pytest.raises(UnsupportedError, match="LayerNormalization over 1700 elements of 16 bits") as error:
        normalized(1700, "int16")
    assert error.value.node == "norm"
    assert "int8" in error.value.fix
    normalized(1700, "int8")


@pytest.mark.parametrize("quant", ["int8", "int16", "dfp8"])
def test_products_of_two_tensors_are_the_nearest(quant):
    proto = model([("MatMul", ["x", "z"], ["y"], {})], {"x": ("N", 3, 7), "z": ("N", 7, 2)})
    program = lower(quantized(proto, quant=quant, input_ranges={"x": (-1.0, 2.0), "z": (-3.0, 1.0)})[0]).program
    x, z, y = (program.edges[n] for n in "xzy")
    rng = np.random.default_rng(1)
    given = {e.name: rng.integers(e.lo, e.hi + 1, (500, *e.shape)).astype(e.dtype) for e in (x, z)}
    real = [(given[e.name].astype(np.float64) - e.zero) * float(e.scale) for e in (x, z)]
    want = np.clip(real[0] @ real[1] / float(y.scale) + y.zero, *y.type_range)
    assert np.abs(run(program, given)["y"] - want).max() <= 0.5 + 1e-4
