"""Small networks, their data, and what pruning leaves of them."""

import numpy as np

from hwcomp.passes._units import DOT
from tests.models import model
from tests.passes.test_units import fused


def chain(a, b, bias=None, between=("Relu",)):
    """Two pointwise convolutions: x [1, C, 4, 4] -> u -> relu -> y."""
    a, b = (np.float32(w)[:, :, None, None] for w in (a, b))
    nodes = [
        ("Conv", ["x", "a", "c"], ["u"], {}),
        *((op, ["u"], ["r"], {}) for op in between),
        ("Conv", ["r" if between else "u", "b"], ["y"], {}),
    ]
    bias = np.zeros(len(a)) if bias is None else bias
    return fused(model(nodes, {"x": (1, a.shape[1], 4, 4)}, {"a": a, "b": b, "c": np.float32(bias)}))


def data(graph, count=64, seed=0, lo=-1.0, hi=1.0):
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(lo, hi, (count, *graph.tensors[n].shape[1:])).astype(np.float32) for n in graph.inputs}


def rows(graph):
    return [len(graph.tensors[n.inputs[1]].data) for n in graph.nodes if n.op in DOT]
