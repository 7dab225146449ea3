"""Whole networks of few bits: the decisions of the float model, every tensor equal in C, and an independent program."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.options import HLS_DIALECTS, CompileOptions
from hwcomp.verify import compare, engines, hls_host
from hwcomp.verify.c_host import CHost
from hwcomp.verify.m4 import CM4
from hwcomp.verify.reference import run_program
from tests.models import shared
from tests.passes.test_few_bits import data, net

F = np.float32
NETWORKS = {
    "bnn_mlp_mnist": ("bnn", "mnist"), "bnn_cnn_fashion": ("bnn", "fashion_mnist"), "TFC_1W1A": ("qonnx", "mnist"),
    "TFC_1W2A": ("qonnx", "mnist"), "TFC_2W2A": ("qonnx", "mnist"), "kwsmlp_w3a3": ("qonnx", None),
    "qkeras_jettagging": ("qonnx", None),
}  # fmt: skip
_IMAGES = {}


def images(dataset, part):
    """float32 [n, 1, 28, 28] as the models take them; the archives are read once."""
    if dataset not in _IMAGES:
        with np.load(shared("data", f"{dataset}.npz")) as found:
            _IMAGES[dataset] = {"x_train": found["x_train"][:256], "x_test": found["x_test"]}
    x = _IMAGES[dataset][part][:, None].astype(F) / F(255)
    return ((x - F(0.2860)) / F(0.3530)).astype(F) if dataset == "fashion_mnist" else x


def product(name, folder, target="mcu", **options):
    """(Built, vectors, calibration data)."""
    kind, dataset = NETWORKS[name]
    with np.load(shared("vectors", f"{name}.npz")) as found:
        vectors = dict(found)
    data = images(dataset, "x_train") if dataset else vectors["x"]
    path = shared("models", kind, f"{name}.onnx")
    source = onnx.load(path).graph.input[0].name
    built = compile_model(
        path, folder / name, CompileOptions((target,), calibration={source: data}, name="net", **options)
    )
    return built, vectors, data


@pytest.mark.parametrize("name", NETWORKS)
def test_recorded_vectors_and_every_tensor_in_c(name, tmp_path):
    built, vectors, _ = product(name, tmp_path)
    program = built.program
    (source,), (output,) = program.inputs, program.outputs
    stored = samples.to_stored(program, {source: vectors["x"]})
    want = run_program(program, stored, taps=True)
    real = program.edges[output].to_real(want[output]).reshape(len(vectors["y"]), -1)
    recorded = vectors["y"].reshape(real.shape)
    assert np.array_equal(real.argmax(1), recorded.argmax(1))
    spread = np.ptp(recorded)
    assert np.abs(real - recorded).max() < (0.02 if name == "qkeras_jettagging" else 1e-3) * spread
    have = CHost().run(built, stored, taps=True).values
    assert all(np.array_equal(have[n], want[n]) for n in want)
    session = onnxruntime.InferenceSession(str(built.dir / "model.qdq.onnx"), providers=["CPUExecutionProvider"])
    found = session.run([output], {source: vectors["x"]})[0]
    assert np.array_equal(found, program.edges[output].to_real(want[output]))


@pytest.mark.skipif(bool(hls_host.missing()), reason="the open HLS headers are not installed")
@pytest.mark.parametrize("dialect", HLS_DIALECTS)
@pytest.mark.parametrize(
    "name", [n if n[:3] == "TFC" or n[0] == "q" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_every_tensor_in_hls(name, dialect, tmp_path):
    built, vectors, _ = product(name, tmp_path, "hls", hls_dialect=dialect)
    (source,) = built.program.inputs
    stored = samples.to_stored(built.program, {source: vectors["x"]})
    (outcome,) = compare.verify(built, stored, [engines.engine("hls")], {"hls": 16})
    assert (outcome.status, outcome.detail, outcome.tensors) == ("equal", "", len(built.program.edges))


@pytest.mark.parametrize("rest", ["int8", "fixed:Q5.10"])
def test_jet_tagging_is_exact(rest, tmp_path):
    """A model of QONNX keeps its types: no accumulator differs, and its last sums are the results, bit by bit."""
    from hwcomp.verify.float_engine import run_model

    built, _, _ = product("qkeras_jettagging", tmp_path, rest=rest, logits=True)
    assert built.manifest["options"]["quant"] == "keep"
    (source,), (output,) = built.program.inputs, built.program.outputs
    e, x = built.program.edges[source], np.random.default_rng(1).standard_normal((3000, 16)).astype(F)
    stored = samples.to_stored(built.program, {source: x})
    have = built.program.edges[output].to_real(run_program(built.program, stored)[output])
    import onnx
    from onnx import helper

    model = onnx.load(built.dir / "model.onnx")
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[-1].input[0], 1, None))
    onnx.save(model, tmp_path / "all.onnx")
    want = run_model(tmp_path / "all.onnx", {source: e.to_real(stored[source])})[model.graph.output[-1].name]
    np.testing.assert_array_equal(have, want.reshape(have.shape))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, (_, dataset) in NETWORKS.items() if dataset])
def test_decisions_on_all_test_images(name, tmp_path):
    """The same as the float model's on all 10,000; those that differ are float ties."""
    from hwcomp.verify.float_engine import run_model

    built, _, _ = product(name, tmp_path)
    program = built.program
    (source,), (output,) = program.inputs, program.outputs
    x = images(NETWORKS[name][1], "x_test")
    real = program.edges[output].to_real(run_program(program, samples.to_stored(program, {source: x}))[output])
    wanted = run_model(built.dir / "model.onnx", {source: x})[output]
    wrong = np.flatnonzero(real.argmax(-1).ravel() != wanted.reshape(real.shape).argmax(-1).ravel())
    assert len(wrong) <= (5 if name == "bnn_cnn_fashion" else 0), wrong


SCHEMES = ("binary", "binary-weights", "ternary", "int2", "int4", "log2", "auto")


@pytest.mark.parametrize(
    ("quant", "options"),
    [*((q, o) for q in SCHEMES for o in ({}, {"c_weights": "fast"})), ("binary", {"xnor_k": True})],
    ids=lambda v: v if isinstance(v, str) else " ".join(map(str, v.values())) or "packed",
)
def test_every_scheme_in_c(quant, options, tmp_path):
    """Every tensor, on the host and on a Cortex-M4; a plan never changes the Program."""
    onnx.save(net(), tmp_path / "net.onnx")
    built = compile_model(
        tmp_path / "net.onnx",
        tmp_path / "out",
        CompileOptions(("mcu",), quant=quant, calibration={"x": data()}, **options),
    )
    given = samples.random_stored(built.program, 4)
    want = run_program(built.program, given, taps=True)
    engines = [CHost(), *([CM4()] if shutil.which("arm-none-eabi-gcc") else [])]
    for engine in engines:
        have = engine.run(built, given, taps=True).values
        assert all(np.array_equal(have[n], want[n]) for n in want)
    if options.get("c_weights"):
        usual = compile_model(
            tmp_path / "net.onnx", tmp_path / "packed", CompileOptions(("mcu",), quant=quant, calibration={"x": data()})
        )
        assert usual.program.sha256() == built.program.sha256()


@pytest.mark.parametrize("name", ["TFC_1W2A", "TFC_2W2A", "kwsmlp_w3a3"])
def test_every_tensor_on_a_cortex_m4(name, tmp_path):
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("arm-none-eabi-gcc is not installed")
    built, vectors, _ = product(name, tmp_path)
    (source,) = built.program.inputs
    stored = {n: a[:2] for n, a in samples.to_stored(built.program, {source: vectors["x"]}).items()}
    want, have = run_program(built.program, stored, taps=True), CM4().run(built, stored, taps=True).values
    assert all(np.array_equal(have[n], want[n]) for n in want)
