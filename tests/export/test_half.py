"""model.fp16.onnx: legal ONNX that onnxruntime runs, with the results of weights that are rounded to float16."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwcomp.errors import ModelError, UsageError
from hwcomp.export import half
from tests.models import model, op_cases, values

FORMS = ("Resize", "Upsample", "QuantizeLinear", "DequantizeLinear")


def has_weights(proto):
    forms = {n for node in proto.graph.node if node.domain or node.op_type in FORMS for n in node.input}
    return any(
        t.data_type == TensorProto.FLOAT and np.prod(t.dims) > 1 and t.name not in forms
        for t in proto.graph.initializer
    )


def taken(label, proto):
    """Cases with weights that onnxruntime can run: no operators beyond ONNX, no recurrent layers with the batch first."""
    return has_weights(proto) and not any(n.domain for n in proto.graph.node) and not label.endswith("batch first")


CASES = {label: case.model for label, case in op_cases() if taken(label, case.model)}


def run(proto, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def feed_of(proto):
    """Values of the inputs that are no constants."""
    names = {t.name for t in proto.graph.initializer}
    dims = {
        i.name: [d.dim_value or 2 for d in i.type.tensor_type.shape.dim]
        for i in proto.graph.input
        if i.name not in names
    }
    return {n: values(n, *d) for n, d in dims.items()}


def stored(proto):
    """name -> float16 array"""
    found = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT16}
    return {n.output[0]: found[n.input[0]] for n in proto.graph.node if n.op_type == "Cast" and n.input[0] in found}


@pytest.mark.parametrize("label", CASES)
def test_results_are_those_of_rounded_weights(label):
    proto = CASES[label]
    before = proto.SerializeToString(deterministic=True)
    made = onnx.load_from_string(half.export(proto))
    assert proto.SerializeToString(deterministic=True) == before
    rounded = type(proto)()
    rounded.CopyFrom(proto)
    found = stored(made)
    for t in rounded.graph.initializer:
        if t.name in found:
            plain = numpy_helper.to_array(t).astype(np.float16)
            assert np.array_equal(found[t.name], plain)
            t.CopyFrom(numpy_helper.from_array(plain.astype(np.float32), t.name))
    feed = feed_of(proto)
    for have, want in zip(run(made, feed), run(rounded, feed), strict=True):
        assert np.array_equal(have, want)


def dense(w, **more):
    return model([("Gemm", ["x", "w"], ["y"], {}, "fc")], {"x": ("N", len(w))}, {"w": w, **more})


def test_names_that_are_taken_and_constants_that_are_inputs():
    w, other = values("w", 3, 4), values("o", 4)
    proto = model(
        [("Gemm", ["x", "w"], ["w__half"], {}, "fc"), ("Add", ["w__half", "w__cast"], ["y"], {}, "add")],
        {"x": ("N", 3)}, {"w": w, "w__cast": other},
    )  # fmt: skip
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4]))
    proto.ir_version = 3
    made = onnx.load_from_string(half.export(proto))
    assert [i.name for i in made.graph.input] == ["x"]
    x = values("x", 2, 3)
    want = x @ w.astype(np.float16).astype(np.float32) + other.astype(np.float16).astype(np.float32)
    assert np.allclose(run(made, {"x": x})[0], want, atol=1e-6)


def test_a_weight_beyond_the_range_is_refused():
    with pytest.raises(ModelError, match="constant 'w' can't be float16"):
        half.export(dense(np.float32([[1, 70000], [2, 3]])))
    largest = np.float32([[1, 65504], [2, 3]])
    assert stored(onnx.load_from_string(half.export(dense(largest))))["w"].max() == 65504


def test_a_model_without_weights_is_refused():
    with pytest.raises(UsageError, match="without float32 weights"):
        half.export(model([("Relu", ["x"], ["y"], {}, "r")], {"x": ("N", 3)}))
