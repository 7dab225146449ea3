"""L3 and L4: the already quantized networks of the folder `shared`, with the types that they state."""

import functools

import numpy as np
import onnx
import pytest

import hwcomp
from hwcomp.samples import to_stored
from hwcomp.verify import compare, engines
from hwcomp.verify.evaluate import decisions, evaluate
from hwcomp.verify.float_engine import run_model
from hwcomp.verify.reference import run_program
from sw_ref import numerics as nm
from tests.models import shared
from tests.zoo import prepared, test_images

QDQ = (
    "lenet5_qdq_pc_asym", "lenet5_qdq_pt_sym", "mobilenetv2s_qdq_pc", "resnet8_qdq_pc_asym", "resnet8_qdq_pt_sym",
)  # fmt: skip
QOP = ("lenet5_qop_pt_uint8", "resnet8_qop_pc")
TINY = ("ad_autoencoder_int8", "ic_resnet8_int8", "kws_dscnn_int8", "vww_mobilenet_int8")
ALL = (*QDQ, *QOP, *TINY)
# Fractions of the 10,000 test images that onnxruntime decides right (shared/models/README.md).
ACCURACY = {
    "lenet5_qdq_pc_asym": 0.9923, "lenet5_qdq_pt_sym": 0.9925, "lenet5_qop_pt_uint8": 0.9923,
    "mobilenetv2s_qdq_pc": 0.8711, "resnet8_qdq_pc_asym": 0.9141, "resnet8_qdq_pt_sym": 0.9138, "resnet8_qop_pc": 0.9141,
}  # fmt: skip


def path_of(name):
    return shared("models", "mlperf_tiny" if name in TINY else "qdq", f"{name}.onnx")


@functools.cache
def vectors(name):
    with np.load(shared("vectors", f"{name}.npz")) as data:
        return {key: data[key] for key in data.files}


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    """(name, target, logits) -> Built, compiled once per worker."""

    @functools.cache
    def get(name, target="mcu", logits=False):
        folder = tmp_path_factory.mktemp("quantized") / name
        return hwcomp.compile(path_of(name), folder, target=target, logits=logits)

    return get


def given(built, x):
    """Arrays of a model's own type, or reals, as samples by input name."""
    (name,) = built.program.inputs
    return {name: x.reshape(-1, *built.program.edges[name].shape)}


@pytest.mark.parametrize("name", ALL)
def test_c_on_the_recorded_vectors(product, name):
    built = product(name)
    assert built.manifest["options"]["quant"] == "keep"
    stored = to_stored(built.program, given(built, vectors(name)["x"]))
    for outcome in compare.verify(built, stored, [engines.engine(e) for e in ("reference", "c")]):
        assert (outcome.status, outcome.detail) == ("equal", "")


@pytest.mark.parametrize("name", ["kws_dscnn_int8", "lenet5_qop_pt_uint8", "resnet8_qop_pc"])
def test_verilator(product, name):
    built = product(name, "mcu,fpga")
    stored = to_stored(built.program, given(built, vectors(name)["x"][:2]))
    (outcome,) = compare.verify(built, stored, [engines.engine("verilator")])
    assert (outcome.status, outcome.detail) == ("equal", "")


@pytest.mark.parametrize("name", ALL)
def test_teacher_forced(product, name):
    """Also the layers of the model itself: those of all its integers but for what --logits leaves out."""
    built = product(name)
    report = hwcomp.verify_l4(built.dir, given(built, vectors(name)["x"]))
    assert report.passed, [c for c in report.layers if not c.passed]
    own = {c.tensor for c in report.layers if c.mode.startswith("own model")}
    assert own == {t for t in built.program.edges if t not in built.program.inputs and "__" not in t}


@pytest.mark.parametrize("name", QOP)
def test_integer_operators_equal_onnxruntime_on_the_recorded_vectors(product, name):
    built = product(name)
    (out,) = built.program.outputs
    got = run_program(built.program, to_stored(built.program, given(built, vectors(name)["x"])))[out]
    np.testing.assert_array_equal(built.program.edges[out].to_real(got), vectors(name)["y"])


@pytest.mark.parametrize("name", TINY)
def test_decisions_equal_onnxruntime(product, name):
    built = product(name, logits=True)
    x = vectors(name)["x"]
    (out,) = built.program.outputs
    got = run_program(built.program, to_stored(built.program, given(built, x)))[out]
    np.testing.assert_array_equal(decisions(got, False), vectors(name)["y"].reshape(len(x), -1).argmax(axis=1))


def integer_layers(name):
    """(node of a dot product of integers, its model of one node) of a QOperator network."""
    model = onnx.load(path_of(name))
    for node in model.graph.node:
        if node.op_type in ("QLinearConv", "QGemm"):
            kind = onnx.TensorProto.UINT8
            ins, outs = ([onnx.helper.make_tensor_value_info(n, kind, None)] for n in (node.input[0], node.output[0]))
            held = [t for t in model.graph.initializer if t.name in node.input]
            graph = onnx.helper.make_graph([node], "layer", ins, outs, held)
            yield (
                node,
                onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version),
            )


@pytest.mark.parametrize("name", QOP)
def test_integer_operators_differ_on_named_accumulators_only(product, name):
    """On 1,000 images, each layer on the same integers: zero differing outputs but for what the staircase line names."""
    import json

    import onnxruntime as ort

    built = product(name)
    program = built.program
    report = json.loads((built.dir / "report.json").read_text(encoding="utf-8"))
    named = {layer["output"]: layer["named_accumulators"] for layer in report["layers"]}
    counts = {layer["output"]: layer["differing_accumulators"] for layer in report["layers"]}
    images = prepared(name, test_images(name)[0][:1000])
    taps = run_program(program, to_stored(program, given(built, images)), taps=True)
    seen = 0
    for node, model in integer_layers(name):
        out = node.output[0] if node.output[0] in program.edges else program.outputs[0]
        (kernel,) = (k for k in program.kernels if k.outputs[0] == out)
        x, session = taps[kernel.inputs[0]], ort.InferenceSession(model.SerializeToString())
        theirs = np.concatenate([session.run(None, {node.input[0]: x[i : i + 50]})[0] for i in range(0, len(x), 50)])
        differing = np.argwhere(theirs != taps[out])
        seen += taps[out].size
        if not len(differing):
            continue
        rows = np.unique(differing[:, 0])
        acc = accumulators(kernel, x[rows])
        assert sum(last - first + 1 for _, first, last in named[out]) == counts[out], "the list is cut off"
        for where in differing:
            a, channel = int(acc[(np.searchsorted(rows, where[0]), *where[1:])]), where[1]
            assert any(c == channel and first <= a <= last for c, first, last in named[out]), (out, channel, a)
    assert seen > 4_000_000


def test_sums_differ_on_named_pairs_only(product):
    """QLinearAdd on 1,000 images, in onnxruntime in float32: zero differing outputs but for pairs that the proof names."""
    import json

    import onnxruntime as ort

    name = "resnet8_qop_pc"
    built = product(name)
    program, model = built.program, onnx.load(path_of(name))
    report = json.loads((built.dir / "report.json").read_text(encoding="utf-8"))
    named = {layer["output"]: layer["named_pairs"] for layer in report["layers"]}
    images = prepared(name, test_images(name)[0][:1000])
    taps = run_program(program, to_stored(program, given(built, images)), taps=True)
    held = {t.name: t for t in model.graph.initializer}
    seen = differing = 0
    for node in (n for n in model.graph.node if n.op_type == "QLinearAdd"):
        a, b, out = node.input[0], node.input[3], node.output[0]
        infos = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.UINT8, None) for n in (a, b, out)]
        graph = onnx.helper.make_graph([node], "sum", infos[:2], infos[2:], [held[n] for n in node.input if n in held])
        layer = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        theirs = ort.InferenceSession(layer.SerializeToString()).run(None, {a: taps[a], b: taps[b]})[0]
        assert 0 < len(named[out]) < 1024, "the list is empty, or cut off"
        where = theirs != taps[out]
        assert {*zip(taps[a][where].tolist(), taps[b][where].tolist(), strict=True)} <= set(map(tuple, named[out]))
        seen, differing = seen + theirs.size, differing + int(where.sum())
    assert seen > 5_000_000
    assert differing <= 3


def accumulators(kernel, x):
    p, c = kernel.params, kernel.constants
    if kernel.kind == "dense":
        return nm.dense_accumulate(x, c["weight"], c["bias"], acc_bits=p["acc_bits"])
    return nm.conv2d_accumulate(
        x, c["weight"], c["bias"], strides=p["strides"], dilations=p["dilations"], pads=p["pads"], groups=p["groups"],
        pad_value=p["pad_value"], acc_bits=p["acc_bits"],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sums"), [(QOP[0], 0), (QOP[1], 3)])
def test_all_integer_operators_on_1000_images(product, name, sums):
    """Every layer of the model itself. What differs are accumulators and pairs of a sum that the proof names (the tests above)."""
    built = product(name)
    report = hwcomp.verify_l4(built.dir, given(built, prepared(name, test_images(name)[0][:1000])))
    own = [c for c in report.layers if c.mode.startswith("own model")]
    assert report.passed and sum(c.outputs for c in own) > 19_000_000
    others = [c for c in own if c.kind not in ("conv2d", "dense")]
    assert sum(c.differing for c in others if c.kind == "add") <= sums
    assert not any(c.differing for c in others if c.kind != "add")


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_of_the_whole_test_set(product, name):
    """That of the model itself in onnxruntime, and equal to it within a few images whose two best classes are one step apart."""
    built = product(name)
    images, labels = test_images(name)
    result = evaluate(built, given(built, prepared(name, images)), labels, "c")
    assert result.float_accuracy == pytest.approx(ACCURACY[name], abs=2e-4)
    assert abs(result.accuracy - result.float_accuracy) <= 0.001
    assert result.agreement >= 0.998


@pytest.mark.parametrize("name", ["kws_dscnn_int8", "lenet5_qdq_pt_sym"])
def test_the_float_engine_takes_and_gives_reals(product, name):
    """Whether the model's own inputs and outputs are integers or not."""
    built = product(name)
    data = given(built, vectors(name)["x"])
    (entry,), (out,) = built.program.inputs, built.program.outputs
    x = data[entry]
    real = {entry: x if x.dtype.kind == "f" else built.program.edges[entry].to_real(x)}
    y = run_model(built.dir / "model.onnx", real)[out]
    want = vectors(name)["y_opt"]
    want = want if want.dtype.kind == "f" else built.program.edges[out].to_real(want)
    np.testing.assert_allclose(y, want.reshape(y.shape), rtol=0, atol=1e-6)
