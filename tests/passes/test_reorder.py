"""Another order of channels is the same function, whatever they reach."""

import numpy as np
import pytest

from hwcomp.frontend.float_run import run_float
from hwcomp.passes._reorder import Channels, source
from tests.models import model, values
from tests.nets import net
from tests.passes.test_units import fused


def outputs(graph, seed=0):
    rng = np.random.default_rng(seed)
    return run_float(
        graph, {n: rng.uniform(-1, 1, (3, *graph.tensors[n].shape[1:])).astype(np.float32) for n in graph.inputs}
    )


def same(graph, other, seed=0):
    other.check()
    want, have = outputs(graph, seed), outputs(other, seed)
    assert list(want) == list(have)
    for name, a in want.items():
        np.testing.assert_allclose(have[name], a, rtol=0, atol=1e-5 * max(1e-3, float(np.abs(a).max(initial=0))))


def shuffled(graph, seed=0):
    """(the graph with every class in a random order, how many units moved)."""
    channels, rng, moved = Channels(graph), np.random.default_rng(seed), 0
    for members in channels.classes:
        order = rng.permutation(len(members))
        moved += np.count_nonzero(order != np.arange(len(order)))
        graph = channels.reordered(graph, channels.moves(members, order))
    return graph, moved


@pytest.mark.parametrize("seed", range(300, 380))
def test_random_networks(seed):
    graph = fused(net(seed).proto)
    other, _ = shuffled(graph, seed)
    same(graph, other, seed)


def test_random_networks_have_channels_to_move():
    assert sum(shuffled(fused(net(seed).proto))[1] for seed in range(300, 380)) > 40


def residual():
    """Conv, then a branch of depthwise and grouped convolutions beside nothing, a scale per channel, Flatten, Gemm."""
    constants = {
        "w0": values("a", 8, 2, 3, 3), "b0": values("b", 8), "w1": values("c", 8, 1, 3, 3), "w2": values("d", 8, 8, 1, 1),
        "s": values("e", 8, 1, 1), "w3": values("f", 12, 4, 1, 1), "w4": values("g", 5, 12 * 16), "b4": values("h", 5),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"pads": [1] * 4}), ("Relu", ["c0"], ["r0"], {}),
        ("Conv", ["r0", "w1"], ["d"], {"pads": [1] * 4, "group": 8}), ("Relu", ["d"], ["r1"], {}), ("Conv", ["r1", "w2"], ["c2"], {}),
        ("Add", ["c2", "r0"], ["sum"], {}), ("Mul", ["sum", "s"], ["m"], {}), ("HardSwish", ["m"], ["h"], {}),
        ("Conv", ["h", "w3"], ["c3"], {"group": 2}), ("Flatten", ["c3"], ["f"], {}), ("Gemm", ["f", "w4", "b4"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 4, 4)}, constants)


def test_a_residual_branch_moves_as_one():
    graph = fused(residual())
    channels = Channels(graph)
    # The 8 channels are one set, and 4 for the two groups behind, which read them alike; the 12 behind these are 6.
    assert sorted(len(c) for c in channels.classes) == [4, 6]
    other, moved = shuffled(graph, 0)
    assert moved >= 8  # both sets
    same(graph, other)
    before, after = (g.tensors[g.nodes[0].inputs[1]].data for g in (graph, other))
    assert not np.array_equal(before, after)
    assert sorted(before.sum(axis=(1, 2, 3)).tolist()) == pytest.approx(sorted(after.sum(axis=(1, 2, 3)).tolist()))


def test_inputs_outputs_and_stated_integers_stay():
    graph = fused(model([("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"x": (1, 6)}, {"w": values("w", 4, 6)}))
    assert Channels(graph).classes == []
    nodes = [
        ("Gemm", ["x", "w"], ["h"], {"transB": 1}),
        ("Softmax", ["h"], ["p"], {}),
        ("Gemm", ["p", "v"], ["y"], {"transB": 1}),
    ]
    graph = fused(model(nodes, {"x": (1, 6)}, {"w": values("w", 4, 6), "v": values("v", 3, 4)}))
    assert Channels(graph).classes == []  # what a softmax does depends on all of them
    chain = [
        ("Gemm", ["x", "w"], ["h"], {"transB": 1}),
        ("Relu", ["h"], ["r"], {}),
        ("Gemm", ["r", "v"], ["y"], {"transB": 1}),
    ]
    graph = fused(model(chain, {"x": (1, 6)}, {"w": values("w", 4, 6), "v": values("v", 3, 4)}))
    assert [len(c) for c in Channels(graph).classes] == [4]


def test_halves_of_a_slice_do_not_mix():
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}), ("Slice", ["c", "a", "b", "one"], ["s"], {}), ("Conv", ["s", "v"], ["d"], {}),
        ("Conv", ["c", "u"], ["e"], {}), ("Add", ["d", "e"], ["y"], {}),
    ]  # fmt: skip
    constants = {
        "w": values("w", 8, 2, 1, 1), "v": values("v", 3, 4, 1, 1), "u": values("u", 3, 8, 1, 1), "a": np.array([0]),
        "b": np.array([4]), "one": np.array([1]),
    }  # fmt: skip
    graph = fused(model(nodes, {"x": (1, 2, 3, 3)}, constants))
    assert [len(c) for c in Channels(graph).classes] == [4, 4]
    same(graph, shuffled(graph, 2)[0])


def test_where_elements_come_from():
    units = np.array([7, 3, 7, 3, 5])
    to = np.arange(8)
    to[[3, 7]] = [7, 3]
    assert source(units, to).tolist() == [1, 0, 3, 2, 4]
