"""What the operator tests share: all cases of the registry, and onnxruntime as the yardstick."""

import math
import zlib

import numpy as np
import pytest

from hwcomp.registry import OPS


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = [(f"{name}: {case.label}", case) for name in OPS for case in OPS[name].cases()]
        metafunc.parametrize("case", [c for _, c in cases], ids=[label for label, _ in cases])


def _data(model, ranges, count):
    rng = np.random.default_rng(zlib.crc32(model.SerializeToString()))
    arrays = {}
    for value in model.graph.input:
        sample = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
        arrays[value.name] = rng.uniform(*ranges.get(value.name, (-1, 1)), (count, *sample)).astype(np.float32)
    return arrays


def _ort(model, inputs):
    """{output: array} of onnxruntime, one sample at a time where the batch is fixed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    count = len(next(iter(inputs.values())))
    step = 1 if any(i.shape[0] == 1 for i in session.get_inputs()) else count
    parts = [
        session.run(names, {k: v[i : i + step] for k, v in inputs.items()})
        for i in range(0, math.ceil(count / step) * step, step)
    ]
    return {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(names)}


@pytest.fixture
def ort():
    return _ort


@pytest.fixture
def sample_data():
    """(model, ranges, count) -> random inputs [count, ...], the same for the same model."""
    return _data


@pytest.fixture
def load(tmp_path):
    """ModelProto -> Graph, through a file as users do it."""
    from hwcomp.frontend.load import load_model

    def read(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return load_model(path).graph

    return read


@pytest.fixture
def check_refused(load):
    """Assert that an operator's case gives exactly this error, by its name."""

    def check(tested, error, text):
        with pytest.raises(error) as caught:
            load(tested.model)
        assert type(caught.value) is error
        assert text in str(caught.value)
        assert f"'{tested.label} 0'" in str(caught.value)

    return check


@pytest.fixture
def same():
    """Assert that two arrays are equal within 1e-5 of the largest value."""

    def check(have, want):
        assert have.shape == want.shape
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * max(1e-3, float(np.abs(want).max())))

    return check
