"""What LSTM, GRU, LayerNormalization, products of two tensors and selections of a batch refuse: the node, why, what to do."""

import numpy as np
import pytest

from hwcomp.errors import HwcompError, UnsupportedError
from hwcomp.lower.build import lower
from hwcomp.registry import BACKENDS
from tests.models import loaded, model, quantized, values

W = {"w": values("w", 1, 16, 3), "r": values("r", 1, 16, 4), "p": values("p", 1, 12), "l": np.array([2], np.int32)}


def lstm(inputs=("x", "w", "r"), outputs=("y",), constants=W, op="LSTM", **attrs):
    used = {k: v for k, v in constants.items() if k in inputs}
    node = (op, list(inputs), list(outputs), {"layout": 1, **attrs}, "the node")
    return model([node], {"x": ("N", 5, 3)}, used, outputs=[o for o in outputs if o], opset=14)


@pytest.mark.parametrize(("proto", "message", "fix"), [
    (lstm(["x", "w", "r", "", "", "", "", "p"]), "LSTM with peepholes", "without peepholes"),
    (lstm(clip=1.0), "clip of LSTM", "without clip"),
    (lstm(activations=["Sigmoid", "Relu", "Tanh"]), "activations", "train it with these"),
    (lstm(input_forget=1), "input_forget=1", ""),
    (lstm(["x", "w", "r", "", "l"]), "sequence_lens of LSTM", "leave it out"),
])  # fmt: skip
def test_refused_forms(proto, message, fix):
    with pytest.raises(UnsupportedError, match=message) as error:
        loaded(proto)
    assert error.value.node == "the node"
    assert fix in error.value.fix


@pytest.mark.parametrize("proto", [
    lstm(hidden_size=5), lstm(constants=W | {"w": values("w", 2, 16, 3)}), lstm(constants=W | {"r": values("r", 1, 16, 5)}),
    lstm(constants=W | {"w": values("w", 1, 15, 3)}), lstm(op="GRU"),
])  # fmt: skip
def test_weights_that_do_not_fit(proto):
    with pytest.raises(HwcompError) as error:
        loaded(proto)
    assert error.value.node == "the node"


def test_lengths_that_are_all_steps_are_taken():
    full = lstm(["x", "w", "r", "", "l"], constants=W | {"l": np.array([5], np.int32)})
    assert [n.op for n in loaded(full).graph.nodes] == ["LSTM"]


@pytest.mark.parametrize("target", ["fpga", "hls"])
def test_streaming_targets_refuse_by_node(target):
    two = model([("MatMul", ["x", "z"], ["y"], {}, "the node")], {"x": ("N", 3, 4), "z": ("N", 4, 3)})
    norm = model([("LayerNormalization", ["x", "g"], ["y"], {}, "the node")], {"x": ("N", 4)}, {"g": values("g", 4)})
    for proto in (
        lstm(),
        lstm(op="GRU", constants={k: v[:, :12] if k in "wr" else v for k, v in W.items()}),
        two,
        norm,
    ):
        program = lower(quantized(proto)[0]).program
        with pytest.raises(UnsupportedError, match="is not available for target") as error:
            BACKENDS[target].supports(program)
        assert (error.value.node, error.value.fix) == ("the node", "use target mcu")


@pytest.mark.parametrize(("nodes", "shapes", "message"), [
    ([("MatMul", ["x", "z"], ["y"], {}, "the node")], {"x": ("N", 3, 4), "z": ("N", 2, 4, 3)}, "broadcasts"),
    ([("MatMul", ["x", "z"], ["y"], {}, "the node")], {"x": ("N", 4), "z": ("N", 4)}, "mixes samples"),
    ([("MatMul", ["c", "x"], ["y"], {}, "the node")], {"x": ("N", 4)}, "without a constant right side"),
    ([("LayerNormalization", ["x", "c"], ["y"], {"axis": 0}, "the node")], {"x": (1, 4)}, "batch axis"),
    ([("LayerNormalization", ["x", "c"], ["y", "m"], {}, "the node")], {"x": (1, 4)}, "more than one output"),
    ([("LayerNormalization", ["x", "c"], ["y"], {"epsilon": 0.0}, "the node")], {"x": (1, 4)}, "epsilon 0"),
])  # fmt: skip
def test_refused_products_and_rows(nodes, shapes, message):
    constants = {"c": values("c", 4)} if "c" in nodes[0][1] else {}
    with pytest.raises(UnsupportedError, match=message) as error:
        loaded(model(nodes, shapes, constants))
    assert error.value.node == "the node"
    assert error.value.why or error.value.fix


@pytest.mark.parametrize("nodes", [
    [("Slice", ["x", "zero", "one", "zero"], ["y"], {}, "the node")], [("Gather", ["x", "zero"], ["y"], {}, "the node")],
])  # fmt: skip
def test_samples_of_a_symbolic_batch_are_not_selected(nodes):
    """The first of a batch of 1 is all of it; of a batch of any size it is not."""
    constants = {"zero": np.array([0]), "one": np.array([1])}
    used = {k: v for k, v in constants.items() if k in nodes[0][1]}
    assert [n.op for n in loaded(model(nodes, {"x": (1, 3)}, used)).graph.nodes] == ["Identity"]
    with pytest.raises(UnsupportedError, match="batch axis") as error:
        loaded(model(nodes, {"x": ("N", 3)}, used))
    assert error.value.node == "the node"
