"""Layers of low rank: what is kept, what is cheaper, and what is refused."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.passes.low_rank import factors
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, values
from tests.passes.test_few_bits import dots

ON = {"enabled": True}


def data(count=300):
    """Channels that depend on each other, and have means."""
    mix = np.random.default_rng(1).normal(size=(3, 8))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 36, 3)) @ mix + 0.05 * rng.normal(size=(count, 36, 8)) + 1
    return x.transpose(0, 2, 1).reshape(count, 8, 6, 6).astype(np.float32)


def net():
    """Pointwise Conv with a stride, Relu, 3x3 Conv, Flatten, Gemm."""
    constants = {
        "w0": values("a", 16, 8, 1, 1), "b0": values("b", 16), "w1": values("c", 4, 16, 3, 3), "w2": values("d", 10, 4),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"strides": [2, 2]}), ("Relu", ["c0"], ["r0"], {}), ("Conv", ["r0", "w1"], ["c1"], {}),
        ("Flatten", ["c1"], ["f"], {}), ("Gemm", ["f", "w2"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 8, 6, 6)}, constants)


def made(**options):
    return quantized(net(), calibration={"x": data()}, passes={"low_rank": ON | options})


def noise(graph):
    program, x = lower(graph).program, data(400)[300:]
    want = run_float(loaded(net()).graph, {"x": x})["y"]
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": x}))["y"])
    return float(((have - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum())


def test_a_layer_becomes_two_where_that_is_cheaper():
    graph, ctx = made(energy=0.97)
    first, second, conv, dense = (k.constants["weight"] for k in dots(lower(graph).program))
    assert (first.shape, second.shape) == ((3, 8, 1, 1), (16, 3, 1, 1))
    assert (conv.shape, dense.shape) == ((4, 16, 3, 3), (10, 4))
    strides = [tuple(n.attrs.strides) for n in graph.nodes if n.op == "Conv"]
    assert strides == [(2, 2), (1, 1), (1, 1)]
    notes = ctx.notes["low_rank"]
    assert "rank 3" in notes[0]
    assert "72 products for each 128" in notes[0]
    assert "stays" in notes[1]
    assert noise(graph) < 0.1


def test_more_energy_loses_less():
    assert noise(made(energy=0.99, layers="Conv_0")[0]) < noise(made(energy=0.6, layers="Conv_0")[0])


def test_what_lies_between_has_mean_0_and_variance_1():
    floats = {}

    def after(name, graph):
        floats[name] = graph

    from hwcomp.passes.base import PassContext
    from hwcomp.passes.pipeline import configured, run_passes

    ctx = PassContext(calibration={"x": data()})
    run_passes(loaded(net()).graph, ctx, configured({"low_rank": ON | {"energy": 0.97}}), after=after)
    graph, seen = floats["low_rank"], {}
    run_float(graph, {"x": data()}, observe=lambda name, v: seen.setdefault(name, []).append(v.copy()))
    (z,) = (np.concatenate(v) for n, v in seen.items() if n.endswith("__rank"))
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=0.05)
    np.testing.assert_allclose(z.var(axis=(0, 2, 3)), 1, atol=0.1)


def test_factors_are_the_best_of_their_rank():
    """In the metric of the outputs: nearer than the SVD of the weights themselves, by as much as the energy says."""
    rng = np.random.default_rng(1)
    rows, mix = rng.normal(size=(9, 12)), rng.normal(size=(12, 12)) * np.geomspace(1, 0.01, 12)
    gram = mix @ mix.T + 1e-3 * np.eye(12)

    def lost(w):
        return float(((w - rows) @ gram * (w - rows)).sum() / ((rows @ gram) * rows).sum())

    for energy in (0.5, 0.9, 0.999, 1.0):
        first, second, kept = factors(rows, gram, energy)
        assert kept >= energy - 1e-9
        assert lost(second @ first) == pytest.approx(1 - kept, abs=1e-9)
        np.testing.assert_allclose(first @ gram @ first.T, np.eye(len(first)), atol=1e-6)
        u, s, vt = np.linalg.svd(rows, full_matrices=False)
        r = len(first)
        assert lost(second @ first) <= lost(u[:, :r] * s[:r] @ vt[:r]) + 1e-9
        if energy < 1:
            spectrum = np.linalg.svd(rows @ np.linalg.cholesky(gram), compute_uv=False) ** 2
            assert spectrum[: r - 1].sum() < energy * spectrum.sum()  # one less would not do


@pytest.mark.parametrize(("options", "text"), [
    ({"energy": 0.0}, "--low-rank 0"), ({"energy": 1.5}, "--low-rank 1.5"), ({"energy": float("nan")}, "--low-rank nan"),
    ({"samples": 0}, "low_rank.samples=0"), ({"layers": "c1"}, "'c1' is no dense or pointwise layer"),
])  # fmt: skip
def test_what_is_refused(options, text):
    with pytest.raises(UsageError, match=text):
        made(**options)


def test_data_and_layers_are_needed():
    with pytest.raises(UsageError, match="needs calibration data"):
        quantized(net(), passes={"low_rank": ON})
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 8, 6, 6)}, {})
    with pytest.raises(UsageError, match="finds no layer"):
        quantized(proto, calibration={"x": data()}, passes={"low_rank": ON})
