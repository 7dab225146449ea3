"""The commands on a model that is already quantized."""

import numpy as np
import pytest

from tests.models import model, saved, values
from tests.qdq import Style, wrapped

NODES = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    float_model = model(NODES, {"x": ("N", 6)}, {"w": values("w", 6, 12), "v": values("v", 12, 5)})
    return saved(wrapped(float_model, {"x": (-1, 1)}, Style(np.uint8)), tmp_path_factory.mktemp("qdq") / "net.onnx")


def test_from_inspect_to_eval(cli, path, tmp_path):
    """No calibration data, no warning; the same decisions as the model itself."""
    said = cli("inspect", path)
    assert "already quantized: 4 UINT8 tensors, 2 weights in integers (2 per channel)" in said.out
    assert "Targets (with --quant keep)" in said.out
    assert cli("inspect", path, "--json").json["quantized"]["float_weights"] == []
    done = cli("compile", path, "--target", "mcu", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    l4 = cli("verify", tmp_path / "out", "--l4", "--samples", "200")
    assert l4.code == 0
    assert "own model" in l4.out
    x = values("x", 300, 6)
    np.savez(tmp_path / "data.npz", x=x, labels=np.zeros(300, np.int64))
    data = cli("eval", tmp_path / "out", "--data", tmp_path / "data.npz", "--json").json
    assert data["agreement"] == 1
    assert data["loss_points"] == 0


@pytest.mark.parametrize(("flags", "text"), [
    (["--quant", "int16"], "already quantized"), (["--rest", "keep"], "--rest keep"), (["--rest", "int7"], "int7"),
    (["--pass", "adaround.enabled=true"], "adaround"), (["--input", "x=uint8,0,255"], "states the type"),
])  # fmt: skip
def test_one_line_and_exit_code_2(cli, path, tmp_path, flags, text):
    said = cli("compile", path, "--target", "mcu", "-o", tmp_path / "out", *flags)
    assert said.code == 2
    assert text in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


ZEROS = [["--prune", f"{kind}=0.5"] for kind in ("filter", "channel", "branch", "weight", "vector", "kernel", "block")]
OTHERS = [["--pass", "sparsify.threshold=0.5"], ["--share", "3"], ["--share-vectors", "2x16"], ["--low-rank", "0.9"]]


@pytest.mark.parametrize("flags", [*ZEROS, ["--prune", "nm=1:2"], *OTHERS], ids=" ".join)
def test_other_weights_are_refused(cli, path, tmp_path, flags):
    """Nothing that would choose other integers than the model's is passed over, from the command line or from TOML."""
    toml = tmp_path / "options.toml"
    name, value = flags[0].strip("-").replace("-", "_"), flags[1]
    key, _, amount = value.partition("=")
    if name == "prune":
        toml.write_text(f'[prune]\n{key} = "{amount}"\n' if ":" in amount else f"[prune]\n{key} = {amount}\n")
    elif name == "pass":
        toml.write_text("[pass.sparsify]\nthreshold = 0.5\n")
    else:
        toml.write_text(f'{name} = "{value}"\n' if "x" in value else f"{name} = {value}\n")
    np.savez(tmp_path / "x.npz", x=values("x", 50, 6))
    for given in (flags, ["--config", toml]):
        out = tmp_path / "out"
        said = cli("compile", path, "--target", "fpga", "-o", out, "--calibration", tmp_path / "x.npz", *given)
        assert said.code == 2 and not out.exists()
        assert "already quantized" in said.err and "add --requantize" in said.err
        assert len(said.err.strip().splitlines()) == 1


def test_weights_of_few_values_are_refused_without_a_way_that_leads_nowhere(cli, tmp_path):
    """Binary weights of a float file: there is nothing that --requantize would drop."""
    nodes = [("Sign", ["x"], ["s"], {}), ("Gemm", ["s", "w"], ["y"], {}, "binary")]
    proto = model(nodes, {"x": (1, 6)}, {"w": np.where(values("w", 6, 8) < 0, -1, 1).astype(np.float32)})
    for flags in (["--prune", "filter=0.3"], ["--prune", "weight=0.5"], ["--prune", "nm=1:2"]):
        said = cli("compile", saved(proto, tmp_path / "b.onnx"), "--target", "mcu", "-o", tmp_path / "out", *flags)
        assert said.code == 2
        assert "'binary'" in said.err and "float network" in said.err and "--requantize" not in said.err


def test_requantize(cli, path, tmp_path):
    np.savez(tmp_path / "x.npz", x=values("x", 50, 6))
    flags = ["--requantize", "--quant", "int16", "--calibration", tmp_path / "x.npz"]
    assert cli("compile", path, "--target", "mcu", "-o", tmp_path / "out", *flags).code == 0
    said = cli("report", tmp_path / "out", "--json").json
    assert {layer["bits"] for layer in said["layers"]} == {16}
    assert cli("verify", tmp_path / "out", "--l4", "--samples", "20").code == 0


def test_an_input_range_of_a_typed_input_is_not_used(cli, path, tmp_path):
    said = cli("compile", path, "--target", "mcu", "-o", tmp_path / "out", "--input-range", "x=0,9")
    assert said.code == 0
    assert "not used" in said.err
