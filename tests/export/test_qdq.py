"""model.qdq.onnx: legal ONNX that onnxruntime runs, with the integers that were compiled, under the model's names."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from hwcomp.errors import UnsupportedError
from hwcomp.export.operands import compiled_scales
from hwcomp.export.qdq import export
from hwcomp.lower.build import lower
from hwcomp.ops.base import Op
from hwcomp.samples import random_stored
from hwcomp.types import Node
from hwcomp.verify.reference import run_program
from sw_ref.program import Program
from tests.models import model, op_cases, quantized, saved, values

CASES = op_cases()


def compiled(proto, bits=31, **options):
    """ModelProto -> (quantized graph, Program, exported bytes)."""
    graph, _ = quantized(proto, logits=True, **options)
    lowered = lower(graph, bits)
    graph, program = lowered.graph, lowered.program
    return graph, program, export(graph, program, "net", bits)


def run(data, program, stored):
    """onnxruntime without optimizations on real inputs -> stored integers of every output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {n: program.edges[n].to_real(stored[n]) for n in program.inputs}
    values = dict(zip(program.outputs, session.run(list(program.outputs), feed), strict=True))
    return {n: a if a.dtype == np.int64 else program.edges[n].from_real(a) for n, a in values.items()}


def constants(data):
    return {c.name: numpy_helper.to_array(c) for c in onnx.load_model_from_string(data).graph.initializer}


def agree(data, program, stored):
    """Fraction of equal output integers; none is farther away than one step."""
    want, got = run_program(program, stored), run(data, program, stored)
    away = np.concatenate([np.abs(got[n].astype(int) - want[n].astype(int)).ravel() for n in want])
    assert away.max() <= 1
    return float((away == 0).mean())


@pytest.mark.parametrize("case", [c for _, c in CASES], ids=[i for i, _ in CASES])
def test_every_operator_is_exported_and_computes_the_program(case):
    try:
        _, program, data = compiled(case.model, input_ranges=case.ranges)
    except UnsupportedError as error:
        assert "model.qdq.onnx" not in str(error)
        return
    proto = onnx.load_model_from_string(data)
    onnx.checker.check_model(proto, full_check=True)
    if any(p.value == "integers" for p in proto.metadata_props):  # test_integers.py
        assert agree(data, program, random_stored(program, 100)) == 1
        return
    wide = any(c.data_type in (onnx.TensorProto.INT16, onnx.TensorProto.UINT16) for c in proto.graph.initializer)
    assert (proto.opset_import[0].version, proto.ir_version) == ((21, 10) if wide else (13, 7))
    for have, want in ((proto.graph.input, case.model.graph.input), (proto.graph.output, case.model.graph.output)):
        assert [v.name for v in have] == [v.name for v in want]
        assert [v.type.tensor_type.elem_type for v in have] == [v.type.tensor_type.elem_type for v in want]
    made = {n.output[0]: n.op_type for n in proto.graph.node}
    for name in program.edges:
        if name not in (*program.inputs, *program.outputs):
            assert made[name] in ("QuantizeLinear", "ArgMax")
    assert agree(data, program, random_stored(program, 100)) > 0.999


def dead_channels():
    """A convolution some of whose channels have no effect, or weights far below the others'."""
    weight = values("dead", 6, 3, 3, 3)
    for channel, factor in enumerate((1e-30, 1e-4, 0, 1e-5)):
        weight[channel] *= factor
    bias = np.array([0.5, 0.1, -3, 100, 0, 0], np.float32)
    return model([("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 3, 6, 6)}, {"w": weight, "b": bias})


def test_channels_folded_into_constants_are_exported_as_such():
    _, program, data = compiled(dead_channels())
    weight = program.kernels[0].constants["weight"]
    folded = ~weight.reshape(6, -1).any(axis=1)
    assert folded[[0, 2]].all() and not folded.all()
    assert (constants(data)["y__weight_q"] == weight).all()
    assert constants(data)["y__bias_q"].dtype == np.int32
    assert agree(data, program, random_stored(program, 200)) == 1.0


def net(**attrs):
    """Conv -> Clip -> MaxPool -> Flatten -> Gemm, off centre, so that zero points matter."""
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1], **attrs}), ("Clip", ["c", "lo", "hi"], ["r"], {}),
        ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "k"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    more = {"w": values("w", 4, 2, 3, 3), "k": values("k", 5, 36), "lo": np.float32(-0.5), "hi": np.float32(3)}
    return model(nodes, {"x": (1, 2, 6, 6)}, more)


@pytest.mark.parametrize("bits", [31, 16, 10, 8])
def test_coarse_multipliers_are_in_the_model(bits):
    graph, program, data = compiled(net(), bits, input_ranges={"x": (-0.2, 3.0)})
    stored = random_stored(program, 500)
    assert agree(data, program, stored) > 0.999
    if bits < 12:
        assert export(graph, program, "net", 31) != data
        assert agree(export(graph, program, "net", 31), program, stored) < 0.999


def test_scales_follow_a_rounded_multiplier_and_no_wrong_one():
    nominal, one = np.array([1.0, 0.75, 2.0**-12], np.float32), np.float32(1)
    exact = np.rint(np.ldexp(nominal.astype(np.float64), 30)).astype(np.int64)
    assert (compiled_scales(nominal, one, one, exact, 30, 31) == nominal).all()
    rounded = np.array([128, 96, 0])
    assert compiled_scales(nominal, one, one, rounded, 7, 8).tolist() == [1.0, 0.75, 0.0]
    assert compiled_scales(nominal * np.float32(1.001), one, one, rounded, 7, 8)[:2].tolist() == [1.0, 0.75]
    wrong = np.array([128, 97, 0])
    assert compiled_scales(nominal, one, one, wrong, 7, 8)[1] == np.float32(0.75)
    # Powers of two end at a multiplier of 1; that is not a licence for a scale that is 3 % away.
    assert compiled_scales(np.array([1.03], np.float32), one, one, np.array([1]), 0, 31)[0] == np.float32(1.03)


def test_a_bias_beyond_int32_is_exported_as_float():
    graph, program, data = compiled(dead_channels())
    assert constants(data)["y__bias_q"].dtype == np.int32
    kernel = program.kernels[0]
    bias = kernel.constants["bias"].astype(np.int64)
    live = int(np.flatnonzero(kernel.constants["weight"].reshape(6, -1).any(axis=1))[0])
    bias[live] = 1 << 40
    changed = replace(kernel, constants={**kernel.constants, "bias": bias})
    data = export(graph, Program(program.inputs, program.outputs, program.edges, (changed,)), "net")
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    assert constants(data)["y__bias"].dtype == np.float32
    assert constants(data)["y__bias"][live] > 1e3


def test_a_type_that_the_model_cannot_hold_is_refused_by_name():
    graph, program, _ = compiled(net(), input_ranges={"x": (-0.2, 3.0)})
    edges = {**program.edges, "f": replace(program.edges["f"], bits=20, lo=0, hi=1, zero=0)}
    with pytest.raises(UnsupportedError, match="signed 20-bit tensor 'f' can't be written"):
        export(graph, Program(program.inputs, program.outputs, edges, program.kernels), "net")


def test_an_operator_without_export_is_refused_by_name():
    op = Op()
    op.name = "Foo"
    with pytest.raises(UnsupportedError, match=r"operator Foo can't be written .* at node 'here'"):
        op.export(Node("Foo", "n", ("x",), ("y",), origin=("here",)), None)


def test_unsigned_tensors_are_exported():
    graph, program, _ = compiled(net(), input_ranges={"x": (-0.2, 3.0)})
    up = {}
    for name, edge in program.edges.items():
        up[name] = replace(edge, signed=False, lo=edge.lo + 128, hi=edge.hi + 128, zero=edge.zero + 128)
    data = export(graph, Program(program.inputs, program.outputs, up, program.kernels), "net")
    zeros = [c for n, c in constants(data).items() if n.endswith("__zero_point")]
    assert len(zeros) == len(up) and all(z.dtype == np.uint8 for z in zeros)


def test_pads_that_onnxruntime_refuses_become_a_pad():
    pool = {"kernel_shape": [2, 2], "dilations": [3, 3], "pads": [2, 2, 2, 2]}
    proto = model([("MaxPool", ["x"], ["y"], pool)], {"x": (1, 2, 8, 8)})
    _, program, data = compiled(proto, input_ranges={"x": (-1.0, 1.0)})
    assert "Pad" in [n.op_type for n in onnx.load_model_from_string(data).graph.node]
    assert agree(data, program, random_stored(program, 50)) == 1.0


def test_a_model_without_batch_axis_has_none_here():
    proto = model([("MatMul", ["x", "w"], ["y"], {})], {"x": (6,)}, {"w": values("w", 6, 5)})
    _, _, data = compiled(proto)
    shape = onnx.load_model_from_string(data).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [6]


def test_several_outputs_and_readers():
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}), ("Relu", ["c"], ["y"], {}), ("Flatten", ["c"], ["z"], {}),
        ("ArgMax", ["z"], ["i"], {"axis": 1}),
    ]  # fmt: skip
    more, types = {"w": values("w", 4, 2, 3, 3)}, {"i": "int64"}
    proto = model(nodes, {"x": (1, 2, 6, 6)}, more, outputs=("y", "z", "c", "i"), types=types)
    _, program, data = compiled(proto)
    graph = onnx.load_model_from_string(data).graph
    assert [o.name for o in graph.output] == ["y", "z", "c", "i"]
    assert graph.output[3].type.tensor_type.elem_type == TensorProto.INT64
    assert agree(data, program, random_stored(program, 50)) == 1.0


HOSTILE = [
    ("x", "y"),
    ('x\n"*/`\\', "日本 %s{}"),
    ("y__quantized", "y"),
    ("h__scale", "h__Relu"),
    ("\u202e", " "),
    ("a/b", "../c"),
]


@pytest.mark.parametrize(("first", "last"), HOSTILE)
@pytest.mark.parametrize("middle", ["h", "mid\0dle", "x__quantized", "h__DequantizeLinear", "é" * 300])
def test_any_name_is_legal(first, middle, last):
    flat = f"{middle}__zero_point"
    nodes = [
        ("Conv", [first, "w"], ["c"], {}), ("Relu", ["c"], [middle], {}), ("Flatten", [middle], [flat], {}),
        ("Gemm", [flat, "k"], [last], {"transB": 1}),
    ]  # fmt: skip
    more = {"w": values("w", 4, 2, 3, 3), "k": values("k", 5, 64)}
    _, program, data = compiled(model(nodes, {first: (1, 2, 6, 6)}, more, outputs=(last,)))
    proto = onnx.load_model_from_string(data)
    assert proto.graph.input[0].name == first and proto.graph.output[0].name == last
    assert middle in {n.output[0] for n in proto.graph.node}
    assert agree(data, program, random_stored(program, 20)) > 0.99


def test_the_same_program_gives_the_same_bytes(tmp_path):
    import hwcomp

    path = saved(net(), tmp_path / "net.onnx")
    for folder in ("a", "b"):
        built = hwcomp.compile(path, tmp_path / folder, target="mcu", input_ranges={"x": (-0.2, 3.0)})
    data = (tmp_path / "a" / "model.qdq.onnx").read_bytes()
    assert data == (tmp_path / "b" / "model.qdq.onnx").read_bytes()
    assert "model.qdq.onnx" in [f["path"] for f in built.manifest["files"]]
    props = {p.key: p.value for p in onnx.load_model_from_string(data).metadata_props}
    assert props == {"program_sha256": built.program.sha256()}
