"""A small sound model that tests break on purpose, and what the tests of hostile models share."""

import subprocess
import sys
import time

import numpy as np
import pytest

_LOAD_ALL = """
import resource, sys
from hwcomp.errors import HwcompError
from hwcomp.frontend.load import load_model
for path in sys.argv[1:]:
    try: load_model(path)
    except HwcompError: continue
    sys.exit(path)
sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1_000_000)
"""


def pytest_generate_tests(metafunc):
    if "hostile_name" in metafunc.fixturenames:
        metafunc.parametrize("hostile_name", metafunc.module.HOSTILE)


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


@pytest.fixture(scope="module")
def paths(request, tmp_path_factory, good):
    """The files of the module's HOSTILE {name: (what breaks a sound model, error, texts)}, by name."""
    folder, files = tmp_path_factory.mktemp("hostile"), {}
    for name, (breaks, _, _) in request.module.HOSTILE.items():
        model = good()
        data = breaks(model)
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(model.SerializeToString() if data is None else data)
    return files


@pytest.fixture
def one_clear_error(capfd):
    """Assert that a file gives exactly this error, within 2 s of processor time, with nothing on the terminal."""
    from hwcomp.errors import HwcompError
    from hwcomp.frontend.load import load_model

    def check(path, error, texts):
        start = time.process_time()
        with pytest.raises(HwcompError) as caught:
            load_model(path)
        message = str(caught.value)
        assert type(caught.value) is error, message
        assert caught.value.exit_code == 2
        assert [text for text in texts if text not in message] == [], message
        assert len(message) < 500
        assert "\n" not in message
        assert time.process_time() - start < 2
        assert capfd.readouterr() == ("", "")

    return check


@pytest.fixture
def little_memory():
    """Assert that all files are refused, one after the other in one process, below 1 GB and without a warning."""

    def check(files):
        command = [sys.executable, "-W", "error", "-c", _LOAD_ALL, *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    return check
