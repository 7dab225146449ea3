"""The networks of the project's shared folder against recorded outputs of onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.frontend.load import load_model

SHARED = Path(__file__).parents[3] / "shared"
MACS = {"lenet300_100_mnist": 266_200, "lenet5_caffe_mnist": 2_293_000, "lenet5_caffe_mnist_dynamo": 2_293_000}


@pytest.mark.parametrize("name", MACS)
def test_equals_the_recorded_outputs(name):
    from hwcomp.registry import OPS

    path, vectors = SHARED / "models/float" / f"{name}.onnx", SHARED / "vectors" / f"{name}.npz"
    if not (path.exists() and vectors.exists()):
        pytest.skip(f"{name} is not in the shared folder")
    graph = load_model(path).graph
    with np.load(vectors) as data:
        x, want = data["x"], data["y"]
    have = run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert sum(OPS[n.op].cost(n, graph).macs for n in graph.nodes) == MACS[name]
    assert batch_size(graph) > 100
