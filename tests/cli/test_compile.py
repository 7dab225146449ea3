"""hwcomp compile: its options, from the command line and from TOML, and what it writes."""

import hashlib
import json

import numpy as np
import pytest

from hwcomp import npz
from hwcomp.errors import WorkFailed
from hwcomp.passes.fuse_activation import FuseActivation
from tests.cli.conftest import manifest
from tests.models import model, saved, values

MANIFEST = [
    "schema", "name", "hwcomp", "libraries", "model_sha256", "program_sha256", "options", "inputs", "outputs", "notes",
    "targets",
    "files",
]  # fmt: skip
BOUNDARY = ["name", "shape", "type", "bits", "signed", "scale", "scale_bits", "zero_point", "layout"]


# --- what it writes ---------------------------------------------------------------------------------------------------


def test_it_says_what_was_built_and_where(compiled):
    found, folder = compiled(target="mcu,fpga", quiet=False)
    lines = found.out.splitlines()
    assert found.err == ""
    assert lines[0] == "net: 4 kernels, 152 parameters, of these 144 weights, 1,602 MACs, 3,276 FLOPs"
    assert [line.split(":")[0] for line in lines[1:]] == ["mcu", "fpga", "proof", "product"]
    assert lines[-1] == f"product: {folder}"


def test_quiet_says_nothing(compiled):
    found, _ = compiled()
    assert (found.out, found.err) == ("", "")


@pytest.mark.parametrize("target", ["mcu", "fpga", "mcu,fpga", "fpga,mcu"])
def test_a_product_has_the_folders_of_its_targets(compiled, target):
    _, folder = compiled(target=target)
    common = {"manifest.json", "model.onnx", "model.qdq.onnx", "program", "vectors", "report.json", "report.html"}
    assert {p.name for p in folder.iterdir()} == common | {{"mcu": "src", "fpga": "rtl"}[t] for t in target.split(",")}
    assert manifest(folder)["options"]["targets"] == target.split(",")
    assert sorted(manifest(folder)["targets"]) == sorted(target.split(","))


def test_the_manifest_describes_every_file_and_boundary(net):
    data = manifest(net.product)
    assert set(data) >= set(MANIFEST)
    assert (data["schema"], data["name"]) == (1, "net")
    found = {str(p.relative_to(net.product)): p.read_bytes() for p in net.product.rglob("*") if p.is_file()}
    del found["manifest.json"]
    assert {f["path"]: (f["bytes"], f["sha256"]) for f in data["files"]} == {
        n: (len(b), hashlib.sha256(b).hexdigest()) for n, b in found.items()
    }
    assert data["model_sha256"] == hashlib.sha256(net.model.read_bytes()).hexdigest()
    assert found["model.onnx"] == net.model.read_bytes()
    for name, shape, boundary in (("x", [2, 8, 7], data["inputs"]), ("y", [5], data["outputs"])):
        (port,) = boundary
        assert set(port) >= set(BOUNDARY)
        assert (port["name"], port["shape"], port["type"], port["bits"]) == (name, shape, "int8", 8)
        assert np.float32(port["scale"]) == np.uint32(port["scale_bits"]).view(np.float32)
    interface = data["targets"]["fpga"]
    assert set(interface) == {"interval", "inputs", "outputs", "streams"}
    for port in (*interface["inputs"], *interface["outputs"]):
        assert set(port) == {"name", "prefix", "lanes", "lane_bits", "tdata_bits", "beats", "channels", "pixels"}
        assert port["tdata_bits"] % 8 == 0
        assert 0 <= port["tdata_bits"] - port["lanes"] * port["lane_bits"] < 8


def test_program_sha256_is_that_of_the_program(net):
    """docs/program.md: SHA-256 of the JSON with sorted keys and no spaces."""
    text = (net.product / "program" / "program.json").read_text()
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert (
        digest
        == manifest(net.product)["program_sha256"]
        == json.loads((net.product / "report.json").read_text())["program_sha256"]
    )


# --- options ----------------------------------------------------------------------------------------------------------


def test_name_goes_into_the_generated_code(compiled):
    _, folder = compiled("--name", "Other Net", target="mcu,fpga")
    assert manifest(folder)["name"] == "Other_Net"
    assert (folder / "src" / "Other_Net.c").is_file()
    assert "module Other_Net_top" in (folder / "rtl" / "Other_Net_top.v").read_text()


def test_options_are_in_the_manifest(compiled, net):
    _, folder = compiled(
        "--requantize-bits", 16, "--golden", 2, "--pe-simd-budget", 9, "--least-fifos", "--input-range", "x=-1,1.5", "--pass",
        "calibrate.samples=3", "--hls-dialect", "ac", "--c-weights", "fast", "--xnor-k",
        "--fpga-family", "ecp5", "--logits", "--quant", "int8", target="fpga",
    )  # fmt: skip
    digest = hashlib.sha256(net.real.tobytes()).hexdigest()
    assert manifest(folder)["options"] == {
        "targets": ["fpga"], "name": None, "quant": "int8", "input_ranges": {"x": [-1.0, 1.5]},
        "input_types": {},
        "passes": {"calibrate": {"samples": 3}}, "pe_simd_budget": 9, "least_fifos": True, "logits": True, "requantize_bits": 16,
        "golden": 2, "hls_dialect": "ac", "c_weights": "fast", "xnor_k": True, "fpga_family": "ecp5",
        "calibration": {"x": {"samples": 6, "sha256": digest}},
    }  # fmt: skip


def test_golden_sets_the_samples_of_the_vectors(compiled):
    _, folder = compiled("--golden", 2)
    assert npz.load(folder / "vectors" / "inputs.npz")["x"].shape == (2, 2, 8, 7)
    assert npz.load(folder / "vectors" / "outputs.npz")["y"].shape == (2, 5)


@pytest.mark.parametrize(("bits", "least"), [(9, 1 << 8), (16, 1 << 15)])
def test_requantize_bits_bound_every_multiplier(compiled, bits, least):
    _, folder = compiled("--requantize-bits", bits)
    constants = npz.load(folder / "program" / "constants.npz")
    largest = [int(a.max()) for n, a in constants.items() if n.endswith(".multiplier")]
    assert len(largest) == 2
    assert least <= max(largest) < 1 << bits


def test_budget_bounds_the_lanes(compiled):
    for budget in (2, 7, 300):
        _, folder = compiled("--pe-simd-budget", budget, target="fpga")
        fpga = json.loads((folder / "report.json").read_text())["targets"]["fpga"]
        assert (fpga["budget"], fpga["lanes"] <= budget) == (budget, True)


@pytest.mark.parametrize(("dialect", "word"), [("vitis", "#pragma HLS DATAFLOW"), ("ac", "#pragma hls_design top")])
def test_hls_in_a_dialect(compiled, dialect, word):
    found, folder = compiled("--hls-dialect", dialect, "--pe-simd-budget", 7, target="hls", quiet=False)
    assert f"hls:  {dialect} C++, " in found.out
    assert " of 7 lanes" in found.out
    assert word in next((folder / "hls").glob("*_top.cpp")).read_text()
    names = {p.name for p in (folder / "hls").iterdir()}
    assert {"tb.cpp", "run_hls.tcl", "README.md", "hwc_types.h"} <= names
    assert manifest(folder)["targets"]["hls"]["dialect"] == dialect
    assert not (folder / "rtl").exists()


def test_a_layer_that_is_not_there_is_not_unrolled(rejected):
    rejected("--unroll", "Gemm_nothing", target="fpga", texts=["--unroll Gemm_nothing", "no layer has this name"])


def test_an_impossible_budget_says_what_is_reachable(rejected):
    rejected(
        "--pe-simd-budget",
        1,
        code=1,
        texts=["a budget of 1 lane is too small", "2 dot products", "--pe-simd-budget 2"],
    )


@pytest.mark.parametrize(("options", "texts"), [
    (["--target", "asic"], ["unknown target 'asic'", "mcu, fpga, hls"]), (["--target", ""], ["unknown target ''"]),
    (["--target", "mcu,mcu"], ["each target once"]), (["--target", "mcu,"], ["unknown target ''"]),
    (["--hls-dialect", "spatial"], ["unknown HLS dialect 'spatial'", "vitis, ac"]),
    (["--fpga-family", "stratix"], ["unknown FPGA family 'stratix'", "xc7, ecp5, ice40"]),
    (["--c-weights", "tiny"], ["unknown form of weights 'tiny'", "packed, fast, small"]),
    (["--quant", ""], ["unknown quantization ''"]), (["--rest", ""], ["unknown quantization ''"]),
    (["--quant", "int3"], ["unknown quantization 'int3'"]),
    (["--quant", "keep"], ["--quant keep for a float model", "leave it out"]),
    (["--quant", "fixed:Q10.7"], ["18 bits", "4 to 16"]),
    (["--quant", "int8\n"], ["unknown quantization"]),
    (["--pe-simd-budget", "0"], ["--pe-simd-budget 0"]),
    (["--pe-simd-budget", "-5"], ["--pe-simd-budget -5"]), (["--pe-simd-budget", "all"], ["invalid int value"]),
    (["--requantize-bits", "7"], ["8 to 31"]), (["--requantize-bits", "32"], ["8 to 31"]),
    (["--golden", "0"], ["at least one"]),
    (["--input-range", "x"], ["is not NAME=lo,hi"]), (["--input-range", "x=1"], ["is not NAME=lo,hi"]),
    (["--input-range", "=0,1"], ["is not NAME=lo,hi"]), (["--input-range", "x=a,b"], ["is not NAME=lo,hi"]),
    (["--input-range", "x=0,1,2"], ["is not NAME=lo,hi"]), (["--input-range", "x=1,1"], ["low < high"]),
    (["--input-range", "x=0,inf"], ["two finite numbers"]), (["--input-range", "x=nan,1"], ["two finite numbers"]),
    (["--input-range", "z=0,1"], ["names 'z'", "inputs are 'x'"]),
    (["--pass", "calibrate"], ["is not PASS.field=value"]),
    (["--pass", "calibrate.samples"], ["is not PASS.field=value"]),
    (["--pass", "nothing.samples=1"], ["no pass 'nothing'"]),
    (["--pass", "calibrate.nothing=1"], ["no option 'nothing'", "enabled, "]),
    (["--pass", "calibrate.samples=x"], ["'x' is not a int"]),
    (["--pass", "calibrate.samples=0"], ["samples"]), (["--pass", "calibrate.enabled=maybe"], ["is not a bool"]),
    (["--pass", "quantize.enabled=false"], ["can't be switched off"]),
    (["--pass", "equalize.enabled=on", "--pass", "equalize.sweeps=0"], ["equalize.sweeps=0"]),
    (["--config", "/nowhere.toml"], ["can't read"]),
    (["--calibration", "/nowhere.npz"], ["no file"]), (["--golden", "1.5"], ["invalid int value"]),
], ids=lambda v: v[0] if v[0].startswith("-") and len(v) < 2 else " ".join(v)[:40])  # fmt: skip
def test_bad_options_are_refused(rejected, options, texts):
    rejected(*options, texts=texts)


def test_a_softmax_is_computed_or_left_out(cli, tmp_path):
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Softmax", ["h"], ["y"], {"axis": 1}, "prob")]
    path = saved(model(nodes, {"x": (1, 3)}, {"w": values("w", 3, 4)}), tmp_path / "net.onnx")
    kinds = {}
    for more in ((), ("--logits",)):
        assert cli("compile", path, "--target", "mcu,fpga", "-o", tmp_path / "out", "--quiet", *more).code == 0
        program = json.loads((tmp_path / "out" / "program" / "program.json").read_text())
        kinds[more] = [k["kind"] for k in program["kernels"]]
        assert ("drop_softmax" in manifest(tmp_path / "out")["notes"]) == bool(more)
    assert kinds == {(): ["dense", "softmax"], ("--logits",): ["dense"]}


def test_a_logsoftmax_is_computed_or_left_out(cli, tmp_path):
    net = model(
        [("Gemm", ["x", "w"], ["h"], {}), ("LogSoftmax", ["h"], ["y"], {"axis": 1}, "prob")], {"x": (1, 3)},
        {"w": values("w", 3, 4)},
    )  # fmt: skip
    path = saved(net, tmp_path / "net.onnx")
    command = ["compile", path, "--target", "mcu,fpga", "-o", tmp_path / "out", "--quiet"]
    assert cli(*command).code == 0
    assert "logarithms" in manifest(tmp_path / "out")["notes"]
    assert cli(*command, "--logits").code == 0
    notes = manifest(tmp_path / "out")["notes"]
    assert manifest(tmp_path / "out")["options"]["logits"] is True
    assert "drop_softmax" in notes
    assert "logarithms" not in notes


@pytest.mark.parametrize("name", ["adaround", "bias_correction"])
def test_a_correction_without_data_is_refused(refused, net, tmp_path, name):
    options = ["--target", "mcu", "--pass", f"{name}.enabled=on", "-o", tmp_path / "out"]
    refused("compile", net.model, *options, texts=[f"pass {name} needs calibration data", "--calibration"])
    assert not (tmp_path / "out").exists()


# --- passes -----------------------------------------------------------------------------------------------------------


def test_print_passes_shows_what_they_did(compiled):
    found, folder = compiled("--print-passes")
    lines = [f"{name}: {line}" for name, notes in manifest(folder)["notes"].items() for line in notes]
    assert found.out.splitlines() == lines
    assert "calibrate: 6 samples, minmax" in lines


def test_a_pass_can_be_switched_off(compiled):
    _, folder = compiled("--pass", "fuse_activation.enabled=false", "--check-passes")
    kinds = [layer["kind"] for layer in json.loads((folder / "report.json").read_text())["layers"]]
    assert kinds == ["conv2d", "requantize", "maxpool2d", "reshape", "dense"]


def test_pass_options_arrive(cli, net, tmp_path):
    command = ["compile", net.model, "--target", "mcu", "-o", tmp_path / "out", "--quiet", "--print-passes"]
    assert "calibrate: 64 samples, minmax" in cli(*command).out.splitlines()
    assert "calibrate: 2 samples, minmax" in cli(*command, "--pass", "calibrate.samples=2").out.splitlines()


def test_check_passes_does_not_change_the_product(compiled, net):
    _, folder = compiled("--check-passes")
    assert manifest(folder)["program_sha256"] == manifest(net.product)["program_sha256"]


def test_check_passes_finds_a_pass_that_changes_numbers(rejected, monkeypatch, net):
    """Only with the option: the graph itself is sound."""
    from dataclasses import replace

    def broken(self, graph, ctx):
        first = graph.nodes[0]
        tensors = dict(graph.tensors)
        tensors["w"] = replace(tensors["w"], data=tensors["w"].data + np.float32(0.25))
        assert first.inputs[1] == "w"
        return graph.replace(tensors=tensors) if hasattr(graph, "replace") else replace(graph, tensors=tensors)

    monkeypatch.setattr(FuseActivation, "run", broken)
    rejected("--check-passes", code=1, texts=["pass fuse_activation broke the graph", "'y' changed"])


# --- calibration ------------------------------------------------------------------------------------------------------


def test_without_calibration_a_warning_in_capitals(cli, net, tmp_path):
    command = ["compile", net.model, "--target", "mcu", "-o", tmp_path / "out"]
    found = cli(*command)
    assert found.code == 0
    assert found.err.startswith("hwcomp: warning: NO CALIBRATION DATA: RANGES COME FROM RANDOM INPUTS")
    assert found.err.count("\n") == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [w.startswith("NO CALIBRATION DATA") for w in report["warnings"]] == [True]
    assert cli(*command, "--quiet").err == ""


def test_labels_in_the_calibration_data_are_no_input(cli, net, tmp_path, stored):
    data = stored(x=net.real, labels=np.arange(6))
    assert (
        cli("compile", net.model, "--target", "mcu", "--calibration", data, "-o", tmp_path / "out", "--quiet").code == 0
    )
    assert manifest(tmp_path / "out")["program_sha256"] == manifest(net.product)["program_sha256"]


@pytest.mark.parametrize(("arrays", "texts"), [
    ({"z": np.zeros((2, 2, 8, 7), np.float32)}, ["no array 'x'", "'z'"]), ({}, ["no array 'x'", "nothing"]),
    ({"x": np.zeros((2, 8, 7), np.float32)}, ["'x' has shape (2, 8, 7)", "(2, 8, 7)", "leading sample axis"]),
    ({"x": np.zeros((2, 2, 7, 8), np.float32)}, ["'x' has shape"]),
    ({"x": np.zeros((0, 2, 8, 7), np.float32)}, ["number of samples"]),
    ({"x": np.full((2, 2, 8, 7), np.nan, np.float32)}, ["NaN"]), ({"x": np.full((2, 2, 8, 7), np.inf)}, ["infinity"]),
    ({"x": np.zeros((2, 2, 8, 7), np.int8)}, ["int8", "float32"]), ({"x": np.zeros((2, 2, 8, 7), bool)}, ["bool"]),
    ({"x": np.zeros((2, 2, 8, 7), np.complex64)}, ["complex64"]), ({"x": np.float32(1)}, ["'x' has shape ()"]),
    ({"x": np.zeros((2, 2, 8, 7), np.float32), "z": np.zeros(2)}, ["'z' that is no input"]),
], ids=lambda v: "")  # fmt: skip
def test_wrong_calibration_data_is_refused(rejected, stored, arrays, texts):
    rejected("--calibration", stored(**arrays), texts=texts)


def test_a_single_array_is_no_calibration_file(rejected, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2, 8, 7), np.float32))
    rejected("--calibration", tmp_path / "x.npy", texts=["'x.npy' is a single array", ".npz"])


def test_pickles_are_not_read(rejected, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], object))
    rejected("--calibration", tmp_path / "x.npz", texts=["'x.npz' is not a readable .npz file"])


def test_python_options_meet_the_same_checks(net, tmp_path):
    import hwcomp
    from hwcomp.errors import UsageError

    with pytest.raises(UsageError, match="unknown target 'asic'"):
        hwcomp.compile(net.model, tmp_path / "out", target="asic")
    with pytest.raises(WorkFailed, match="too small"):
        hwcomp.compile(net.model, tmp_path / "out", target="fpga", calibration={"x": net.real}, pe_simd_budget=1)
    assert not (tmp_path / "out").exists()
