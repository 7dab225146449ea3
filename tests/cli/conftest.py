"""The command line as users have it: main() with its exit code and streams, and small products to work on."""

import json
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from hwcomp import npz
from hwcomp.cli import main
from tests.models import model, saved, values


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def cli(capfd):
    """Run a command in this process -> Result."""

    def run(*args):
        capfd.readouterr()
        try:
            code = main([str(a) for a in args])
        except SystemExit as stop:  # --help
            code = stop.code
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def refused(cli):
    """Run a command that must fail with one short line on stderr that holds `texts` -> that line."""

    def run(*args, code=2, texts=()):
        found = cli(*args)
        lines = [line for line in found.err.splitlines() if not line.startswith("hwcomp: warning: ")]
        assert found.code == code, found
        assert found.out == ""
        assert len(lines) == 1, found.err
        assert lines[0].startswith("hwcomp: ")
        assert len(lines[0]) < 1100
        for bad in ("Traceback", "internal error", "Error:", "Errno"):
            assert bad not in lines[0]
        assert [t for t in texts if t not in lines[0]] == [], lines[0]
        return lines[0]

    return run


def small_net():
    """x [2, 8, 7] -> Conv 'conv' with padding, stride -> Relu r -> MaxPool m -> Flatten f -> Gemm 'fc' y [5]."""
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1], "strides": [2, 1]}, "conv"),
        ("Relu", ["c"], ["r"], {}, "act"),
        ("MaxPool", ["r"], ["m"], {"kernel_shape": [2, 2], "strides": [2, 2]}, "pool"),
        ("Flatten", ["m"], ["f"], {}, "flat"),
        ("Gemm", ["f", "w2", "b2"], ["y"], {"transB": 1}, "fc"),
    ]
    constants = {
        "w": values("w", 3, 2, 3, 3), "b": values("b", 3), "w2": values("w2", 5, 18), "b2": values("b2", 5)
    }  # fmt: skip
    return model(nodes, {"x": ("N", 2, 8, 7)}, constants)


def argmax_net():
    """x [4] -> Gemm h [6] -> ArgMax y."""
    nodes = [
        ("Gemm", ["x", "w", "b"], ["h"], {"transB": 1}, "fc"),
        ("ArgMax", ["h"], ["y"], {"axis": 1, "keepdims": 0}, "best"),
    ]
    constants = {"w": values("w", 6, 4), "b": values("b", 6)}
    return model(nodes, {"x": (1, 4)}, constants, types={"y": "int64"})


@dataclass(frozen=True)
class Work:
    """A model, real samples for it, and its product for both targets. Read only: see `copied`."""

    model: str
    data: str
    product: str
    real: np.ndarray


def _work(folder, proto, *shape):
    real = values("samples", 6, *shape)
    path, data = saved(proto, folder / "net.onnx"), folder / "data.npz"
    data.write_bytes(npz.dumps({"x": real}))
    command = ["compile", path, "--target", "mcu,fpga", "--calibration", data, "-o", folder / "product", "--quiet"]
    assert main([str(a) for a in command]) == 0
    return Work(path, data, folder / "product", real)


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    return _work(tmp_path_factory.mktemp("net"), small_net(), 2, 8, 7)


@pytest.fixture(scope="session")
def indices(tmp_path_factory):
    return _work(tmp_path_factory.mktemp("indices"), argmax_net(), 4)


@pytest.fixture
def copied(net, tmp_path):
    """The product of `net`, free to be changed."""
    return shutil.copytree(net.product, tmp_path / "copied")


@pytest.fixture
def stored(tmp_path):
    """Arrays by name -> the path of a new .npz file."""
    count = 0

    def store(**arrays):
        nonlocal count
        count += 1
        path = tmp_path / f"data{count}.npz"
        path.write_bytes(npz.dumps(arrays))
        return path

    return store


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture
def compiled(cli, net, tmp_path):
    """Compile the small net with more options -> (result, folder)."""

    def run(*options, target="mcu", quiet=True):
        folder = tmp_path / "out"
        quietly = ["--quiet"] if quiet else []
        found = cli(
            "compile", net.model, "--target", target, "--calibration", net.data, "-o", folder, *quietly, *options
        )
        assert found.code == 0, found.err
        return found, folder

    return run


@pytest.fixture
def rejected(refused, net, tmp_path):
    """Compile the small net with options that must be refused; nothing may be left."""

    def run(*options, code=2, texts=(), target="mcu,fpga"):
        where = tmp_path / "work"
        where.mkdir()
        line = refused(
            "compile", net.model, "--target", target, "--calibration", net.data, "-o", where / "out", *options,
            code=code,
            texts=texts,
        )  # fmt: skip
        assert list(where.iterdir()) == []
        return line

    return run


@pytest.fixture
def toml(tmp_path):
    """Text -> the path of an options file."""

    def write(text):
        path = tmp_path / "options.toml"
        path.write_text(text)
        return path

    return write
