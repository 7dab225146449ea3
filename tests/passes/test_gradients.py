"""Gradients: against finite differences, on every operator that has one and on random networks."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError, UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.passes._gradients import Tape, logits_of, loss_gradient
from tests.models import loaded, model, values
from tests.nets import net
from tests.passes.test_units import fused

_STEP = 1e-2


def slopes(graph, x, output, seed, direction, inputs="x"):
    """(from the gradient, by differences): how fast sum(seed * output) grows along a direction, samples apart."""
    tape = Tape(graph, {inputs: x})
    found = tape.back(output, seed)
    apart = tuple(range(1, x.ndim))
    mine = (found[inputs] * direction).sum(axis=apart)

    def at(step):
        y = {}
        run_float(graph, {inputs: x + np.float32(step) * direction}, observe=y.__setitem__)
        return (seed * y[output].astype(np.float64)).sum(axis=tuple(range(1, seed.ndim)))

    return mine, (at(_STEP) - at(-_STEP)) / (2 * _STEP)


CASES = {
    "conv": ([("Conv", ["x", "a"], ["y"], {"pads": [1, 0, 2, 1], "strides": [2, 1]})], {"a": values("a", 5, 4, 3, 2)}),
    "dilated groups": ([("Conv", ["x", "a"], ["y"], {"group": 2, "dilations": [2, 1]})], {"a": values("a", 6, 2, 2, 3)}),
    "depthwise": ([("Conv", ["x", "a"], ["y"], {"group": 4, "pads": [1] * 4})], {"a": values("a", 8, 1, 3, 3)}),
    "dense": ([("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "a"], ["y"], {})], {"a": values("a", 144, 3)}),
    "maxpool": ([("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]})], {}),
    "averagepool": ([("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 3], "strides": [1, 2], "pads": [1, 1, 0, 1]})], {}),
    "global average": ([("GlobalAveragePool", ["x"], ["y"], {})], {}),
    "sum with itself": ([("Sigmoid", ["x"], ["s"], {}), ("Add", ["s", "x"], ["t"], {}), ("Add", ["t", "x"], ["y"], {})], {}),
    "product": ([("Tanh", ["x"], ["s"], {}), ("Mul", ["s", "x"], ["y"], {})], {}),
    "gate": ([("GlobalAveragePool", ["x"], ["p"], {}), ("Sigmoid", ["p"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})], {}),
    "difference": ([("Exp", ["x"], ["s"], {}), ("Sub", ["x", "s"], ["y"], {})], {}),
    "constants": ([("Mul", ["x", "a"], ["s"], {}), ("Add", ["s", "b"], ["y"], {})], {"a": values("a", 4, 1, 1), "b": values("b", 4, 1, 1)}),
    "softmax": ([("Softmax", ["x"], ["y"], {"axis": 1})], {}),
    "moves": ([("Slice", ["x", "a", "b", "c"], ["s"], {}), ("Transpose", ["s"], ["t"], {"perm": [0, 2, 3, 1]}),
               ("Transpose", ["t"], ["u"], {"perm": [0, 3, 1, 2]}),
               ("Concat", ["x", "u", "x"], ["v"], {"axis": 1}), ("Pad", ["v", "p"], ["y"], {})],
              {"a": np.array([1]), "b": np.array([3]), "c": np.array([1]), "p": np.array([0, 0, 1, 0, 0, 0, 0, 2])}),
    "functions": ([("HardSwish", ["x"], ["s"], {}), ("Softplus", ["s"], ["t"], {}), ("LeakyRelu", ["t"], ["y"], {"alpha": 0.1})], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators_against_differences(name):
    nodes, constants = CASES[name]
    graph = loaded(model(nodes, {"x": (1, 4, 6, 6)}, constants)).graph
    x, direction = values("x", 3, 4, 6, 6), values("d", 3, 4, 6, 6)
    seed = np.random.default_rng(1).normal(size=(3, *graph.tensors["y"].shape[1:]))
    got, want = slopes(graph, x, "y", seed, direction)
    np.testing.assert_allclose(got, want, rtol=0.02, atol=0.02 * np.abs(want).max())


@pytest.mark.parametrize("clamped", [True, False])
def test_a_limit_stops_the_gradient(clamped):
    nodes = [("Conv", ["x", "a"], ["u"], {}), ("Clip", ["u", "lo", "hi"], ["y"], {})]
    proto = model(nodes, {"x": (1, 1, 1, 3)}, {"a": np.float32([[[[2]]]]), "lo": np.float32(0), "hi": np.float32(1)})
    graph = fused(proto) if clamped else loaded(proto).graph
    x = np.float32([-1, 0.25, 3]).reshape(1, 1, 1, 3)
    tape = Tape(graph, {"x": x})
    assert tape.back("y", np.ones((1, 1, 1, 3)))["x"].ravel().tolist() == [0, 2, 0]


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_against_differences(seed):
    drawn = net(seed)
    graph = fused(drawn.proto)
    if len(graph.inputs) > 1 or drawn.index:
        return
    (name,) = graph.inputs
    rng = np.random.default_rng(seed)
    shape = (4, *graph.tensors[name].shape[1:])
    x, direction = (rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(2))
    out = graph.outputs[0]
    weights = rng.normal(size=(4, *graph.tensors[out].shape[1:]))
    try:
        got, want = slopes(graph, x, out, weights, direction, name)
    except UnsupportedError as refused:
        assert "gradient" in str(refused)
        return
    # Kinks lie between the two points for some samples: most agree.
    near = np.abs(got - want) <= 0.05 * max(np.abs(want).max(), np.abs(got).max(), 1e-6)
    assert near.sum() >= 2


def test_the_loss_of_a_softmax():
    logits, labels = values("l", 5, 3, scale=2), np.array([0, 2, 1, 1, 0])

    def loss(a):
        return np.log(np.exp(a).sum(axis=1)) - a[np.arange(5), labels]

    got = loss_gradient(logits, labels)
    for c in range(3):
        step = np.zeros((5, 3))
        step[:, c] = 1e-4
        np.testing.assert_allclose(got[:, c], (loss(logits + step) - loss(logits - step)) / 2e-4, atol=1e-5)


def test_labels_and_outputs_that_do_not_fit():
    with pytest.raises(UsageError, match=r"labels go from 0 to 3.*3 classes"):
        loss_gradient(np.zeros((2, 3)), np.array([0, 3]))
    nodes = [("Relu", ["x"], ["y"], {}), ("Tanh", ["x"], ["z"], {})]
    with pytest.raises(UsageError, match=r"one output"):
        logits_of(loaded(model(nodes, {"x": (1, 4)}, outputs=("y", "z"))).graph)
    softmax = [("Relu", ["x"], ["h"], {}), ("Softmax", ["h"], ["y"], {})]
    assert logits_of(loaded(model(softmax, {"x": (1, 4)})).graph) == "h"
