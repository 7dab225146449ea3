"""Adaptive rounding in a compile: less error at each layer than rounding to nearest has, on the data it has seen."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.ops.conv import ConvAttrs
from hwcomp.passes import _layerwise
from hwcomp.passes._moments import moments
from hwcomp.registry import OPS
from hwcomp.types import Node
from tests.models import model, quantized, values

ON = {"adaround": {"enabled": True}}
LAYERS = {
    "conv": ([("Conv", ["x", "w", "k"], ["y"], {"pads": [1, 1, 1, 1]})], (6, 4, 3, 3)),
    "conv strided, dilated": (
        [("Conv", ["x", "w", "k"], ["y"], {"strides": [2, 1], "dilations": [1, 2], "pads": [0, 1, 1, 0]})], (5, 4, 3, 2),
    ),
    "depthwise": ([("Conv", ["x", "w", "k"], ["y"], {"group": 4, "pads": [1, 1, 1, 1]})], (8, 1, 3, 3)),
    "groups": ([("Conv", ["x", "w", "k"], ["y"], {"group": 2})], (6, 2, 3, 3)),
    "relu behind": ([("Conv", ["x", "w", "k"], ["a"], {}), ("Relu", ["a"], ["y"], {})], (6, 4, 3, 3)),
    "dense": ([("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w", "k"], ["y"], {"transB": 1})], (7, 144)),
    "matmul of rows": ([("MatMul", ["x", "w"], ["y"], {})], (6, 5)),
}  # fmt: skip


@pytest.fixture(scope="module")
def x():
    """Smooth, so that neighbours correlate, and positive."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.uniform(0, 1, (64, 4, 6, 6)), axis=3).astype(np.float32) / 6


def network(name):
    nodes, shape = LAYERS[name]
    return model(nodes, {"x": (1, 4, 6, 6)}, {"w": values(name, *shape), "k": values(name + "k", shape[0])})


def dot_of(graph):
    (node,) = [n for n in graph.nodes if n.op in ("Conv", "Dense")]
    return node


def real(tensor):
    if tensor.qtype is None:
        return tensor.data.astype(np.float64)
    return tensor.data * np.array(tensor.qtype.scale).reshape(-1, *[1] * (tensor.data.ndim - 1))


def output_error(graph, ctx, x):
    """Mean square of (what the float layer gives for the float input) - (the integer layer for its own input)."""
    mine, float_node = dot_of(graph), dot_of(ctx.float_graph)
    q = graph.tensors[mine.inputs[0]].qtype
    ints = np.clip(np.rint(x / np.float32(q.scale[0])) + q.zero, q.lo, q.hi) - q.zero
    given = x.astype(np.float64), ints * np.float64(q.scale[0])
    results = []
    for node, tensors, data in ((float_node, ctx.float_graph.tensors, given[0]), (mine, graph.tensors, given[1])):
        constants = [real(tensors[n]) if n else None for n in node.inputs[1:]]
        data = data.reshape(len(data), *tensors[node.inputs[0]].shape[1:])
        plain = node.with_(attrs=replace(node.attrs, clamp=None))
        results.append(OPS[node.op].evaluate(plain, [data, *constants])[0])
    return float(((results[0] - results[1]) ** 2).mean())


@pytest.mark.parametrize("quant", ["int8", "int16", "dfp8", "dfp6", "fixed:Q2.5"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_error_falls(x, name, quant):
    errors = []
    for passes in ({}, ON):
        graph, ctx = quantized(network(name), quant=quant, calibration={"x": x}, passes=passes)
        errors.append(output_error(graph, ctx, x))
        weight = graph.tensors[dot_of(graph).inputs[1]]
        limit = (1 << (weight.qtype.bits - 1)) - 1
        u = ctx.float_graph.tensors[dot_of(ctx.float_graph).inputs[1]].data.astype(np.float64)
        u = u / np.array(weight.qtype.scale).reshape(-1, *[1] * (u.ndim - 1))
        assert np.abs(weight.data).max() <= limit
        assert (np.abs(weight.data - np.clip(u, -limit, limit)) < 1).all()
    assert errors[1] < 0.9 * errors[0], errors


def test_windows_are_those_of_the_convolution(x):
    """Their covariance against one that convolutions with one-hot weights give."""
    attrs = ConvAttrs((2, 1), (1, 2), (1, 0, 2, 1), 2)
    w = values("windows", 6, 2, 3, 2).astype(np.float64)
    layer = _layerwise.Layer(
        Node("Conv", "c", ("x", "w", ""), ("y",), attrs), x, x + np.float32(0.1), w, np.zeros(6), w, np.zeros(6), np.ones(6),
        np.ones(6), 127,
    )  # fmt: skip
    found = moments(layer.node, layer.output(x, w, np.zeros(6)), layer.xq, w, np.zeros(6))
    eye = np.eye(12).reshape(12, 2, 3, 2)
    for g in range(2):
        one = replace(attrs, groups=1)
        seen = OPS["Conv"].evaluate(Node("Conv", "", (), (), one), [layer.xq[:, 2 * g : 2 * g + 2], eye, None])[0]
        seen = seen.astype(np.float64).transpose(1, 0, 2, 3).reshape(12, -1)
        np.testing.assert_allclose(found.gram[g], np.cov(seen, bias=True), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.mean[g, 0], seen.mean(axis=1), rtol=1e-5)
        r = (layer.output(layer.x, w, np.zeros(6)) - layer.output(layer.xq, w, np.zeros(6)))[:, 3 * g : 3 * g + 3]
        r = r.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
        both = np.cov(np.concatenate([r, seen]), bias=True)[:3, 3:]
        np.testing.assert_allclose(found.cross[g], both, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.residual[3 * g : 3 * g + 3], r.mean(axis=1), rtol=1e-4, atol=1e-6)


def test_windows_are_sampled_where_there_are_too_many(x, monkeypatch):
    from hwcomp.passes import _moments

    proto = network("conv")
    whole = quantized(proto, calibration={"x": x}, passes=ON)
    monkeypatch.setattr(_moments, "_MULTIPLICATIONS", 36 * 36 * 800)  # 800 windows of 2304
    few = quantized(proto, calibration={"x": x}, passes=ON)
    nearest = quantized(proto, calibration={"x": x})
    errors = [output_error(graph, ctx, x) for graph, ctx in (whole, few, nearest)]
    assert max(errors[:2]) < 0.8 * errors[2]
    integers = [graph.tensors[dot_of(graph).inputs[1]].data for graph, _ in (whole, few)]
    assert not np.array_equal(*integers)  # it did not look at all of them


def test_later_layers_see_what_the_earlier_ones_really_give(x):
    """A first layer of 4 bits that loses much: the second aims at the float output from its results."""
    nodes = [("Conv", ["x", "w"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "v"], ["y"], {})]
    proto = model(nodes, {"x": (1, 4, 6, 6)}, {"w": values("l1", 8, 4, 3, 3), "v": values("l2", 6, 8, 3, 3)})
    from hwcomp.frontend.float_run import run_float
    from hwcomp.lower.build import lower
    from hwcomp.samples import to_stored
    from hwcomp.verify.reference import run_program

    errors = []
    for passes in ({}, ON):
        graph, ctx = quantized(proto, quant="dfp4", calibration={"x": x}, passes=passes)
        program = lower(graph).program
        have = program.edges["y"].to_real(run_program(program, to_stored(program, {"x": x}))["y"])
        errors.append(float(((have - run_float(ctx.float_graph, {"x": x})["y"]) ** 2).mean()))
    assert errors[1] < 0.7 * errors[0], errors


def test_two_runs_give_the_same_integers(x):
    first, second = (quantized(network("conv"), calibration={"x": x}, passes=ON)[0] for _ in range(2))
    for a, b in zip(first.tensors.values(), second.tensors.values(), strict=True):
        assert a.name == b.name
        assert a.data is None or np.array_equal(a.data, b.data)


def test_it_says_what_it_did_and_how_far_it_is(x):
    from hwcomp.driver import Watch, quantized_graph
    from hwcomp.options import CompileOptions
    from tests.models import loaded

    seen = []
    options = CompileOptions(("mcu",), calibration={"x": x}, passes={"adaround": {"enabled": True, "samples": 10}})
    watch = Watch(progress=lambda what, done, total: seen.append((what, done, total)))
    _, ctx = quantized_graph(loaded(network("dense")), options, watch)
    assert ctx.notes["adaround"] == ["1 layers, 10 samples"]
    assert ("adaround", 0, 1) in seen


@pytest.mark.parametrize("field", ["samples", "sweeps"])
def test_options_are_checked(x, field):
    with pytest.raises(UsageError, match=rf"adaround\.{field}=0"):
        quantized(network("conv"), calibration={"x": x}, passes={"adaround": {"enabled": True, field: 0}})


def test_without_data_it_refuses():
    with pytest.raises(UsageError, match="adaround needs calibration data"):
        quantized(network("conv"), passes=ON)


def test_a_model_without_a_batch_axis(x):
    proto = model([("MatMul", ["x", "w"], ["y"], {})], {"x": (6,)}, {"w": values("nb", 6, 5)})
    graphs = [quantized(proto, calibration={"x": x[:, 0, 0]}, passes=p)[0] for p in ({}, ON)]
    weights = [g.tensors[g.nodes[0].inputs[1]].data for g in graphs]
    assert 0 < np.abs(weights[0] - weights[1]).max() <= 1


@pytest.mark.parametrize("pixels", ["uint8,0,255", "uint8,127.5,100", "uint8,1:2:3:4,50:60:70:80"])
def test_raw_pixels_at_the_input(pixels):
    """Mean and std go into the first layer before it is quantized; both graphs are given the pixels."""
    from hwcomp.lower.build import lower
    from hwcomp.pixels import Pixels
    from hwcomp.verify.noise import layer_noise

    types = {"x": Pixels.parse(pixels)}
    p = np.random.default_rng(5).integers(0, 256, (48, 4, 6, 6), np.uint8)
    decibels = []
    for passes in ({}, ON):
        options = {"quant": "dfp6", "calibration": {"x": p}, "input_types": types, "passes": passes}
        graph, ctx = quantized(network("groups"), **options)
        program = lower(graph).program
        decibels.append(layer_noise(ctx.float_graph, program, {"x": types["x"].real(p)}, types)[-1].sqnr_db)
    assert decibels[1] > decibels[0] > 10
