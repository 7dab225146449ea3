"""Low rank, weight sharing and codes together, from the command line and from TOML, on every engine that is there."""

import json

import numpy as np
import onnx
import pytest

from tests.cli.conftest import _work
from tests.models import model, values

OPTIONS = ("--low-rank", "0.9", "--share", "3", "--c-weights", "small")


def compiled(cli, net, folder, *options):
    found = cli("compile", net.model, "--calibration", net.data, "-o", folder, "--target", "mcu", *options)
    assert found.code == 0, found.err
    return json.loads((folder / "report.json").read_text()), json.loads((folder / "manifest.json").read_text())


def test_together_and_equal_to_the_reference(cli, net, tmp_path):
    report, manifest = compiled(cli, net, tmp_path / "p", *OPTIONS)
    assert manifest["options"]["share"] == 3
    assert manifest["options"]["low_rank"] == 0.9
    assert {"low_rank", "share"} <= set(report["passes"])
    from hwcomp import product

    for kernel in product.load(tmp_path / "p").program.kernels:
        if "weight" in kernel.constants:
            assert len(np.unique(kernel.constants["weight"])) <= 8
    verified = cli("verify", tmp_path / "p", "--engines", "c", "--samples", "20")
    assert verified.code == 0, verified.out + verified.err


def test_from_toml(cli, net, tmp_path):
    (tmp_path / "c.toml").write_text('share = 3\nlow_rank = 0.9\nc_weights = "small"\n')
    _, there = compiled(cli, net, tmp_path / "a", "--config", tmp_path / "c.toml")
    _, here = compiled(cli, net, tmp_path / "b", *OPTIONS)
    assert there["program_sha256"] == here["program_sha256"]
    assert there["program_sha256"] != compiled(cli, net, tmp_path / "d")[1]["program_sha256"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Layers that have enough weights for codebooks."""
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}), ("Relu", ["c"], ["r"], {}),
        ("Flatten", ["r"], ["f"], {}), ("Gemm", ["f", "w2", "b2"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    shapes = {"w": (12, 4, 3, 3), "b": (12,), "w2": (10, 12 * 16), "b2": (10,)}
    proto = model(nodes, {"x": ("N", 4, 8, 8)}, {n: values(n, *s) for n, s in shapes.items()})
    return _work(tmp_path_factory.mktemp("wide"), proto, 4, 8, 8)


def test_vector_codes(cli, wide, tmp_path):
    net = wide
    options = ("--share-vectors", "4x16", "--share", "3", "--c-weights", "small", "--pass", "vectors.stages=2")
    report, manifest = compiled(cli, net, tmp_path / "p", *options)
    assert manifest["options"]["share_vectors"] == "4x16"
    assert any("2 codebooks of 16 x 4" in line for line in report["passes"]["vectors"])
    forms = [k["weights"]["form"] for k in report["targets"]["mcu"]["kernels"] if k["weights"]]
    assert "indices of 4 bits for 4 weights, 2 stages" in forms
    verified = cli("verify", tmp_path / "p", "--engines", "c", "--samples", "20")
    assert verified.code == 0, verified.out + verified.err
    (tmp_path / "c.toml").write_text(
        'share = 3\nshare_vectors = "4x16"\nc_weights = "small"\n[pass.vectors]\nstages = 2\n'
    )
    again, _ = compiled(cli, net, tmp_path / "q", "--config", tmp_path / "c.toml")
    assert again["passes"]["vectors"] == report["passes"]["vectors"]


@pytest.mark.parametrize("option", ["--share", "--low-rank"])
def test_a_quantized_model_keeps_its_integers(cli, net, tmp_path, option):
    compiled(cli, net, tmp_path / "p")
    found = cli(
        "compile", tmp_path / "p" / "model.qdq.onnx", "--calibration", net.data, "--target", "mcu", "-o", tmp_path / "q",
        option, "0.9" if option == "--low-rank" else "4",
    )  # fmt: skip
    assert found.code == 2
    assert "already quantized" in found.err


@pytest.mark.parametrize(("options", "texts"), [
    (["--low-rank", "0"], ["--low-rank 0", "above 0"]), (["--low-rank", "nan"], ["--low-rank nan"]),
    (["--share", "0"], ["--share 0", "2 to 8"]), (["--share", "9"], ["--share 9", "2 to 8"]), (["--share", "x"], ["invalid int value"]),
    (["--share", "4", "--quant", "int4"], ["--share with --quant int4"]), (["--low-rank", "x"], ["invalid float value"]),
    (["--share-vectors", "4"], ["--share-vectors 4", "4x256"]), (["--share-vectors", "4x256x2"], ["SIZExCODEWORDS"]),
    (["--share-vectors", "3x256"], ["--share-vectors 3x256", "2, 4 and 8"]), (["--share-vectors", "4x100"], ["a power of two"]),
    (["--share-vectors", "4x16", "--quant", "int16"], ["--share-vectors 4x16 with --quant int16"]),
    (["--share", "4", "--pass", "share.prune=1.5"], ["share.prune=1.5"]),
], ids=lambda v: " ".join(v)[:40])  # fmt: skip
def test_bad_options_are_refused(refused, net, tmp_path, options, texts):
    given = ("--target", "mcu", "--calibration", net.data, "-o", tmp_path / "out")
    refused("compile", net.model, *given, *options, texts=texts)
    assert not (tmp_path / "out").exists()


def test_weights_in_float16(cli, net, tmp_path):
    found = cli("compile", net.model, "--calibration", net.data, "-o", tmp_path / "p", "--target", "mcu", "--float16")
    assert found.code == 0, found.err
    manifest = json.loads((tmp_path / "p" / "manifest.json").read_text())
    listed = {f["path"]: f["bytes"] for f in manifest["files"]}
    assert listed["model.fp16.onnx"] == (tmp_path / "p" / "model.fp16.onnx").stat().st_size
    assert manifest["options"]["float16"] is True
    made = onnx.load(tmp_path / "p" / "model.fp16.onnx")
    assert [t.data_type for t in made.graph.initializer] == [onnx.TensorProto.FLOAT16] * 4
    assert manifest["program_sha256"] == compiled(cli, net, tmp_path / "q")[1]["program_sha256"]
    assert not (tmp_path / "q" / "model.fp16.onnx").exists()
