"""L4: every layer equals onnxruntime's but where a tie is within float noise, and nothing else gets through."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import hwcomp
from hwcomp import cli, samples
from hwcomp.errors import UnsupportedError, UsageError, WorkFailed
from hwcomp.export import integers
from hwcomp.export.qdq import export
from hwcomp.lower.build import lower
from hwcomp.verify import teacher
from hwcomp.verify._exact import exact
from hwcomp.verify._qdq_layers import layers
from hwcomp.verify.engine import Built
from hwcomp.verify.reference import run_program
from sw_ref.program import Program
from tests.models import ROOT, SPINE, model, op_cases, quantized, shared, spine, values
from tests.products import stress
from tests.strategies import chain

CASES = op_cases()
DIGITS = ROOT / "examples" / "digits_cnn"


def built(folder, graph, program, bits=31):
    """What teacher_forced needs of a product."""
    (folder / teacher.MODEL).write_bytes(export(graph, program, "net", bits))
    return Built(folder, {"options": {"requantize_bits": bits}}, program)


def net():
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 0, 2, 1], "strides": [2, 1], "group": 2}),
        ("Relu", ["c"], ["r"], {}), ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2]}), ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "k"], ["y"], {}),
    ]  # fmt: skip
    more = {"w": values("w", 4, 2, 3, 3), "b": values("b", 4), "k": values("k", 4 * 4 * 5, 5)}
    return model(nodes, {"x": (1, 4, 9, 7)}, more)


@pytest.fixture
def product(tmp_path):
    graph, _ = quantized(net(), input_ranges={"x": (-0.2, 3.0)})
    return built(tmp_path, graph, lower(graph).program)


def changed(program, kind, change) -> Program:
    """The Program with `change(kernel)` instead of the first kernel of that kind."""
    kernels = list(program.kernels)
    index = next(i for i, k in enumerate(kernels) if k.kind == kind)
    kernels[index] = change(kernels[index])
    return Program(program.inputs, program.outputs, program.edges, tuple(kernels))


def with_constant(name, change):
    return lambda k: replace(k, constants={**k.constants, name: change(k.constants[name].astype(np.int64))})


def check(product, count=200):
    return teacher.teacher_forced(product, samples.random_stored(product.program, count))


# --- what must pass ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [31, 12])
@pytest.mark.parametrize(("label", "case"), CASES, ids=[i for i, _ in CASES])
def test_every_operator(label, case, bits, tmp_path):
    try:
        graph, _ = quantized(case.model, input_ranges=case.ranges)
        lowered = lower(graph, bits)
    except UnsupportedError:
        return
    graph, program = lowered.graph, lowered.program
    report = check(built(tmp_path, graph, program, bits))
    assert report.passed, [c for c in report.layers if not c.passed]
    if integers.needed(graph):  # no layer of its own: the outputs of the whole, to the bit
        assert [(c.tensor, c.differing) for c in report.layers] == [(n, 0) for n in program.outputs]
        return
    assert {c.tensor for c in report.layers} == set(program.edges) - set(program.inputs)
    wide = any(e.bits > 8 for e in program.edges.values())  # between the kernels of a LogSoftmax
    assert {c.mode for c in report.layers} == ({"off"} if wide else {"off", "on"})
    assert all(c.outputs == 200 * program.edges[c.tensor].size for c in report.layers)
    assert all(e.agreeing >= 190 for e in report.ends)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed, tmp_path):
    c, bits = chain(seed), (31, 31, 16, 9)[seed % 4]
    graph, _ = quantized(c.proto, input_ranges={"x": c.interval}, passes={"calibrate": {"samples": 8}})
    lowered = lower(graph, bits)
    graph, program = lowered.graph, lowered.program
    report = teacher.teacher_forced(built(tmp_path, graph, program, bits), stress(program))
    assert report.passed, [c for c in report.layers if not c.passed]


@pytest.mark.parametrize("name", SPINE)
def test_the_spine(name, tmp_path):
    data = np.load(shared("data", "mnist.npz"))
    train, test = ((data[k].astype(np.float32) / np.float32(255))[:, None] for k in ("x_train", "x_test"))
    hwcomp.compile(spine(name), tmp_path / "p", target="mcu", calibration={"input": train[:100]}, logits=True)
    report = hwcomp.verify_l4(tmp_path / "p", {"input": test[:50]})
    assert report.passed, [c for c in report.layers if not c.passed]
    assert sum(c.differing for c in report.layers) < 1e-5 * sum(c.outputs for c in report.layers)
    assert all(e.agreeing == 50 for e in report.ends)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "p"
    calibration = dict(np.load(DIGITS / "calibration.npz"))
    hwcomp.compile(DIGITS / "digits_cnn.onnx", folder, target="mcu", calibration=calibration)
    return folder


def test_the_example(digits, capsys):
    assert cli.main(["verify", str(digits), "-i", str(DIGITS / "test.npz"), "--l4", "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == "passed" and report["samples"] == 450
    assert len(report["layers"]) == 14 and all(c["passed"] for c in report["layers"])
    assert all(e["agreeing"] >= 449 for e in report["end_to_end"])
    assert cli.main(["verify", str(digits), "--l4"]) == 0
    assert "layer outputs differ from onnxruntime's" in capsys.readouterr().out


# --- what must not ----------------------------------------------------------------------------------------------------

WRONG = {
    "multiplier": ("dense", with_constant("multiplier", lambda m: m + m // 200)),
    "bias": ("conv2d", with_constant("bias", lambda b: b + 200)),
    "weight": ("conv2d", with_constant("weight", lambda w: np.where(np.arange(w.size).reshape(w.shape) == 5, -w, w))),
    "clamp": ("conv2d", lambda k: replace(k, params={**k.params, "requantize": {**k.params["requantize"], "hi": 90}})),
    "pad": ("conv2d", lambda k: replace(k, params={**k.params, "pad_value": k.params["pad_value"] + 20})),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_program_is_caught(product, what):
    kind, change = WRONG[what]
    report = check(replace(product, program=changed(product.program, kind, change)))
    bad = [c for c in report.layers if not c.passed]
    assert not report.passed
    assert {c.kind for c in bad} == {kind}  # teacher-forced: the layers behind it stay right
    assert {c.mode for c in bad} == {"off", "on"}
    assert all(c.unexplained and c.first.program != c.first.onnxruntime and c.first.exact is not None for c in bad)


def test_a_wrong_constant_channel_is_caught(tmp_path):
    """Channels that give the same result for every input, among others; each constant is changed by one step."""
    weight = values("w", 6, 3, 3, 3)
    weight[0] *= np.float32(1e-30)
    weight[1] = 0
    bias = np.array([0.5, -0.25, 0, 0, 0, 0], np.float32)
    proto = model([("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 3, 6, 6)}, {"w": weight, "b": bias})
    graph, _ = quantized(proto)
    program = lower(graph).program
    kernel, shift = program.kernels[0], program.kernels[0].params["requantize"]["shift"]
    constant = ~kernel.constants["weight"].reshape(6, -1).any(axis=1)
    assert constant[:2].all() and not constant[2:].any()
    assert check(built(tmp_path, graph, program)).passed
    step = np.where(constant, (1 << shift) // np.maximum(kernel.constants["multiplier"], 1).astype(np.int64), 0)
    wrong = changed(program, "conv2d", with_constant("bias", lambda b: b + step))
    edges = {**program.edges, "y": replace(program.edges["y"], lo=-128, hi=127)}
    wrong = Program(program.inputs, program.outputs, edges, wrong.kernels)
    bad = [c for c in check(built(tmp_path, graph, wrong)).layers if not c.passed]
    assert [c.differing for c in bad] == [2 * 16 * 200] * 2 and all(c.largest == 1 for c in bad)


def test_a_wrong_multiplier_does_not_hide_in_the_export(tmp_path):
    """The Program was wrong before the model was written."""
    graph, _ = quantized(net(), input_ranges={"x": (-0.2, 3.0)})
    program = changed(lower(graph).program, *WRONG["multiplier"])
    assert not check(built(tmp_path, graph, program)).passed


@pytest.mark.parametrize("entry", [3, 20])
def test_a_wrong_exponential_is_found(entry, tmp_path):
    graph, _ = quantized(model([("Softmax", ["x"], ["y"], {})], {"x": (1, 3)}), input_ranges={"x": (-4.0, 4.0)})
    program = lower(graph).program
    wrong = changed(program, "softmax", with_constant("exp", lambda t: t + (np.arange(len(t)) == entry) * t // 25))
    rng = np.random.default_rng(0)
    for p, passed in ((program, True), (wrong, False)):
        stored = {"x": rng.integers(60, 90, (500, 3)).astype(np.int8)}
        assert teacher.teacher_forced(built(tmp_path, graph, p), stored).passed == passed


def test_a_selection_may_not_differ_at_all(product):
    proto = onnx.load_model(product.dir / teacher.MODEL)
    pool = next(n for n in proto.graph.node if n.op_type == "MaxPool")
    pool.op_type = "LpPool"
    del pool.attribute[next(i for i, a in enumerate(pool.attribute) if a.name == "dilations")]
    (product.dir / teacher.MODEL).write_bytes(proto.SerializeToString())
    bad = [c for c in check(product).layers if not c.passed]
    assert [(c.tensor, c.first.exact) for c in bad] == [(bad[0].tensor, None)] * 2
    assert bad[0].unexplained == 100  # no more are looked at


def scaled(folder, suffix, factor):
    """Change a scale in the stored model."""
    proto = onnx.load_model(folder / teacher.MODEL)
    constant = next(c for c in proto.graph.initializer if c.name.endswith(suffix))
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * np.float32(factor), constant.name))
    (folder / teacher.MODEL).write_bytes(proto.SerializeToString())


def test_a_scale_that_is_slightly_off_is_caught(product):
    scaled(product.dir, "y__scale", 1 + 1e-4)
    report = check(product, 2000)
    assert {c.tensor for c in report.layers if not c.passed} == {"y"}
    assert max(c.largest for c in report.layers) == 1


# --- exact values -----------------------------------------------------------------------------------------------------


def test_exact_values_are_those_of_the_definition(product):
    """The convolution once more, as a sum over rationals."""
    program = product.program
    proto = onnx.load_model(product.dir / teacher.MODEL)
    taps = run_program(program, samples.random_stored(program, 2), taps=True)
    cut = layers(proto, program)[0]
    form = exact(cut, [taps[n] for n in cut.inputs])
    constants = {c.name: numpy_helper.to_array(c) for c in proto.graph.initializer}
    w, sw = (constants[f"{cut.tensor}__weight_q{s}"] for s in ("", "_scale"))
    b, sb = (constants[f"{cut.tensor}__bias_q{s}"] for s in ("", "_scale"))
    x, y = program.edges["x"], program.edges[cut.tensor]
    padded = np.pad(taps["x"].astype(int) - x.zero, ((0, 0), (0, 0), (1, 2), (0, 1)))
    for index in ((0, 0, 0, 0), (1, 3, 4, 5), (0, 2, 2, 3), (1, 1, 4, 0)):
        n, m, i, j = index
        window = padded[n, 2 * (m // 2) : 2 * (m // 2) + 2, 2 * i : 2 * i + 3, j : j + 3]
        real = sum(
            Fraction(float(x.scale)) * int(p) * int(q) * Fraction(float(sw[m]))
            for p, q in zip(window.ravel(), w[m].ravel(), strict=True)
        )
        real = max(real + int(b[m]) * Fraction(float(sb[m])), Fraction(0))
        want = min(max(real / Fraction(float(y.scale)) + y.zero, Fraction(-128)), Fraction(127))
        assert form.at(index) == want
        assert abs(want - int(taps[cut.tensor][index])) <= Fraction(1, 2) + Fraction(form.noise(index))
        assert 0 < form.noise(index) < 1e-3


@pytest.mark.parametrize("kind", ["conv2d", "dense"])
def test_float_noise_stays_inside_its_bound(product, kind):
    """The real values that onnxruntime rounds, beside the exact ones."""
    program = product.program
    proto = onnx.load_model(product.dir / teacher.MODEL)
    taps = run_program(program, samples.random_stored(program, 50), taps=True)
    tensor = next(k.outputs[0] for k in program.kernels if k.kind == kind)
    cut = next(c for c in layers(proto, program) if c.tensor == tensor)
    given = [taps[n] for n in cut.inputs]
    form = exact(cut, given)
    last = cut.model.graph.node[-1]
    assert last.op_type == "QuantizeLinear"
    cut.model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    del cut.model.graph.node[-1]
    real = teacher._run(teacher._session(cut.model, "off", "it"), given, cut.batched)[0]
    edge, worst = program.edges[tensor], 0.0
    for index in np.random.default_rng(0).integers(0, real.shape, (2000, real.ndim)):
        where = tuple(int(i) for i in index)
        away = abs(Fraction(float(real[where])) - form.form.value(where)) / Fraction(float(edge.scale))
        if form.noise(where):
            worst = max(worst, float(away) / form.noise(where))
    assert 0.01 < worst < 0.7


def test_exact_ties_are_explained(tmp_path):
    """Steps twice as large behind a Clip: every odd integer is a tie; the Program rounds it up, ONNX to even."""
    graph, _ = quantized(model([("Clip", ["x", "lo"], ["y"], {})], {"x": (1, 40)}, {"lo": np.float32(-50)}))
    x = graph.tensors["x"].qtype
    y = replace(x, scale=(2 * x.scale[0],))
    graph = graph.with_(tensors={**graph.tensors, "y": graph.tensors["y"].with_(qtype=y)})
    report = check(built(tmp_path, graph, lower(graph).program))
    assert report.passed
    for c in report.layers:
        assert 0.2 < c.differing / c.outputs < 0.3 and c.largest == 1 and c.distance == 0.0


# --- use --------------------------------------------------------------------------------------------------------------


def test_a_failed_check_exits_with_1_and_says_where(digits, tmp_path, capsys):
    shutil.copytree(digits, tmp_path / "p")
    scaled(tmp_path / "p", "scores__scale", 1.01)
    assert cli.main(["verify", str(tmp_path / "p"), "--l4", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "tensor 'scores', optimizations off: sample" in out and "2 of 14 layer checks failed" in out


def test_wrong_use_exits_with_2(digits, tmp_path, capsys):
    assert cli.main(["verify", str(digits), "--l4", "--engines", "c"]) == 2
    assert cli.main(["verify", str(digits), "--l4", "--limit", "c=3"]) == 2
    shutil.copytree(digits, tmp_path / "p")
    (tmp_path / "p" / teacher.MODEL).write_bytes(b"\xff\xff\xff")
    assert cli.main(["verify", str(tmp_path / "p"), "--l4"]) == 2
    (tmp_path / "p" / teacher.MODEL).unlink()
    assert cli.main(["verify", str(tmp_path / "p"), "--l4"]) == 2
    assert "model.qdq.onnx is missing" in capsys.readouterr().err


def test_a_model_of_another_program_is_refused(product):
    proto = onnx.load_model(product.dir / teacher.MODEL)
    del proto.graph.node[-1]
    (product.dir / teacher.MODEL).write_bytes(proto.SerializeToString())
    with pytest.raises(WorkFailed, match="does not have tensor 'y'"):
        check(product)


def test_progress_and_chunks(product, monkeypatch):
    whole = check(product, 50)
    monkeypatch.setattr(teacher, "_BATCH_ELEMENTS", 1)
    seen = []
    stored = samples.random_stored(product.program, 50)
    parts = teacher.teacher_forced(product, stored, lambda name, total: seen.append((name, total)) or seen.append)
    assert seen == [("onnxruntime", 50), *[1] * 50]
    assert [(c.outputs, c.differing) for c in parts.layers] == [(c.outputs, c.differing) for c in whole.layers]


def test_missing_inputs_are_a_usage_error(digits):
    with pytest.raises(UsageError):
        hwcomp.verify_l4(digits, {"nothing": np.zeros((1, 1), np.float32)})
