"""LSTM and GRU against onnxruntime, one step at a time behind the Program's own states; and the LSTM of the folder `shared`."""

import numpy as np
import onnxruntime as ort
import pytest

import hwcomp
from hwcomp.lower.build import lower
from hwcomp.samples import random_stored
from hwcomp.verify import compare, engines
from hwcomp.verify.reference import run_program
from tests.models import model, quantized, shared, values

T, C, H = 9, 6, 8


def steps_away(kind, quant, **attrs):
    """The largest distance of a hidden state, in steps, from what onnxruntime gives for the same input and states."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    constants = {
        "w": values("w", 1, gates * H, C, scale=1.5), "r": values("r", 1, gates * H, H), "b": values("b", 1, 2 * gates * H),
    }  # fmt: skip
    node = (kind, ["x", "w", "r", "b"], ["y"], {"hidden_size": H, "layout": 1, **attrs})
    proto = model([node], {"x": ("N", T, C)}, constants, opset=14)
    program = lower(graph := quantized(proto, quant=quant, input_ranges={"x": (-2.0, 2.0)})[0]).program
    stored = random_stored(program, 50)
    y = run_program(program, stored)["y"].reshape(-1, T, H)
    edge, node = program.edges["y"], graph.nodes[0]
    held = {
        n: (graph.tensors[name].data * graph.tensors[name].qtype.scales()[:, None])[None].astype(np.float32)
        for n, name in zip("wr", node.inputs[1:3], strict=True)
    }
    one = model(
        [(kind, ["x", "w", "r", "b", "", "h", *(["c"] if kind == "LSTM" else [])], ["", "y", *(["d"] if kind == "LSTM" else [])],
          {"hidden_size": H, **attrs})],
        {"x": (1, "N", C), "h": (1, "N", H), **({"c": (1, "N", H)} if kind == "LSTM" else {})}, {**held, "b": constants["b"]},
        ["y", "d"] if kind == "LSTM" else ["y"], opset=14,
    )  # fmt: skip
    session = ort.InferenceSession(one.SerializeToString())
    x = program.edges["x"].to_real(stored["x"])
    h, c, worst = np.zeros((1, 50, H), np.float32), np.zeros((1, 50, H), np.float32), 0.0
    for t in range(T):
        got = session.run(None, {"x": x[None, :, t], "h": h, **({"c": c} if kind == "LSTM" else {})})
        want = np.clip(got[0][0].astype(np.float64) / float(edge.scale) + edge.zero, edge.lo, edge.hi)
        worst = max(worst, float(np.abs(y[:, t] - want).max()))
        h = edge.to_real(y[:, t])[None]
        c = got[1] if kind == "LSTM" else c
    return worst


@pytest.mark.parametrize(("quant", "bound"), [("int8", 0.65), ("int16", 60)])
def test_lstm_step_by_step(quant, bound):
    """Cell states are onnxruntime's own: what the tables and states are wrong by adds up over the steps."""
    assert 0.3 < steps_away("LSTM", quant) <= bound


@pytest.mark.parametrize("linear", [0, 1])
def test_gru_step_by_step(linear):
    """The state that onnxruntime is given is rounded, the Program's own is not: up to a step more."""
    assert 0.3 < steps_away("GRU", "int8", linear_before_reset=linear) <= 1.6


@pytest.fixture(scope="module")
def mnist():
    with np.load(shared("data", "mnist.npz")) as data:
        return {n: data[n] for n in data.files}


@pytest.fixture(scope="module")
def product(mnist, tmp_path_factory):
    images = mnist["x_train"][:256].astype(np.float32) / 255
    folder = tmp_path_factory.mktemp("lstm") / "product"
    return hwcomp.compile(
        shared("models", "float", "lstm_mnist.onnx"), folder, target="mcu", calibration={"input": images}
    )


def lstm_size(product):
    return next(k.params["hidden"] for k in product.program.kernels if k.kind == "lstm")


def test_the_lstm_keeps_its_decisions_on_the_recorded_vectors(product):
    with np.load(shared("vectors", "lstm_mnist.npz")) as recorded:
        x, y = recorded["x"], recorded["y"]
    for outcome in compare.verify(
        product, {"input": product.program.edges["input"].from_real(x)}, [engines.engine("c")]
    ):
        assert (outcome.status, outcome.tensors) == ("equal", len(product.program.edges))
    got = hwcomp.run(product.dir, {"input": x})["output"]
    assert (got.argmax(-1) == y.argmax(-1)).all()
    l4 = hwcomp.verify_l4(product.dir, {"input": x})
    assert l4.passed
    assert all(end.agreeing == len(x) and end.largest <= 1 for end in l4.ends)
    lstm = [check for check in l4.layers if check.kind == "lstm"]
    assert [check.mode for check in lstm] == ["off", "on"]
    assert all(check.largest <= 1 and check.outputs == len(x) * 28 * lstm_size(product) for check in lstm)


def test_the_lstm_on_a_cortex_m4(product):
    stored = random_stored(product.program, 1)
    (outcome,) = compare.verify(product, stored, [engines.engine("c:m4")])
    assert (outcome.status, outcome.detail) == ("equal", "")


@pytest.mark.slow
def test_the_lstm_keeps_its_accuracy(product, mnist):
    """98.20 % in float on all 10,000 test images."""
    images, labels = mnist["x_test"].astype(np.float32) / 255, mnist["y_test"].astype(np.int64)
    found = hwcomp.evaluate(product.dir, {"input": images}, labels, "c")
    assert found.float_accuracy == pytest.approx(0.982, abs=5e-4)
    assert found.accuracy >= found.float_accuracy - 0.002
    assert found.agreement >= 0.995
