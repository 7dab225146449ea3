"""The compile as a whole: external weights, golden samples, and what the target does not change."""

import json

import numpy as np
import pytest

import hwcomp
from hwcomp import npz
from hwcomp.errors import ModelError
from hwcomp.samples import to_stored
from hwcomp.verify.float_engine import run_model
from hwcomp.verify.reference import run_program
from tests.models import model, saved, values
from tests.products import check, compiled

NODES = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})]


def with_external_data(folder, name):
    """The model in `folder`, its weight in the file `name` beside it."""
    proto = model(NODES, {"x": ("N", 5)}, {"w": values("w", 5, 3)})
    weight = proto.graph.initializer[0]
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = weight.EXTERNAL
    weight.external_data.add(key="location", value=name)
    return saved(proto, folder / "net.onnx")


def test_a_product_holds_its_external_weights(tmp_path):
    path = with_external_data(tmp_path / "from", "weights/w.bin")
    built = hwcomp.compile(path, tmp_path / "out", target="mcu")
    (tmp_path / "from" / "weights" / "w.bin").unlink()
    x = np.random.default_rng(0).uniform(0, 1, (4, 5)).astype(np.float32)
    have = run_model(built.dir / "model.onnx", {"x": x})["y"]
    assert float(np.abs(have - np.maximum(x @ values("w", 5, 3), 0)).max()) < 1e-6
    plain = compiled(model(NODES, {"x": ("N", 5)}, {"w": values("w", 5, 3)}), tmp_path, "mcu")
    assert plain.program.sha256() == built.program.sha256()
    check(built)


def test_external_weights_never_replace_a_file_of_the_product(tmp_path):
    """Every top-level name of a real product, and of what a later version will add."""
    built = compiled(model(NODES, {"x": ("N", 5)}, {"w": values("w", 5, 3)}), tmp_path)
    names = {p.name: p.is_dir() for p in built.dir.iterdir()}
    names |= {"hls": True, "report.html": False, "model.qdq.onnx": False}
    assert {"manifest.json", "program", "src", "rtl", "vectors"} <= set(names)
    for i, (name, is_dir) in enumerate(sorted(names.items())):
        path = with_external_data(tmp_path / f"from{i}", f"{name}/w.bin" if is_dir else name)
        if name == "model.onnx":
            path = path.rename(path.with_name("other.onnx"))
        with pytest.raises(ModelError, match="external data is called"):
            hwcomp.compile(path, tmp_path / "out", target="mcu")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("golden", [1, 3, 9])
def test_golden_samples_are_the_first_of_the_calibration(tmp_path, golden):
    x = np.random.default_rng(1).uniform(-1, 1, (6, 5)).astype(np.float32)
    built = compiled(
        model(NODES, {"x": ("N", 5)}, {"w": values("w", 5, 3)}), tmp_path, calibration={"x": x}, golden=golden
    )
    inputs, outputs = (npz.load(built.dir / "vectors" / f"{n}.npz") for n in ("inputs", "outputs"))
    assert inputs["x"].tolist() == to_stored(built.program, {"x": x[:golden]})["x"].tolist()
    assert outputs["y"].tolist() == run_program(built.program, inputs)["y"].tolist()
    beats = (built.dir / "vectors" / "in0.mem").read_text().splitlines()
    interface = built.manifest["targets"]["fpga"]["inputs"][0]
    assert len(beats) == len(inputs["x"]) * interface["beats"]


def test_neither_target_nor_budget_changes_the_program(tmp_path):
    proto = model(
        [("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})],
        {"x": (1, 2, 6, 6)},
        {"w": values("w", 3, 2, 3, 3)},
    )
    hashes = set()
    for i, (target, budget) in enumerate(
        [("mcu", None), ("fpga", None), ("fpga", 2), ("fpga,mcu", 100), ("mcu,fpga", 7)]
    ):
        (tmp_path / str(i)).mkdir()
        built = compiled(proto, tmp_path / str(i), target, pe_simd_budget=budget)
        hashes.add(built.program.sha256())
        assert json.loads((built.dir / "report.json").read_text())["program_sha256"] == built.program.sha256()
        assert (built.dir / "src").exists() == ("mcu" in target)
        assert (built.dir / "rtl").exists() == ("fpga" in target)
    assert len(hashes) == 1


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 31])
def test_requantize_bits(tmp_path, bits):
    """Fewer bits of the multiplier: another Program, the same on every engine, and no multiplier beyond them."""
    proto = model(
        [("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})],
        {"x": (1, 2, 6, 6)},
        {"w": values("w", 3, 2, 3, 3)},
    )
    built = compiled(proto, tmp_path, requantize_bits=bits)
    for kernel in built.program.kernels:
        assert int(kernel.constants["multiplier"].max()).bit_length() <= bits
    check(built, ("reference", "c", "verilator"))
