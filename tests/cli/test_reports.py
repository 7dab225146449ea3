"""hwcomp eval, inspect, report and ops: the keys of their JSON, their figures, and that the text says the same."""

import json

import numpy as np
import pytest

from hwcomp.plan import dataflow
from hwcomp.registry import BACKENDS, OPS
from tests.models import ROOT, model, saved, values

# --- eval -------------------------------------------------------------------------------------------------------------

EVALUATION = ["engine", "samples", "accuracy", "float_accuracy", "loss_points", "agreement", "layers"]


@pytest.fixture
def decided(net):
    """What the float model decides on the real samples."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(net.model), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": net.real})[0].argmax(axis=1)


def test_eval_without_labels(cli, net):
    found = cli("eval", net.product, "--data", net.data, "--json")
    assert (found.code, found.err) == (0, "")
    data = found.json
    assert list(data) == EVALUATION
    assert (data["engine"], data["samples"], data["accuracy"], data["float_accuracy"], data["loss_points"]) == (
        "reference",
        6,
        *[None] * 3,
    )
    assert [list(layer) for layer in data["layers"]] == [["tensor", "sqnr_db", "lost_db", "largest_error", "bad"]] * 3
    assert [layer["tensor"] for layer in data["layers"]] == ["r", "m", "y"]
    assert all(25 < layer["sqnr_db"] < 60 for layer in data["layers"])
    text = cli("eval", net.product, "--data", net.data).out
    assert "6 samples on engine reference" in text
    assert "accuracy" not in text
    assert f"same decision as the float model: {100 * data['agreement']:.2f} %" in text


@pytest.mark.parametrize("engine", ["reference", "c", "c:m4", "verilator"])
def test_accuracy_is_counted(cli, net, stored, tmp_path, decided, engine):
    from hwcomp import npz

    labels = decided.copy()
    labels[0] = (labels[0] + 1) % 5  # one wrong for float
    assert cli("run", net.product, "--engine", "reference", "-i", net.data, "-o", tmp_path / "o.npz").code == 0
    mine = npz.load(tmp_path / "o.npz")["y.q"].argmax(axis=1)
    found = cli("eval", net.product, "--data", stored(x=net.real, labels=labels), "--engine", engine, "--json")
    assert (found.code, found.err) == (0, "")
    data = found.json
    assert (data["engine"], data["samples"]) == (engine, 6)
    assert data["float_accuracy"] == 5 / 6
    assert data["accuracy"] == float((mine == labels).mean())
    assert data["agreement"] == float((mine == decided).mean())
    assert data["loss_points"] == 100 * (data["float_accuracy"] - data["accuracy"])


def test_eval_of_indices(cli, indices, stored):
    found = cli("eval", indices.product, "--data", stored(x=indices.real, labels=np.zeros(6, np.uint8)), "--json")
    assert found.code == 0
    assert 0 <= found.json["accuracy"] <= 1
    assert found.json["agreement"] > 0.5


def test_labels_must_fit(refused, net, stored):
    refused("eval", net.product, "--data", stored(x=net.real, labels=np.arange(5)), texts=["5 labels for 6 samples"])
    refused("eval", net.product, "--data", stored(x=net.real, labels=np.arange(0)), texts=["0 labels for 6 samples"])


def test_eval_refuses_unknown_engines(refused, net):
    for name in ("hls:ac", "", "c,c"):
        refused("eval", net.product, "--data", net.data, "--engine", name, texts=["no engine"])


# --- inspect ----------------------------------------------------------------------------------------------------------

INSPECTION = [
    "schema", "model_sha256", "opset", "inputs", "outputs", "parameters", "macs", "flops", "forms", "float_bytes", "int8_bytes",
    "peak_live_elements", "memory", "quantized", "layers", "targets",
]  # fmt: skip
LAYER = ["node", "operator", "shape", "parameters", "macs", "operations", "forms"]


def test_inspect_counts(cli, net):
    """Conv: 3 * 4 * 7 outputs of 18 taps; Gemm: 5 of 18. Parameters 54 + 3 and 90 + 5."""
    found = cli("inspect", net.model, "--json")
    assert (found.code, found.err) == (0, "")
    data = found.json
    assert list(data) == INSPECTION
    assert [list(layer) for layer in data["layers"]] == [LAYER] * 5
    assert [(n["node"], n["macs"], n["parameters"]) for n in data["layers"]] == [
        ("conv", 84 * 18, 57), ("act", 0, 0), ("pool", 0, 0), ("flat", 0, 0), ("fc", 90, 95),
    ]  # fmt: skip
    assert (data["macs"], data["parameters"], data["float_bytes"], data["int8_bytes"]) == (84 * 18 + 90, 152, 608, 152)
    assert data["flops"] == 2 * data["macs"] + sum(n["operations"] for n in data["layers"])
    assert data["peak_live_elements"] == 112 + 84
    assert [m["constant_bytes"] for m in data["memory"].values()] == [608, 152]
    assert (data["inputs"], data["outputs"]) == ({"x": [1, 2, 8, 7]}, {"y": [1, 5]})
    assert (data["schema"], data["opset"], data["targets"]) == (1, 17, {"fpga": None, "hls": None, "mcu": None})
    assert data["quantized"] is None
    assert data["model_sha256"] == json.loads((net.product / "manifest.json").read_text())["model_sha256"]
    text = cli("inspect", net.model).out
    for word in ("152 parameters", "1,602 MACs", "conv", "Dense", "fpga: yes", "hls: yes", "mcu: yes"):
        assert word in text


def test_inspect_says_why_a_target_can_not(cli, tmp_path, monkeypatch):
    """A model that one target refuses is no error of inspect."""
    monkeypatch.delitem(dataflow._ENGINES, "conv2d")
    net = model(
        [("Conv", ["x", "w"], ["y"], {"group": 2}, "depth")], {"x": (1, 2, 5, 5)}, {"w": values("w", 2, 1, 3, 3)}
    )
    found = cli("inspect", saved(net, tmp_path / "net.onnx"), "--json")
    assert found.code == 0
    assert found.json["targets"]["mcu"] is None
    assert all("'depth'" in found.json["targets"][t] for t in ("fpga", "hls"))


def test_inspect_takes_logits(cli, tmp_path):
    """A LogSoftmax without a batch axis in front can only be left out."""
    nodes = [("MatMul", ["x", "w"], ["h"], {}), ("LogSoftmax", ["h"], ["y"], {"axis": 0}, "prob")]
    path = saved(model(nodes, {"x": (3,)}, {"w": values("w", 3, 4)}), tmp_path / "net.onnx")
    assert all("batch axis" in reason for reason in cli("inspect", path, "--json").json["targets"].values())
    assert cli("inspect", path, "--json", "--logits").json["targets"] == {"fpga": None, "hls": None, "mcu": None}


# --- report -----------------------------------------------------------------------------------------------------------

REPORT = [
    "schema", "name", "program_sha256", "inputs", "outputs", "macs", "weights", "proof", "layers", "passes", "warnings", "memory",
    "targets",
]  # fmt: skip
REPORT_LAYER = {
    "kernel", "kind", "nodes", "output", "shape", "bits", "range", "scale", "zero_point", "macs", "weights", "proof",
    "differing_accumulators", "accumulators",
}  # fmt: skip
MCU = {
    "arena_bytes", "peak_live_bytes", "peak_tensor_bytes", "input_bytes", "output_bytes", "constant_bytes",
    "weight_bytes",
    "stack_bytes_estimate", "macs", "kernels",
}  # fmt: skip
FPGA = {"budget", "lanes", "interval", "latency_estimate", "rom_bits", "buffer_bits", "stages", "interface"}


def test_report_json_is_the_file(cli, net):
    found = cli("report", net.product, "--json")
    assert (found.code, found.err) == (0, "")
    assert found.out == (net.product / "report.json").read_text()
    data = found.json
    assert set(data) >= set(REPORT)
    assert all(set(layer) >= REPORT_LAYER for layer in data["layers"])
    assert set(data["targets"]["mcu"]) >= MCU
    assert set(data["targets"]["fpga"]) >= FPGA
    assert [layer["kind"] for layer in data["layers"]] == ["conv2d", "maxpool2d", "reshape", "dense"]
    assert [layer["nodes"] for layer in data["layers"]] == [["conv", "act"], ["pool"], ["flat"], ["fc"]]
    assert (data["macs"], data["weights"], data["schema"], data["name"]) == (1602, 144, 1, "net")
    fpga = data["targets"]["fpga"]
    assert fpga["interval"] == max(stage["beats"] for stage in fpga["stages"])
    assert fpga["lanes"] == sum(stage["lanes"] for stage in fpga["stages"]) <= fpga["budget"] == 64


def test_report_prints_cycles_memory_and_proof_lines(cli, net):
    data, text = cli("report", net.product, "--json").json, cli("report", net.product).out
    joined = " ".join(text.split())
    fpga, mcu = data["targets"]["fpga"], data["targets"]["mcu"]
    assert f"fpga: {fpga['lanes']} of 64 lanes, a frame every {fpga['interval']:,} cycles" in joined
    assert f"an arena of {mcu['arena_bytes']:,} bytes in RAM" in joined
    proofs = [layer["proof"] for layer in data["layers"] if layer["proof"]]
    assert len(proofs) == 2
    assert [p for p in proofs if p not in joined] == []
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("target", ["mcu", "fpga"])
def test_a_report_of_one_target(cli, net, tmp_path, target):
    assert (
        cli("compile", net.model, "--target", target, "--calibration", net.data, "-o", tmp_path / "p", "--quiet").code
        == 0
    )
    text = cli("report", tmp_path / "p").out
    assert ("FPGA engines" in text, "MCU memory" in text) == (target == "fpga", target == "mcu")
    assert list(cli("report", tmp_path / "p", "--json").json["targets"]) == [target]


def test_a_report_of_weights_wired_in(cli, net, tmp_path):
    command = ["compile", net.model, "--target", "fpga", "--unroll", "fc", "-o", tmp_path / "p", "--quiet"]
    assert cli(*command).code == 0
    conv, fc = (
        s["wired"] for s in cli("report", tmp_path / "p", "--json").json["targets"]["fpga"]["stages"] if "wired" in s
    )
    assert (conv["unrolled"], fc["unrolled"]) == (False, True)
    text = " ".join(cli("report", tmp_path / "p").out.split())
    assert f"yes {fc['adders']:,} {fc['luts']:,} " in text and f"no <= {conv['adders']:,} <= {conv['luts']:,} " in text
    assert "weights wired in (--unroll) one and no multiplier" in text.replace("  ", " ")
    assert all(s in (tmp_path / "p" / "report.html").read_text() for s in ("Weights as adders", fc["why"]))


def test_warnings_are_in_the_report(cli, net, tmp_path):
    assert cli("compile", net.model, "--target", "mcu", "-o", tmp_path / "p", "--quiet").code == 0
    assert "NO CALIBRATION DATA" in cli("report", tmp_path / "p").out


# --- ops --------------------------------------------------------------------------------------------------------------


def test_docs_hold_the_matrix(cli):
    found = cli("ops", "--markdown")
    assert (found.code, found.err) == (0, "")
    assert found.out == (ROOT / "docs" / "operators.md").read_text(), "hwcomp ops --markdown > docs/operators.md"


def test_ops_json_comes_from_the_registry(cli):
    data = cli("ops", "--json").json
    assert data["targets"] == list(BACKENDS) == ["fpga", "hls", "mcu"]
    assert list(data["operators"]) == [name for name in OPS if OPS[name].importable]
    for row in data["operators"].values():
        assert set(row) == {"targets", "kernels", "note"}
        assert set(row["targets"]) == {"fpga", "hls", "mcu"}
        for target, can in row["targets"].items():
            assert can == (set(row["kernels"]) <= BACKENDS[target].kinds)
    lines = cli("ops").out.splitlines()
    assert lines[0].split() == ["operator", "fpga", "hls", "mcu", "becomes"]
    assert [line.split()[0] for line in lines[1:]] == list(data["operators"])


@pytest.mark.parametrize("name",
["Conv", "Gemm", "MatMul", "Add", "BatchNormalization", "Relu", "Clip", "MaxPool", "Flatten", "Reshape",
                                  "Identity", "Dropout", "Constant", "ArgMax", "Softmax", "LogSoftmax"])  # fmt: skip
def test_operators_of_the_spine_are_there(cli, name):
    assert cli("ops", "--json").json["operators"][name]["targets"] == {"fpga": True, "hls": True, "mcu": True}


def test_a_backend_without_a_kernel_says_no(cli, monkeypatch):
    backend = BACKENDS["fpga"]
    monkeypatch.setattr(type(backend), "kinds", backend.kinds - {"argmax"})
    assert cli("ops", "--json").json["operators"]["ArgMax"]["targets"] == {"fpga": False, "hls": True, "mcu": True}
    assert "| ArgMax | no | yes | yes |" in cli("ops", "--markdown").out
    (line,) = [line for line in cli("ops").out.splitlines() if line.startswith("ArgMax")]
    assert line.split()[:4] == ["ArgMax", "no", "yes", "yes"]
