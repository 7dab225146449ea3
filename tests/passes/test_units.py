"""Units: the graph without some of them computes what the whole one does whose readers ignore them."""

import numpy as np
import pytest

from hwcomp.frontend.float_run import run_float
from hwcomp.passes._units import DOT, Mixed, Units
from hwcomp.passes.base import PassContext, constant
from hwcomp.passes.pipeline import configured, run_passes
from tests.models import loaded, model, values
from tests.nets import net


def fused(proto):
    """The float graph behind the passes that fuse."""
    passes = configured({})
    before = passes[: [p.name for p in passes].index("equalize")]
    return run_passes(loaded(proto).graph, PassContext(), before)


def ignoring(graph, units, gone):
    """The graph with zeros where dot products read elements of units that are gone."""
    tensors, nodes = dict(graph.tensors), []
    for node in graph.nodes:
        if node.op in DOT:
            weight, x = graph.tensors[node.inputs[1]].data, np.isin(units.of[node.inputs[0]], gone)
            read = x[0, :, 0, 0] if node.op == "Conv" else x.reshape(-1, x.shape[-1])[0]
            if node.op == "Conv" and node.attrs.groups > 1:
                group = np.arange(len(weight)) // (len(weight) // node.attrs.groups)
                lost = read.reshape(node.attrs.groups, -1)[group][:, :, None, None]
            else:
                lost = read.reshape(1, -1, *[1] * (weight.ndim - 2))
            masked = constant(tensors, "masked", np.where(lost, 0, weight).astype(np.float32)).name
            node = node.with_(inputs=(node.inputs[0], masked, *node.inputs[2:]))
        nodes.append(node)
    return graph.rebuilt(nodes, tensors)


def check(graph, units, gone, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {n: rng.uniform(-1, 1, (3, *graph.tensors[n].shape[1:])).astype(np.float32) for n in graph.inputs}
    small = units.without(gone)
    small.check()
    want, got = run_float(ignoring(graph, units, gone), inputs), run_float(small, inputs)
    for name, a in want.items():
        np.testing.assert_allclose(got[name], a, rtol=0, atol=1e-5 * max(1e-3, float(np.abs(a).max(initial=0))))
    return small


@pytest.mark.parametrize("seed", range(300, 420))
def test_random_networks_without_random_units(seed):
    graph = fused(net(seed).proto)
    units, rng = Units(graph), np.random.default_rng(seed)
    for share in (0.2, 0.6):
        gone = units.free[rng.random(len(units.free)) < share]
        while len(gone):
            try:
                check(graph, units, gone, seed)
                break
            except Mixed as mixed:
                assert np.isin(mixed.units, gone).any()
                gone = gone[~np.isin(gone, mixed.units)]


def residual():
    nodes = [
        ("Conv", ["x", "a"], ["u"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["u"], ["r"], {}),
        ("Conv", ["r", "d"], ["v"], {"pads": [1, 1, 1, 1], "group": 4}),
        ("Add", ["v", "r"], ["s"], {}),
        ("GlobalAveragePool", ["s"], ["p"], {}),
        ("Flatten", ["p"], ["f"], {}),
        ("MatMul", ["f", "w"], ["y"], {}),
    ]
    weights = {"a": values("a", 4, 2, 3, 3), "d": values("d", 4, 1, 3, 3), "w": values("w", 4, 3)}
    return fused(model(nodes, {"x": (1, 2, 5, 5)}, weights))


def test_a_residual_block_loses_whole_channels():
    graph = residual()
    units = Units(graph)
    assert len(units.free) == 4  # the rows of both convolutions and the columns of the last layer together
    small = check(graph, units, units.free[[1, 3]])
    assert [small.tensors[n.inputs[1]].shape for n in small.nodes if n.op in DOT] == [
        (2, 2, 3, 3),
        (2, 1, 3, 3),
        (3, 2),
    ]


def test_what_the_graph_gives_stays():
    graph = residual()
    units = Units(graph)
    last = next(n for n in reversed(graph.nodes) if n.op == "Dense")
    assert not np.isin(units.rows[last.outputs[0]], units.free).any()


def test_a_tensor_keeps_a_channel():
    graph = residual()
    units = Units(graph)
    with pytest.raises(Mixed):
        units.without(units.free)


def test_groups_lose_the_same_channels():
    nodes = [
        ("Conv", ["x", "a"], ["u"], {}),
        ("Conv", ["u", "b"], ["v"], {"group": 2}),
        ("Conv", ["v", "c"], ["y"], {}),
    ]
    weights = {"a": values("a", 6, 2, 1, 1), "b": values("b", 4, 3, 1, 1), "c": values("c", 2, 4, 1, 1)}
    graph = fused(model(nodes, {"x": (1, 2, 4, 4)}, weights))
    units = Units(graph)
    first, second, _ = units.rows.values()
    assert (first[:3] == first[3:]).all() and (second[:2] == second[2:]).all()
    small = check(graph, units, np.array([first[1], second[0]]))
    assert [small.tensors[n.inputs[1]].shape for n in small.nodes] == [(4, 2, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1)]


def test_a_shuffle_takes_another_order():
    nodes = [
        ("Conv", ["x", "a"], ["u"], {}), ("Reshape", ["u", "s"], ["v"], {}), ("Transpose", ["v"], ["t"], {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", ["t", "q"], ["w"], {}), ("Conv", ["w", "b"], ["y"], {}),
    ]  # fmt: skip
    weights = {
        "a": values("a", 6, 1, 1, 1), "b": values("b", 2, 6, 1, 1), "s": np.array([1, 2, 3, 4, 4]), "q": np.array([1, 6, 4, 4]),
    }  # fmt: skip
    graph = fused(model(nodes, {"x": (1, 1, 4, 4)}, weights))
    units = Units(graph)
    small = check(graph, units, units.free[[0, 4]])
    assert next(n for n in small.nodes if n.op == "ChannelShuffle").attrs.order == (2, 0, 1, 3)
