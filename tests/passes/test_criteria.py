"""What channels are worth: every criterion against a case worked out by hand."""

import numpy as np
import pytest

from hwcomp.passes import _criteria
from hwcomp.passes._units import Units
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.passes.prune import Prune
from tests.models import loaded, model, values
from tests.pruning import chain, data


def worth(graph, criterion, columns=False, ctx=None):
    """The values of the first layer's units, in their order."""
    units = Units(graph)
    found = _criteria.sites(graph, units, ctx or PassContext(), criterion, columns, 64, 0)
    return np.array([_criteria.worth(units, found)[int(u)] for u in next(iter(units.rows.values()))])


def alike(got, want):
    """The same but for a factor, which the mean over the layers takes out."""
    np.testing.assert_allclose(got / got.max(), np.float64(want) / np.max(want), rtol=2e-3, atol=1e-6)


A, B = [[1, -2], [0, 3], [0.5, 0.5]], [[1, 2, -4], [0, 1, 3]]


def test_sizes_of_filters():
    graph = chain(A, B)
    alike(worth(graph, "l1"), [3, 3, 1])
    alike(worth(graph, "l2"), [5**0.5, 3, 0.5**0.5])
    alike(worth(graph, "threshold"), [5**0.5, 3, 0.5**0.5])


def test_sizes_of_what_reads_a_channel():
    graph = chain(A, B)
    alike(worth(graph, "l1", columns=True), [1, 3, 7])
    alike(worth(graph, "l2", columns=True), [1, 5**0.5, 5])


def test_activations_are_weighted_by_what_reads_them():
    graph = chain([[1, 0], [0, 2], [0, 0]], B, bias=[0, 0, 3], between=())
    x = {"x": np.float32([1, -1, 2, -2])[:, None, None, None] * np.ones((4, 2, 4, 4), np.float32)}
    rms = np.sqrt(2.5) * np.float64([1, 2, 0]) + [0, 0, 3]
    alike(worth(graph, "activation", ctx=PassContext(calibration=x)), rms * np.sqrt([1, 5, 25]))


def test_variance_of_units():
    graph = chain([[1, 0], [0, 2], [0, 0]], B, bias=[7, 0, 3], between=())
    x = {"x": np.float32([1, -1, 2, -2])[:, None, None, None] * np.ones((4, 2, 4, 4), np.float32)}
    alike(worth(graph, "variance", ctx=PassContext(calibration=x)), [1, 2, 0])


def test_correlation_of_units():
    graph = chain([[1, 0], [-3, 0], [0, 1], [0, 0]], [[1, 1, 1, 1]], between=())
    x = data(graph, 64)
    got = worth(graph, "correlation", ctx=PassContext(calibration=x))
    u = np.moveaxis(x["x"], 1, 0).reshape(2, -1)
    third = 1 - abs(np.corrcoef(u)[0, 1])
    scale = got[1]  # the one that varies most is the last: 1
    np.testing.assert_allclose(got / scale, [0, 1, third, 0], atol=1e-4)


def test_taylor_is_gradient_times_activation():
    graph = chain([[1, 0], [0, 2]], [[1, -1], [2, 0]], between=())
    nodes = list(graph.nodes)
    x = {"x": np.float32([[1, 2], [3, -1], [0.5, 1]])[:, :, None, None] * np.ones((3, 2, 4, 4), np.float32)}
    labels = np.array(
        [0, 17, 3]
    )  # of 2 * 4 * 4 results: the first pixel of the first channel, the second of the second, ...
    ctx = PassContext(calibration=x, labels=labels)
    u = x["x"] * np.float32([1, 2])[:, None, None]
    y = np.einsum("oc,nchw->nohw", np.float64([[1, -1], [2, 0]]), u)
    p = np.exp(y.reshape(3, -1))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(3), labels] -= 1
    du = np.einsum("oc,nohw->nchw", np.float64([[1, -1], [2, 0]]), p.reshape(y.shape))
    alike(worth(graph, "taylor", ctx=ctx), np.abs((du * u).sum(axis=(2, 3))).mean(axis=0))
    assert nodes == list(graph.nodes)


@pytest.mark.parametrize("padded", [False, True])
def test_scales_of_batch_normalization(padded):
    """Folded into the convolution in front of it, or on its own where a padded one follows."""
    gamma = np.float32([0.5, -4, 2])
    conv = [("Conv", ["x", "a"], ["u"], {}), ("BatchNormalization", ["u", "g", "z", "z", "o"], ["n"], {})]
    if padded:
        conv = [("Conv", ["x", "a"], ["t"], {}), ("Sigmoid", ["t"], ["u"], {}), conv[1]]
    nodes = [*conv, ("Relu", ["n"], ["r"], {}), ("Conv", ["r", "b"], ["y"], {"pads": [1] * 4})]
    constants = {
        "a": values("a", 3, 2, 1, 1),
        "b": values("b", 2, 3, 3, 3),
        "g": gamma,
        "z": np.zeros(3, np.float32),
        "o": np.ones(3, np.float32),
    }
    graph, ctx = loaded(model(nodes, {"x": (1, 2, 4, 4)}, constants)).graph, PassContext()
    passes = configured({})
    graph = run_passes(graph, ctx, passes[: [p.name for p in passes].index("prune")])
    assert padded == any(n.op == "BatchNormalization" for n in graph.nodes)
    alike(worth(graph, "bn", ctx=ctx), [0.5, 4, 2])


def test_random_follows_its_seed():
    graph = chain(values("a", 30, 2), values("b", 2, 30))
    first = [Prune(filter=0.5, criterion="random", seed=s).run(graph, PassContext()) for s in (0, 0, 1)]
    kept = [g.tensors[g.nodes[0].inputs[1]].data.tobytes() for g in first]
    assert kept[0] == kept[1] != kept[2]
