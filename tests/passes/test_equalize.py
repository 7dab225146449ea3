"""Equalization: the network computes the same, and channels that followed each other have weights of one size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.errors import UsageError
from hwcomp.passes.base import PassContext
from hwcomp.passes.equalize import Equalize
from hwcomp.passes.pipeline import configured, run_passes
from tests.models import loaded, model, quantized, values
from tests.strategies import chain

TOLERANCE = 1e-5
ON = {"equalize": {"enabled": True}}
FRONT = ("cancel_transposes", "merge_reshapes", "fuse_activation", "equalize")


def uneven(label, *shape, axis=0, spread=50.0):
    """Weights whose channels along `axis` differ by factors of up to `spread` either way."""
    gain = np.float32(spread) ** values(label + "gain", shape[axis])
    return values(label, *shape) * gain.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def ratio(first, bias, second, axis=1):
    """Largest over smallest of r1 / r2 over the channels."""
    m = len(first)
    r1 = np.maximum(np.abs(first).reshape(m, -1).max(axis=1), np.abs(bias))
    r2 = np.abs(np.moveaxis(second, axis, 0).reshape(m, -1)).max(axis=1)
    return float((r1 / r2).max() / (r1 / r2).min()), float(np.abs(np.log(r1 / r2)).max())


def weights(graph):
    return [graph.tensors[n.inputs[1]].data for n in graph.nodes if n.op in ("Conv", "Dense")]


def biases(graph):
    return [graph.tensors[n.inputs[2]].data for n in graph.nodes if n.op in ("Conv", "Dense") and n.inputs[2]]


@pytest.mark.parametrize("between", [
    [], ["Relu"], ["Relu", "MaxPool"], ["MaxPool", "Relu"], ["Relu", "AveragePool"], ["Identity", "Relu"],
])  # fmt: skip
def test_two_convolutions_share_their_ranges(run, between):
    nodes, last = [("Conv", ["x", "w", "k"], ["a"], {"pads": [1, 1, 1, 1]})], "a"
    for i, op in enumerate(between):
        attrs = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 1, 0, 1]} if "Pool" in op else {}
        nodes.append((op, [last], [f"b{i}"], attrs))
        last = f"b{i}"
    constants = {"w": uneven("w", 6, 3, 3, 3), "k": values("k", 6), "v": uneven("v", 4, 6, 3, 3, axis=1)}
    out = run(model([*nodes, ("Conv", [last, "v"], ["y"], {})], {"x": (1, 3, 8, 8)}, constants), *FRONT)
    (before, _), (after, off) = (
        ratio(weights(g)[0], biases(g)[0], weights(g)[1]) for g in (out.before, out.after)
    )  # fmt: skip
    assert before > 20
    assert after == pytest.approx(1, abs=1e-4)
    assert off < 1e-4  # r1 = r2: both sides have the same range, not only the same proportions
    assert out.change() <= TOLERANCE
    assert any("factors" in line for line in out.notes)


def test_depthwise_between_two_pointwise_layers(run):
    """The ReLU network of one MobileNet block: three layers, two links; it needs several sweeps."""
    constants = {"u": uneven("u", 8, 3, 1, 1), "d": uneven("d", 8, 1, 3, 3), "v": uneven("v", 5, 8, 1, 1, axis=1)}
    nodes = [
        ("Conv", ["x", "u"], ["a"], {}), ("Relu", ["a"], ["b"], {}),
        ("Conv", ["b", "d"], ["c"], {"group": 8, "pads": [1, 1, 1, 1]}), ("Relu", ["c"], ["e"], {}),
        ("Conv", ["e", "v"], ["y"], {}),
    ]  # fmt: skip
    out = run(model(nodes, {"x": (1, 3, 6, 6)}, constants), *FRONT)
    u, d, v = weights(out.after)
    assert ratio(u, np.zeros(8), d, axis=0)[1] < 1e-3
    assert ratio(d, np.zeros(8), v)[1] < 1e-3
    assert out.change() <= TOLERANCE


def test_grouped_convolution_behind_a_grouped_one(run):
    constants = {"w": uneven("gw", 6, 2, 3, 3), "k": values("gk", 6), "v": uneven("gv", 4, 3, 2, 2, axis=1)}
    nodes = [
        ("Conv", ["x", "w", "k"], ["a"], {"group": 2}), ("Relu", ["a"], ["b"], {}),
        ("Conv", ["b", "v"], ["y"], {"group": 2}),
    ]  # fmt: skip
    out = run(model(nodes, {"x": (1, 4, 8, 8)}, constants), *FRONT)
    w, v = weights(out.after)
    second = v.reshape(2, 2, 3, 2, 2).transpose(0, 2, 1, 3, 4).reshape(6, 2, 2, 2)  # by input channel
    assert ratio(w, biases(out.after)[0], second, axis=0)[1] < 1e-3
    assert out.change() <= TOLERANCE


def test_through_flatten_the_channels_are_followed(run):
    constants = {"w": uneven("fw", 5, 2, 3, 3), "k": values("fk", 5), "v": values("fv", 20, 7)}
    nodes = [
        ("Conv", ["x", "w", "k"], ["a"], {}), ("Relu", ["a"], ["b"], {}),
        ("MaxPool", ["b"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "v"], ["y"], {}),
    ]  # fmt: skip
    out = run(model(nodes, {"x": (1, 2, 6, 6)}, constants), *FRONT)
    w, v = weights(out.after)
    assert ratio(w, biases(out.after)[0], v.reshape(7, 5, 4))[1] < 1e-3
    assert out.change() <= TOLERANCE


def test_all_readers_of_a_layer_move_together(run):
    """A squeeze layer, two branches, their concatenation, a cut and a shuffle."""
    shuffle = [("Reshape", ["j", "s"], ["j1"], {}), ("Transpose", ["j1"], ["j2"], {"perm": [0, 2, 1, 3, 4]}),
               ("Reshape", ["j2", "t"], ["m"], {})]  # fmt: skip
    nodes = [
        ("Conv", ["x", "q"], ["a"], {}), ("Relu", ["a"], ["b"], {}),
        ("Conv", ["b", "e1"], ["c"], {}), ("Conv", ["b", "e3"], ["d"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], ["cr"], {}), ("Relu", ["d"], ["dr"], {}), ("Concat", ["cr", "dr"], ["j"], {"axis": 1}),
        *shuffle,
        ("Slice", ["m", "s0", "s1", "ax"], ["n"], {}), ("Conv", ["n", "z"], ["y"], {}),
    ]  # fmt: skip
    constants = {
        "q": uneven("q", 4, 3, 1, 1), "e1": uneven("e1", 4, 4, 1, 1), "e3": uneven("e3", 4, 4, 3, 3, axis=1),
        "z": uneven("z", 3, 6, 1, 1, axis=1), "s": np.array([1, 2, 4, 5, 5]), "t": np.array([1, 8, 5, 5]),
        "s0": np.array([1]), "s1": np.array([7]), "ax": np.array([1]),
    }  # fmt: skip
    out = run(model(nodes, {"x": (1, 3, 5, 5)}, constants), *FRONT)
    q, e1, e3, z = weights(out.after)
    readers = np.concatenate([e1, e3.transpose(0, 2, 3, 1).reshape(-1, 4, 1, 1)])
    assert ratio(q, np.zeros(4), readers)[1] < 1e-3
    joined = np.concatenate([np.abs(e).reshape(4, -1).max(axis=1) for e in (e1, e3)])[[0, 4, 1, 5, 2, 6, 3, 7]][1:7]
    np.testing.assert_allclose(joined, np.abs(z).max(axis=(0, 2, 3)), rtol=1e-3)
    assert out.change() <= TOLERANCE
    assert "ChannelShuffle" in out.ops


KEEPS = {
    "relu6": ([("Clip", ["a", "lo", "hi"], ["b"], {})], "its result is clipped to [0.0, 6.0]"),
    "residual": ([("Add", ["a", "x"], ["b"], {})], "Add 'Add_1' reads it"),
    "output": ([("Relu", ["a"], ["b"], {})], "'b' is an output"),
    "mixed": ([("Reshape", ["a", "s"], ["b"], {})], "reads its channels mixed"),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_does_not_commute_is_left_and_said(run, name):
    nodes, why = KEEPS[name]
    constants = {
        "w": uneven("w", 4, 4, 1, 1), "v": values("v", 2, 4, 1, 1), "lo": np.float32(0), "hi": np.float32(6),
        "s": np.array([1, 4, 2, 8]),
    }  # fmt: skip
    if name == "mixed":
        nodes = [("Transpose", ["a"], ["t"], {"perm": [0, 2, 3, 1]}), ("Reshape", ["t", "s"], ["b"], {})]
    outputs = ("y", "b") if name == "output" else ("y",)
    proto = model(
        [("Conv", ["x", "w"], ["a"], {}), *nodes, ("Conv", ["b", "v"], ["y"], {})], {"x": (1, 4, 4, 4)}, constants, outputs
    )  # fmt: skip
    out = run(proto, *FRONT)
    assert [np.array_equal(a, b) for a, b in zip(weights(out.before), weights(out.after), strict=True)] == [True, True]
    assert any("Conv 'Conv_0' keeps its range" in line and why in line for line in out.notes), out.notes


def test_a_dead_channel_with_a_bias_does_not_grow(run):
    """max|w| = 1e-30 and a bias of 0.5 occur in real networks; scaled by its weights alone it would reach 1e14."""
    constants = {
        "w": values("w", 4, 3, 1, 1),
        "k": np.array([0.5, 0, 0.1, 0.2], np.float32),
        "v": values("v", 2, 4, 1, 1),
    }
    constants["w"][0] = 1e-30
    constants["w"][1] = 0
    nodes = [("Conv", ["x", "w", "k"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "v"], ["y"], {})]
    out = run(model(nodes, {"x": (1, 3, 4, 4)}, constants), *FRONT)
    assert np.abs(biases(out.after)[0]).max() < 10
    assert out.change() <= TOLERANCE


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_stay_the_same(seed):
    """The probe of --check-passes holds every pass to its promise."""
    c = chain(seed)
    ctx = PassContext(input_ranges={"x": c.interval})
    passes = [p for p in configured(ON) if p.name not in ("calibrate", "quantize")]
    run_passes(loaded(c.proto).graph, ctx, passes, check=True)


def test_enough_random_networks_have_something_to_equalize():
    touched = 0
    for seed in range(60):
        ctx = PassContext()
        passes = [p for p in configured(ON) if p.name not in ("calibrate", "quantize")]
        run_passes(loaded(chain(seed).proto).graph, ctx, passes)
        touched += any("factors" in line for line in ctx.notes.get("equalize", []))
    assert touched >= 10


@given(st.floats(-25, 25), st.floats(-25, 25))
def test_any_size_of_weights(a, b):
    w, v = (values(n, 3, 3) * np.float32(np.exp(e)) for n, e in (("w", a), ("v", b)))
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Gemm", ["h", "v"], ["y"], {})]
    graph = loaded(model(nodes, {"x": (1, 3)}, {"w": w, "v": v})).graph
    w, v = weights(Equalize().run(graph, PassContext()))
    np.testing.assert_allclose(np.abs(w).max(axis=1), np.abs(v).max(axis=0), rtol=1e-4)


def test_it_pays_where_a_tensor_has_one_scale():
    """dfp8 on uneven channels: equalization wins back most of the noise."""
    nodes = [("Conv", ["x", "w"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "v"], ["y"], {})]
    w, v = values("pw", 8, 3, 3, 3), values("pv", 4, 8, 3, 3)
    gain = np.geomspace(0.01, 1, 8).astype(np.float32)
    proto = model(nodes, {"x": (1, 3, 9, 9)}, {"w": w * gain[:, None, None, None], "v": v / gain[:, None, None]})
    x = np.random.default_rng(0).uniform(0, 1, (32, 3, 9, 9)).astype(np.float32)
    from hwcomp.lower.build import lower
    from hwcomp.verify.noise import layer_noise

    decibels = []
    for passes in ({}, ON):
        graph, ctx = quantized(proto, quant="dfp8", calibration={"x": x}, passes=passes)
        decibels.append(layer_noise(ctx.float_graph, lower(graph).program, {"x": x})[-1].sqnr_db)
    assert decibels[1] > decibels[0] + 10, decibels


def test_sweeps_are_checked():
    with pytest.raises(UsageError, match=r"equalize\.sweeps=0"):
        quantized(
            model([("Relu", ["x"], ["y"], {})], {"x": (1, 3)}), passes={"equalize": {**ON["equalize"], "sweeps": 0}}
        )
