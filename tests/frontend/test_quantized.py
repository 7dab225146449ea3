"""Models that are already quantized: every way to write their integers, and broken ones with one clear error each."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from tests.models import IR_VERSION, loaded

SCALE, ZERO = np.float32(0.0078), np.uint8(128)
HALF = np.float32(0.5)


def qdq(middle, constants=None, *, opset=21, inputs=None, output=(TensorProto.FLOAT, "y"), domain=""):
    """x [1, 6] -> `middle` (op, inputs, outputs, attributes) -> y, with constants s, z."""
    nodes = [helper.make_node(op, i, o, name=f"{op} {n}", **a) for n, (op, i, o, a) in enumerate(middle)]
    held = {"s": SCALE, "z": ZERO, "t": HALF, **(constants or {})}
    tensors = [a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    ins = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 6))]
    graph = helper.make_graph(nodes, "g", ins, [helper.make_tensor_value_info(output[1], output[0], None)], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


Q = ("QuantizeLinear", ["x", "s", "z"], ["q"], {})
DQ = ("DequantizeLinear", ["q", "s", "z"], ["y"], {})
DQ_P = ("DequantizeLinear", ["p", "s", "z"], ["y"], {})
FLOAT8 = {"output_dtype": TensorProto.FLOAT8E4M3FN}
W = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
HELD = {"w": W, "v": np.int8(0)}


def dense(weights, attrs=None):
    """Nodes of x -> Q -> DQ -> MatMul with the dequantized constant w."""
    return [
        Q, ("DequantizeLinear", ["q", "s", "z"], ["r"], {}), ("DequantizeLinear", weights, ["wr"], attrs or {}),
        ("MatMul", ["r", "wr"], ["y"], {}),
    ]  # fmt: skip


@pytest.mark.parametrize(("weights", "attrs", "held"), [
    (["w", "t"], {}, {"w": W}),
    (["w", "t", "v"], {}, {"w": W, "v": np.int8(-3)}),
    (["w", "t", "v"], {}, {"w": (W + 100).astype(np.uint8), "v": np.uint8(99)}),
    (["w", "u", "v"], {"axis": 1}, {"w": W, "u": np.float32([1, 2, 3, 4]), "v": np.int8([1, 0, -1, 2])}),
    (["w", "u"], {"axis": -1}, {"w": W.astype(np.int16), "u": np.float32([0.1, 0.2, 0.3, 0.4])}),
    (["w", "u"], {"axis": 0}, {"w": W, "u": np.float32([1, 2, 3, 4, 5, 6])}),
], ids=["no zero point", "int8", "uint8", "per channel", "int16", "per input"])  # fmt: skip
def test_weights_have_the_reals_of_onnxruntime(weights, attrs, held):
    import onnxruntime as ort

    model = qdq(dense(weights, attrs), held)
    x = {"x": np.random.default_rng(0).uniform(-1, 1, (5, 6)).astype(np.float32)}
    have = run_float(loaded(model).graph, x)["y"]
    options = ort.SessionOptions()  # its optimizations fail on scales per input channel
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    want = np.concatenate([session.run(["y"], {"x": row[None]})[0] for row in x["x"]])
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * np.abs(want).max())


def four_bits(name, values, kind):
    """A constant of 4-bit integers, two in a byte."""
    return helper.make_tensor(name, kind, np.shape(values), np.asarray(values).ravel().tolist())


@pytest.mark.parametrize(("kind", "values"), [
    (TensorProto.INT4, [[-8, 7, 0], [-1, 1, 3]]), (TensorProto.UINT4, [[0, 15, 8], [7, 1, 2]]), (TensorProto.INT4, [[5], [-3], [1]]),
])  # fmt: skip
def test_weights_of_four_bits(kind, values):
    """Also an odd number of them."""
    shape = np.shape(values)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, shape[0]))
    w = four_bits("w", values, kind)
    model = qdq(dense(["w", "t"]), {"w": w}, inputs=[x])
    graph = loaded(model).graph
    given = next(t.given for t in graph.tensors.values() if t.given is not None)
    dot = next(n for n in graph.nodes if n.op == "Dense")
    np.testing.assert_array_equal(graph.tensors[dot.inputs[1]].given.integers, np.transpose(values))
    assert given.scale.dtype == np.float32
    raw = numpy_helper.to_array(w)
    np.testing.assert_array_equal(raw.astype(np.int64), values)


def test_integers_at_both_ends():
    """An input and an output of integers, dequantized behind an operator that only moves them."""
    x = helper.make_tensor_value_info("x", TensorProto.INT8, (1, 2, 3))
    nodes = [
        ("Flatten", ["x"], ["f"], {}), ("DequantizeLinear", ["f", "t", "v"], ["r"], {}),
        ("Relu", ["r"], ["h"], {}), ("QuantizeLinear", ["h", "s", "z"], ["y"], {}),
    ]  # fmt: skip
    model = qdq(nodes, {"v": np.int8(3)}, inputs=[x], output=(TensorProto.UINT8, "y"))
    graph = loaded(model).graph
    x, y = graph.tensors["x"], graph.tensors["y"]
    assert (x.stored, x.qtype.scale, x.qtype.zero) == ("INT8", (0.5,), 3)
    assert (y.stored, y.qtype.signed, y.qtype.zero) == ("UINT8", False, 128)


def refused(error, text, middle, constants=None, **options):
    return pytest.param(error, text, middle, constants, options, id=text[:40])


SCALES = [(0.0, "0"), (-1.0, "-1"), (np.nan, "nan"), (np.inf, "inf")]


@pytest.mark.parametrize(("error", "text", "middle", "held", "options"), [
    *(refused(ModelError, f"has the value {text}", [Q, DQ], {"s": np.float32(v)}) for v, text in SCALES),
    *(refused(ModelError, f"has the value {text}", dense(["w", "b"]), {"w": W, "b": np.float32(v)}) for v, text in SCALES),
    refused(ModelError, "do not fit", [Q, DQ], {"z": np.uint8([1, 2])}),
    refused(ModelError, "the zero point of DequantizeLinear is INT8", [Q, ("DequantizeLinear", ["q", "s", "v"], ["y"], {})],
            {"v": np.int8(1)}),
    refused(ModelError, "the zero point of DequantizeLinear is float", [Q, ("DequantizeLinear", ["q", "s", "s"], ["y"], {})]),
    refused(ModelError, "must be one of INT8", [("DequantizeLinear", ["x", "s"], ["y"], {})]),
    refused(ModelError, "which holds UINT8", [Q, ("QuantizeLinear", ["q", "s", "z"], ["p"], {}), DQ_P]),
    refused(UnsupportedError, "of a computed tensor with 6 scales", [("QuantizeLinear", ["x", "u"], ["q"], {}), DQ],
            {"u": np.ones(6, np.float32)}),
    refused(ModelError, "does not fit", dense(["w", "u"], {"axis": 1}), {"w": W, "u": np.ones(5, np.float32)}),
    refused(ModelError, "does not fit", dense(["w", "u"], {"axis": 7}), {"w": W, "u": np.ones(4, np.float32)}),
    refused(UnsupportedError, "block_size=2", dense(["w", "u"], {"axis": 0, "block_size": 2}),
            {"w": W, "u": np.ones((3, 4), np.float32)}),
    refused(UnsupportedError, "the scale of QuantizeLinear is not a constant", [("QuantizeLinear", ["x", "x", "z"], ["q"], {}), DQ]),
    refused(UnsupportedError, "Clip of the integers 'q'", [Q, ("Relu", ["q"], ["p"], {}), DQ_P]),
    refused(UnsupportedError, "chooses a scale anew", [("DynamicQuantizeLinear", ["x"], ["q", "a", "b"], {}), DQ]),
    refused(UnsupportedError, "QuantizeLinear to FLOAT8E4M3FN", [("QuantizeLinear", ["x", "s"], ["q"], FLOAT8), DQ]),
    refused(ModelError, "output_dtype is INT8, the zero point UINT8", [(*Q[:3], {"output_dtype": TensorProto.INT8}), DQ]),
    refused(ModelError, "must be one of INT8", dense(["w", "t"]), {"w": np.ones((6, 4), np.int64)}),
    refused(UnsupportedError, "the weight of QLinearMatMul is not a constant",
            [Q, ("QLinearMatMul", ["q", "s", "z", "q", "s", "z", "s", "z"], ["p"], {}), DQ_P]),
    refused(ModelError, "the input of QLinearMatMul holds float32",
            [("QLinearMatMul", ["x", "s", "z", "w", "s", "v", "s", "z"], ["q"], {}), DQ], HELD),
    refused(ModelError, "QLinearMatMul has 7 inputs", [Q, ("QLinearMatMul", ["q", "s", "z", "w", "s", "v", "s"], ["p"], {}), DQ_P],
            HELD),
    refused(UnsupportedError, "unsupported operator QGemm", [Q, ("QGemm", ["q", "s", "z", "w", "s", "v"], ["y"], {})], HELD),
    refused(UnsupportedError, "alpha=2", [Q, ("QGemm", ["q", "s", "z", "w", "s", "v"], ["y"], {"alpha": 2.0, "domain": "com.microsoft"})],
            HELD),
])  # fmt: skip
def test_one_clear_error(error, text, middle, held, options):
    with pytest.raises(error) as caught:
        loaded(qdq(middle, held, **options))
    assert text in str(caught.value)


def test_a_declared_output_of_the_wrong_integers():
    with pytest.raises(ModelError, match="declared as INT8, the graph computes UINT8"):
        loaded(qdq([(*Q[:2], ["y"], {})], output=(TensorProto.INT8, "y")))
