"""IN.npz and OUT.npz: real and stored samples, and what is stored for each tensor."""

import numpy as np
import pytest

from hwcomp import npz, samples
from hwcomp.errors import UsageError
from tests.program_factory import Builder

PROGRAM = Builder(np.random.default_rng(0)).input((2, 3), name="x").argmax(1, name="class").program()
EDGE = PROGRAM.edges["x"]


def test_floats_are_quantized_and_integers_kept():
    real = np.linspace(-3, 3, 4 * 6).reshape(4, 2, 3)
    for dtype in (np.float32, np.float64, np.float16):
        q = samples.to_stored(PROGRAM, {"x": real.astype(dtype)})["x"]
        assert q.dtype == EDGE.dtype
        assert q.tolist() == EDGE.from_real(real.astype(dtype)).tolist()
    stored = np.arange(6, dtype=EDGE.dtype).reshape(1, 2, 3)
    assert samples.to_stored(PROGRAM, {"x": stored})["x"] is stored


def test_a_batch_axis_of_one_may_be_given():
    stored = np.arange(12, dtype=EDGE.dtype).reshape(2, 1, 2, 3)
    assert samples.to_stored(PROGRAM, {"x": stored})["x"].shape == (2, 2, 3)


@pytest.mark.parametrize(("arrays", "text"), [
    ({}, "no array 'x'"), ({"y": np.zeros((1, 2, 3))}, "no array 'x'"), ({"x": np.zeros((2, 3))}, "shape"),
    ({"x": np.zeros((1, 3, 2))}, "shape"), ({"x": np.zeros((1, 2, 2, 3))}, "shape"), ({"x": np.float32(1)}, "shape"),
    ({"x": np.full((1, 2, 3), np.nan)}, "NaN"), ({"x": np.full((1, 2, 3), -np.inf)}, "NaN or infinity"),
    ({"x": np.zeros((1, 2, 3), np.int64)}, "int64"), ({"x": np.zeros((1, 2, 3), np.uint8)}, "uint8"),
    ({"x": np.zeros((1, 2, 3), bool)}, "bool"), ({"x": np.full((1, 2, 3), "a")}, "type"),
    ({"x": np.zeros((1, 2, 3), complex)}, "complex"), ({"x": np.zeros((0, 2, 3))}, "samples"),
    ({"x": np.zeros((1, 2, 3)), "z": np.zeros(1)}, "'z' that is no input"),
])  # fmt: skip
def test_wrong_data_is_refused(arrays, text):
    with pytest.raises(UsageError, match=text):
        samples.to_stored(PROGRAM, arrays)


def test_inputs_must_have_as_many_samples():
    b = Builder(np.random.default_rng(0)).input((2,), name="a").input((2,), name="b").dense(2)
    with pytest.raises(UsageError, match="number of samples"):
        samples.to_stored(b.program(), {"a": np.zeros((3, 2)), "b": np.zeros((2, 2))})


def test_random_samples_reach_over_the_whole_type():
    q = samples.random_stored(PROGRAM, 500)["x"]
    assert q.dtype == EDGE.dtype
    assert (int(q.min()), int(q.max())) == (EDGE.lo, EDGE.hi)
    assert q.tolist() == samples.random_stored(PROGRAM, 500)["x"].tolist()


def test_outputs_are_stored_as_reals_and_integers():
    q = np.arange(6, dtype=EDGE.dtype).reshape(1, 2, 3)
    out = samples.out_arrays(PROGRAM, {"x": q, "class": np.array([[2, 2]], np.uint8)})
    assert list(out) == ["x", "x.q", "class"]
    assert out["x"].dtype == np.float32
    assert out["x"].tolist() == ((q.astype(np.float32) - np.float32(EDGE.zero)) * EDGE.scale).tolist()
    assert out["x.q"] is q
    assert out["class"].dtype == np.int64


def test_two_tensors_for_one_name_are_refused():
    b = Builder(np.random.default_rng(0)).input((2,), name="x").dense(2, name="x.q")
    program = b.program()
    values = {n: np.zeros((1, 2), np.int8) for n in ("x", "x.q")}
    with pytest.raises(UsageError, match=r"two tensors would be stored as 'x\.q'"):
        samples.out_arrays(program, values)


def test_labels_are_read_apart(tmp_path):
    (tmp_path / "d.npz").write_bytes(npz.dumps({"x": np.zeros((2, 2, 3)), "labels": np.array([1, 0], np.uint8)}))
    arrays, labels = samples.read(tmp_path / "d.npz", ["x"])
    assert list(arrays) == ["x"]
    assert (labels.tolist(), labels.dtype) == ([1, 0], np.int64)


def test_an_input_called_labels_is_an_input(tmp_path):
    (tmp_path / "d.npz").write_bytes(npz.dumps({"labels": np.zeros((2, 2, 3))}))
    arrays, labels = samples.read(tmp_path / "d.npz", ["labels"])
    assert (list(arrays), labels) == (["labels"], None)


@pytest.mark.parametrize("labels", [np.zeros((2, 1), np.int64), np.zeros(2), np.array(["a", "b"])])
def test_strange_labels_are_refused(tmp_path, labels):
    (tmp_path / "d.npz").write_bytes(npz.dumps({"x": np.zeros((2, 2, 3)), "labels": labels}))
    with pytest.raises(UsageError, match="labels"):
        samples.read(tmp_path / "d.npz", ["x"])
