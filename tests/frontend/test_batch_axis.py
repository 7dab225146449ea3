"""Recurrent operators have the batch on axis 1: the importer follows it, for a batch of several samples, or refuses by name."""

import numpy as np
import onnxruntime as ort
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.verify.float_engine import run_model
from tests.models import loaded, model, saved, values

T, N, C, H = 6, 3, 4, 5
THERE = ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]})
LSTM = ("LSTM", ["t", "w", "r", "b"], ["s", "h", "c"], {"hidden_size": H})
BOTH = ("LSTM", ["t", "w2", "r2"], ["s", "h", "c"], {"hidden_size": H, "direction": "bidirectional"})
GRU = ("GRU", ["t", "g", "gr", "gb"], ["s", "h"], {"hidden_size": H, "direction": "reverse", "linear_before_reset": 1})
CONSTANTS = {
    "w": values("w", 1, 4 * H, C), "r": values("r", 1, 4 * H, H), "b": values("b", 1, 8 * H),
    "w2": values("w2", 2, 4 * H, C), "r2": values("r2", 2, 4 * H, H), "wr": values("wr", 1, 4 * H, 2 * H),
    "rr": values("rr", 1, 4 * H, H), "g": values("g", 1, 3 * H, C), "gr": values("gr", 1, 3 * H, H),
    "gb": values("gb", 1, 6 * H), "dense": values("d", H, 3), "dense2": values("d2", 2 * H, 3), "offset": values("o", H),
    "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "last": np.array(-1), "flat": np.array([0, 0, -1]),
    "start": np.array([2]), "end": np.array([5]), "far": np.array([2**31 - 1]),
}  # fmt: skip


def net(*nodes, outputs=("y",)):
    used = {n for node in nodes for n in node[1]}
    return model(
        [THERE, *nodes], {"x": ("N", T, C)}, {k: v for k, v in CONSTANTS.items() if k in used}, outputs, opset=17
    )


BACK = ("Transpose", ["u"], ["y"], {"perm": [1, 0, 2]})
FOLLOWED = {
    "squeeze": [LSTM, ("Squeeze", ["s", "one"], ["u"], {}), BACK],
    "transpose of four axes": [LSTM, ("Transpose", ["s"], ["y"], {"perm": [2, 1, 0, 3]})],
    "both directions in a row": [
        BOTH, ("Transpose", ["s"], ["v"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["v", "flat"], ["u"], {}), BACK,
    ],
    "two layers": [
        BOTH, ("Transpose", ["s"], ["v"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["v", "flat"], ["q"], {}),
        ("LSTM", ["q", "wr", "rr"], ["", "l"], {"hidden_size": H}), ("Squeeze", ["l", "zero"], ["y"], {}),
    ],
    "last step": [GRU, ("Squeeze", ["s", "one"], ["u"], {}), ("Gather", ["u", "last"], ["v"], {}), ("MatMul", ["v", "dense"], ["y"], {})],
    "some steps": [
        LSTM, ("Squeeze", ["s", "one"], ["v"], {}), ("Slice", ["v", "start", "end", "zero"], ["u"], {}), BACK,
    ],
    "functions and constants": [
        GRU, ("Squeeze", ["s", "one"], ["v"], {}), ("Tanh", ["v"], ["a"], {}), ("Add", ["a", "offset"], ["e"], {}),
        ("Relu", ["e"], ["f"], {}), ("MatMul", ["f", "dense"], ["u"], {}), BACK,
    ],
    "hidden and cell states": [
        BOTH, ("Concat", ["h", "c"], ["v"], {"axis": 2}), ("Transpose", ["v"], ["q"], {"perm": [1, 0, 2]}), ("Flatten", ["q"], ["y"], {}),
    ],
    "unsqueeze": [
        LSTM, ("Squeeze", ["s", "one"], ["v"], {}), ("Unsqueeze", ["v", "two"], ["e"], {}),
        ("Transpose", ["e"], ["y"], {"perm": [1, 0, 2, 3]}),
    ],
    "split": [LSTM, ("Squeeze", ["s", "one"], ["v"], {}), ("Split", ["v"], ["u", "k"], {"axis": 0}), BACK],
    "softmax": [LSTM, ("Squeeze", ["s", "one"], ["v"], {}), ("Softmax", ["v"], ["u"], {"axis": 0}), BACK],
    "in front": [
        ("Relu", ["t"], ["k"], {}), ("LSTM", ["k", "w", "r", "b"], ["s"], {"hidden_size": H}),
        ("Squeeze", ["s", "one"], ["u"], {}), BACK,
    ],
}  # fmt: skip


@pytest.mark.parametrize("nodes", FOLLOWED.values(), ids=FOLLOWED)
def test_a_batch_of_several_samples_gives_what_onnxruntime_gives(nodes):
    proto = net(*nodes)
    x = values("x", N, T, C)
    (want,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    got = run_float(loaded(proto).graph, {"x": x})["y"]
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 1e-5


def test_outputs_with_the_batch_elsewhere_are_the_models_own():
    proto = net(LSTM, outputs=("s", "h", "c"))
    graph, x = loaded(proto).graph, values("x", N, T, C)
    assert graph.output_axes == (2, 1, 1)
    want = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    got = run_float(graph, {"x": x})
    for name, axis, array in zip("shc", graph.output_axes, want, strict=True):
        assert np.abs(got[name] - np.moveaxis(array, axis, 0)).max() < 1e-5


@pytest.mark.parametrize("first", [1, "N"])
@pytest.mark.parametrize(("attrs", "at"), [({"perm": [1, 0, 2, 3]}, 1), ({}, 3)])
def test_a_transposed_batch_is_the_same_batch(first, attrs, at):
    graph = loaded(model([("Transpose", ["x"], ["y"], attrs)], {"x": (first, 2, 5, 6)})).graph
    x = values("x", N, 2, 5, 6)
    assert graph.output_axes == (at,)
    want = np.moveaxis(np.transpose(x, attrs.get("perm")), at, 0)
    np.testing.assert_array_equal(run_float(graph, {"x": x})["y"], want)


@pytest.mark.parametrize("attrs", [{"perm": [1, 0, 2, 3]}, {}])
def test_an_operator_behind_a_transposed_batch_is_refused(attrs):
    nodes = [("Transpose", ["x"], ["t"], attrs), ("MaxPool", ["t"], ["y"], {"kernel_shape": [1, 1]})]
    with pytest.raises(UnsupportedError, match="MaxPool of a tensor whose batch is axis") as error:
        loaded(model(nodes, {"x": (1, 2, 6, 6)}))
    assert error.value.node == "MaxPool_1" and "Transpose" in error.value.fix


REFUSED = {
    "Flatten": [LSTM, ("Flatten", ["s"], ["y"], {})],
    "Squeeze": [LSTM, ("Squeeze", ["s", "two"], ["y"], {})],
    "Gather": [LSTM, ("Gather", ["s", "last"], ["y"], {"axis": 2})],
    "Slice": [LSTM, ("Slice", ["s", "zero", "one", "two"], ["y"], {})],
    "MaxPool": [LSTM, ("MaxPool", ["s"], ["y"], {"kernel_shape": [1, 1]})],
    "Add": [LSTM, ("Squeeze", ["s", "one"], ["v"], {}), ("Add", ["v", "x"], ["y"], {})],
}


@pytest.mark.parametrize(("op", "nodes"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(op, nodes):
    with pytest.raises(UnsupportedError, match="batch") as error:
        loaded(net(*nodes))
    assert error.value.node.startswith(op)


def test_time_in_front_is_no_batch():
    """An LSTM that reads the input itself takes axis 0 for time: of symbolic size, or beside a batch of several."""
    for shape in (("N", T, C), (1, T, C)):
        proto = model(
            [("LSTM", ["x", "w", "r"], ["y"], {"hidden_size": H})],
            {"x": shape},
            {k: CONSTANTS[k] for k in "wr"},
            opset=17,
        )
        with pytest.raises(UnsupportedError, match="takes axis 0 of 'x' for time"):
            loaded(proto)


@pytest.mark.parametrize("shape", [(T, 1, C), (T, "N", C), (1, 1, C)])
def test_inputs_with_time_in_front(shape, tmp_path):
    proto = model(
        [("LSTM", ["x", "w", "r"], ["y"], {"hidden_size": H})], {"x": shape}, {k: CONSTANTS[k] for k in "wr"}, opset=17
    )
    x = values("x", shape[0], N if shape[1] == "N" else 1, C)
    (want,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    given, want = {"x": np.moveaxis(x, 1, 0)}, np.moveaxis(want, 2, 0)
    for got in (run_float(loaded(proto).graph, given), run_model(saved(proto, tmp_path / "model.onnx"), given)):
        assert got["y"].shape == want.shape
        assert np.abs(got["y"] - want).max() < 1e-5


def test_a_model_without_a_batch():
    nodes = [("Reshape", ["x", "shape"], ["t"], {}), LSTM[:2] + (["s", "l"], {"hidden_size": H})]
    held = {k: CONSTANTS[k] for k in "wrb"} | {"shape": np.array([T, 1, C])}
    proto = model(nodes, {"x": (T * C,)}, held, ["s", "l"], opset=17)
    x = values("x", T * C)
    want = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    got = run_float(loaded(proto).graph, {"x": x[None]})
    for name, array in zip("sl", want, strict=True):
        assert got[name].shape == (1, *array.shape)
        assert np.abs(got[name][0] - array).max() < 1e-5


def test_states_of_both_directions_as_inputs():
    node = ("GRU", ["x", "w", "r", "", "", "h"], ["", "y"], {"hidden_size": H, "direction": "bidirectional"})
    held = {"w": values("w", 2, 3 * H, C), "r": values("r", 2, 3 * H, H)}
    proto = model([node], {"x": (T, 1, C), "h": (2, 1, H)}, held, opset=17)
    x, h = values("x", T, 1, C), values("h", 2, 1, H)
    (want,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x, "h": h})
    got = run_float(loaded(proto).graph, {"x": np.moveaxis(x, 1, 0), "h": np.moveaxis(h, 1, 0)})["y"]
    assert np.abs(got - np.moveaxis(want, 1, 0)).max() < 1e-5
