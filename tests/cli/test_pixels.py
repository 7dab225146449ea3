"""`--input NAME=uint8,MEAN,STD` and [input] in TOML: what they say, and what the commands then take."""

import json

import numpy as np
import pytest

from tests.models import model, saved, values

TYPES = {"x": {"mean": [127.5], "std": [64.0]}}


@pytest.fixture
def image(tmp_path):
    """A small classifier with its pixels and labels -> (model, data)."""
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("Flatten", ["c"], ["f"], {}), ("Gemm", ["f", "k"], ["y"], {})]
    proto = model(nodes, {"x": ("N", 2, 4, 4)}, {"w": values("cw", 3, 2, 2, 2), "k": values("ck", 27, 4)})
    data = np.random.default_rng(0).integers(0, 256, (12, 2, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "pixels.npz", x=data)
    np.savez(tmp_path / "labelled.npz", x=data, labels=np.arange(12) % 4)
    np.savez(tmp_path / "wrong.npz", x=data.astype(np.int32))
    np.savez(tmp_path / "real.npz", x=((data - 127.5) / 64).astype(np.float32))
    return saved(proto, tmp_path / "net.onnx"), tmp_path


@pytest.fixture
def built(cli, image):
    """Compile with these further arguments -> the folder."""

    def run(*arguments):
        net, folder = image
        found = cli(
            "compile",
            net,
            "--target",
            "mcu",
            "-o",
            folder / "out",
            "--calibration",
            folder / "pixels.npz",
            "--quiet",
            *arguments,
        )
        assert found.code == 0, found.err
        return folder / "out"

    return run


def options(folder):
    return json.loads((folder / "manifest.json").read_text())["options"]


def test_the_type_is_in_the_manifest_and_in_the_header(built):
    folder = built("--input", "x=uint8,127.5,64")
    assert options(folder)["input_types"] == TYPES
    (port,) = json.loads((folder / "manifest.json").read_text())["inputs"]
    assert (port["type"], port["pixels"]) == ("uint8", TYPES["x"])
    header = (folder / "src" / "net.h").read_text()
    assert "Input   x: raw uint8 pixels p, x = (p - 127.5) / 64" in header
    assert "uint8_t x[32];" in header
    assert "raw uint8 pixels" in (folder / "report.html").read_text()
    assert "raw uint8 pixels" in json.dumps(json.loads((folder / "report.json").read_text())["passes"])


def test_toml_and_the_command_line(built, image):
    toml = image[1] / "options.toml"
    toml.write_text('[input]\nx = "uint8,127.5,64"\n')
    assert options(built("--config", toml))["input_types"] == TYPES
    per_channel = built("--config", toml, "--input", "x=uint8,1:2,3")
    assert options(per_channel)["input_types"] == {"x": {"mean": [1.0, 2.0], "std": [3.0]}}


def test_pixels_and_reals_give_the_same(cli, built, image):
    folder, data = built("--input", "x=uint8,127.5,64"), image[1]
    for engine in ("reference", "float"):
        found = {}
        for name in ("pixels", "real"):
            out = data / f"{engine}_{name}.npz"
            assert cli("run", folder, "--engine", engine, "-i", data / f"{name}.npz", "-o", out).code == 0
            found[name] = dict(np.load(out))
        assert found["pixels"].keys() == found["real"].keys()
        assert all((found["pixels"][k] == found["real"][k]).all() for k in found["real"])
    assert cli("verify", folder, "-i", data / "pixels.npz", "--engines", "reference").code == 0
    assert cli("verify", folder, "-i", data / "pixels.npz", "--l4").code == 0
    assert cli("eval", folder, "--data", data / "labelled.npz", "--json").json["agreement"] > 0.9


def test_data_that_no_pixels_can_be_are_noticed(cli, image):
    net, folder = image
    command = ["compile", net, "--target", "mcu", "--calibration", folder / "real.npz", "-o"]
    assert "check MEAN and STD" in cli(*command, folder / "a", "--input", "x=uint8,0,255").err
    assert cli(*command, folder / "b", "--input", "x=uint8,127.5,64").err == ""


def test_other_integers_are_refused(refused, built, image):
    folder, data = built("--input", "x=uint8,127.5,64"), image[1]
    refused(
        "run", folder, "--engine", "float", "-i", data / "wrong.npz", "-o", data / "o.npz", texts=["stored type uint8"]
    )
    refused(
        "compile", image[0], "--target", "mcu", "-o", data / "o", "--calibration", data / "wrong.npz", "--input",
        "x=uint8,0,1", texts=["calibration array 'x' holds int32"],
    )  # fmt: skip
    refused(
        "compile", image[0], "--target", "mcu", "-o", data / "o", "--calibration", data / "pixels.npz",
        texts=["calibration array 'x' holds uint8", "--input x=uint8"],
    )  # fmt: skip


@pytest.mark.parametrize(("arguments", "texts"), [
    (["--input", "x=int8,0,1"], ["'int8,0,1'", "uint8,MEAN,STD"]), (["--input", "x"], ["not NAME=uint8,MEAN,STD"]),
    (["--input", "=uint8,0,1"], ["not NAME=uint8,MEAN,STD"]), (["--input", "z=uint8,0,1"], ["--input names 'z'"]),
    (["--input", "x=uint8,0,0"], ["std"]), (["--input", "x=uint8,0:1:2,1"], ["3 means or stds", "[2, 4, 4]"]),
    (["--input", "x=uint8,0,1", "--input-range", "x=0,1"], ["--input and --input-range for 'x'"]),
])  # fmt: skip
def test_bad_types_are_refused(refused, image, arguments, texts):
    refused("compile", image[0], "--target", "mcu", "-o", image[1] / "o", *arguments, texts=texts)


def test_python_options_are_checked(image):
    import hwcomp

    with pytest.raises(hwcomp.errors.UsageError, match=r"hwcomp\.Pixels"):
        hwcomp.compile(image[0], image[1] / "o", target="mcu", input_types={"x": "uint8"})
