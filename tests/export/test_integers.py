"""Few-bit Programs as ONNX models on integers: onnxruntime gives the Program's outputs, to the bit."""

import numpy as np
import onnxruntime
import pytest

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.errors import UnsupportedError
from hwcomp.options import CompileOptions
from hwcomp.verify.reference import run_program
from hwcomp.verify.teacher import teacher_forced
from tests.models import model, saved, values

F = np.float32


def net(tail):
    """A float Conv with pads in front of a Sign (20 bits by 20 bits), a binary Conv, and `tail` on its map t."""
    constants = {
        "w": values("w", 5, 2, 3, 3), "v": np.sign(values("v", 6, 5, 2, 2)), "s": values("s", 6), "b": values("b", 6),
        "m": values("m", 6), "k": np.abs(values("k", 6)) + F(0.5), "g": values("g", 4, 54),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 0, 1, 0]}), ("Sign", ["c"], ["q"], {}),
        ("Conv", ["q", "v"], ["h"], {"pads": [0, 1, 0, 0]}), ("BatchNormalization", ["h", "s", "b", "m", "k"], ["t"], {}),
        *tail,
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 6, 7)}, constants)


TAILS = {
    "pool": [("MaxPool", ["t"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]})],
    "average": [("AveragePool", ["t"], ["y"], {"kernel_shape": [3, 2], "pads": [1, 1, 0, 0], "count_include_pad": 0})],
    "table and product": [("Sigmoid", ["t"], ["e"], {}), ("Mul", ["t", "e"], ["u"], {}), ("Add", ["u", "t"], ["y"], {})],
    "softmax": [("Softmax", ["t"], ["y"], {"axis": 1})],
    "class": [("Flatten", ["t"], ["f"], {}), ("ArgMax", ["f"], ["y"], {"axis": 1})],
    "parts": [("Transpose", ["t"], ["u"], {"perm": [0, 2, 3, 1]}), ("Relu", ["u"], ["r"], {}), ("Concat", ["r", "u"], ["y"], {"axis": 3})],
}  # fmt: skip


@pytest.mark.parametrize("label", TAILS)
def test_outputs_are_those_of_the_program(label, tmp_path):
    proto = net(TAILS[label])
    if label == "class":
        proto.graph.output[0].type.tensor_type.elem_type = 7
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2, 6, 7)).astype(F)
    options = CompileOptions(("mcu",), calibration={"x": x}, name="net")
    built = compile_model(saved(proto, tmp_path / "net.onnx"), tmp_path / "out", options)
    program = built.program
    assert any(e.bipolar for e in program.edges.values())
    stored = samples.to_stored(program, {"x": x})
    want = run_program(program, stored)["y"]
    session = onnxruntime.InferenceSession(str(built.dir / "model.qdq.onnx"), providers=["CPUExecutionProvider"])
    got = session.run(["y"], {"x": x})[0]
    assert np.array_equal(got, want if label == "class" else program.edges["y"].to_real(want))
    report = teacher_forced(built, stored)
    assert report.passed
    assert report.layers[0].outputs == want.size


def test_a_program_that_differs_is_noticed(tmp_path):
    """Other thresholds: the model of the product disagrees."""
    from dataclasses import replace

    x = np.random.default_rng(0).uniform(-1, 1, (40, 2, 6, 7)).astype(F)
    options = CompileOptions(("mcu",), calibration={"x": x}, name="net")
    built = compile_model(saved(net(TAILS["pool"]), tmp_path / "net.onnx"), tmp_path / "out", options)
    first, *others = built.program.kernels
    wrong = replace(
        first, constants={**first.constants, "threshold": first.constants["threshold"].astype(np.int64) + (1 << 36)}
    )
    changed = replace(built, program=replace(built.program, kernels=(wrong, *others)))
    assert not teacher_forced(changed, samples.to_stored(built.program, {"x": x})).passed


def test_a_recurrent_layer_beside_few_bits_is_refused_by_name(tmp_path):
    """Its rounding between steps has no form in ONNX; dense layers behind it take few bits where all asked for is --quant int4."""
    shapes = {"w": (1, 16, 3), "r": (1, 16, 4), "b": (1, 32), "v": (4, 5)}
    nodes = [
        ("LSTM", ["x", "w", "r", "b"], ["h"], {"hidden_size": 4}, "memory"), ("Squeeze", ["h", "one"], ["s"], {}),
        ("MatMul", ["s", "v"], ["y"], {}),
    ]  # fmt: skip
    constants = {n: values(n, *shape) for n, shape in shapes.items()} | {"one": np.array([1])}
    path = saved(model(nodes, {"x": (5, 1, 3)}, constants), tmp_path / "net.onnx")
    with pytest.raises(UnsupportedError, match=r"lstm kernel .* at node 'memory'.*--quant int8"):
        compile_model(path, tmp_path / "out", CompileOptions(("mcu",), quant="int4"))
    compile_model(path, tmp_path / "out", CompileOptions(("mcu",), quant="int16"))
