"""A small sound model that tests break on purpose, and a loader that writes it to a file first."""

import numpy as np
import pytest


def _good(**changes):
    """x [1, 4] -> Gemm 'fc' (w [4, 3], b [3]) -> h -> Relu 'act' -> y [1, 3], as a ModelProto."""
    from onnx import TensorProto, helper, numpy_helper

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    rng = np.random.default_rng(1)
    constants = {"w": rng.normal(size=(4, 3)).astype(np.float32), "b": np.zeros(3, np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="fc"),
            helper.make_node("Relu", ["h"], ["y"], name="act"),
        ],
        "graph",
        [value("x", changes.get("input", (1, 4)))],
        [value("y", changes.get("output", (1, 3)))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.fixture(scope="session")
def good():
    return _good


@pytest.fixture
def load(tmp_path):
    """ModelProto or bytes -> Model, through a file as users do it."""
    from hwcomp.frontend.load import load_model

    def read(model):
        path = tmp_path / "net.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return load_model(path)

    return read
