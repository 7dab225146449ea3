"""The Python API: compile, load, run, verify, evaluate, one after the other in one process."""

import subprocess
import sys

import numpy as np
import pytest

import hwcomp
from hwcomp.errors import HwcompError, UsageError
from tests.models import model, saved, values


@pytest.fixture
def path(tmp_path):
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    return saved(model(nodes, {"x": ("N", 5)}, {"w": values("w", 5, 3)}), tmp_path / "net.onnx")


@pytest.fixture
def x():
    return {"x": np.random.default_rng(0).uniform(0, 1, (6, 5)).astype(np.float32)}


def test_every_name_is_callable_again_and_again(path, tmp_path, x):
    for _ in range(2):
        built = hwcomp.compile(path, tmp_path / "out", target="mcu")
        assert hwcomp.load(tmp_path / "out").program.sha256() == built.program.sha256()
        outputs = hwcomp.run(tmp_path / "out", x)
        assert [(n, a.shape, a.dtype) for n, a in outputs.items()] == [("y", (6, 3), np.int8)]
        assert [o.status for o in hwcomp.verify(tmp_path / "out", engines=("reference", "c"))] == ["equal", "equal"]
        assert [o.samples for o in hwcomp.verify(tmp_path / "out", x, engines=("c",))] == [6]
        assert hwcomp.evaluate(tmp_path / "out", x).samples == 6


def test_it_is_what_all_names_say():
    for name in hwcomp.__all__:
        assert callable(getattr(hwcomp, name))


def test_engines_agree_on_every_tensor(path, tmp_path, x):
    hwcomp.compile(path, tmp_path / "out")
    taps = {e: hwcomp.run(tmp_path / "out", x, e, taps=True) for e in ("reference", "c", "verilator")}
    assert list(taps["reference"]) == ["x", "y"]
    for found in taps.values():
        assert {n: a.tolist() for n, a in found.items()} == {n: a.tolist() for n, a in taps["reference"].items()}


def test_verify_takes_all_engines_of_the_product(path, tmp_path):
    hwcomp.compile(path, tmp_path / "out", target=("fpga",))
    assert [(o.engine, o.status) for o in hwcomp.verify(tmp_path / "out")] == [
        ("reference", "equal"),
        ("verilator", "equal"),
    ]


def test_errors_are_exceptions_with_parts(path, tmp_path):
    with pytest.raises(UsageError, match="unknown target 'gpu'"):
        hwcomp.compile(path, tmp_path / "out", target="gpu")
    with pytest.raises(UsageError) as caught:
        hwcomp.compile(path, tmp_path / "out", quant="fixed:Q10.7")
    assert isinstance(caught.value, HwcompError)
    assert (caught.value.exit_code, caught.value.node) == (2, None)
    assert caught.value.what
    assert caught.value.fix
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="not a product"):
        hwcomp.load(tmp_path)


def test_import_alone_loads_nothing_heavy():
    code = "import hwcomp, sys; sys.exit(','.join(sorted({'numpy', 'onnx', 'jinja2', 'networkx'} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
