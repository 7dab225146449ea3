"""Broken and hostile models at the command line: one clear error, exit code 2, nothing left behind."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import AttributeProto, StringStringEntryProto, TensorProto, helper, numpy_helper

from hwcomp.plan import dataflow
from tests.cli.test_product_folder import tree
from tests.models import model, values


def sound():
    """x [1, 4] -> Gemm 'fc' -> h -> Relu 'act' -> y."""
    nodes = [("Gemm", ["x", "w", "b"], ["h"], {}, "fc"), ("Relu", ["h"], ["y"], {}, "act")]
    return model(nodes, {"x": (1, 4)}, {"w": values("w", 4, 3), "b": values("b", 3)})


BROKEN = {}


def broken(*texts):
    """Register a function that breaks a sound model (or returns bytes), and what the error must say."""

    def add(breaks):
        BROKEN[breaks.__name__] = (breaks, texts)
        return breaks

    return add


@broken("truncated")
def truncated(net):
    return net.SerializeToString()[:-9]


@broken("cycle", "'fc'")
def cycle(net):
    net.graph.node[0].input[0] = "y"


@broken("'b' is read but never made", "'fc'")
def missing_initializer(net):
    del net.graph.initializer[1]


@broken("'fc'", "4", "5")
def wrong_shapes(net):
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((5, 3), np.float32), "w"))


@broken("'act'", "Frobnicate")
def unknown_op(net):
    net.graph.node[1].op_type = "Frobnicate"


@broken("'fc'", "'frobnicate'")
def unknown_attribute(net):
    net.graph.node[0].attribute.append(helper.make_attribute("frobnicate", 3))


@broken("'w'")
def huge_tensor(net):
    del net.graph.initializer[0]
    net.graph.initializer.append(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 3], raw_data=b"\0" * 12)
    )


@broken("'w'", "'../secret.bin'", "inside the model's folder")
def external_data_outside_the_folder(net):
    tensor = net.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(StringStringEntryProto(key="location", value="../secret.bin"))
    tensor.external_data.append(StringStringEntryProto(key="length", value="48"))


@broken("'w' is not finite", "'fc'")
def nan_weights(net):
    weights = values("w", 4, 3)
    weights[1, 2] = np.nan
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))


@broken("opset 999")
def opset_999(net):
    net.opset_import[0].version = 999


# Further ones, beyond the ten.


@broken("is empty")
def empty_file(net):
    return b""


@broken("truncated or is not an ONNX model")
def not_onnx(net):
    return b"GIF89a" + bytes(range(256))


@broken("'fc'")
def unknown_attribute_type(net):
    attribute = helper.make_attribute("alpha", 1.0)
    attribute.type = AttributeProto.STRING
    net.graph.node[0].attribute.append(attribute)


@broken("2", "batch")
def fixed_batch(net):
    net.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


@broken("'act'")
def other_domain(net):
    net.graph.node[1].domain = "com.example"
    net.opset_import.append(helper.make_opsetid("com.example", 1))


@pytest.fixture
def folder(tmp_path):
    """work/net.onnx is the model; a secret lies outside."""
    (tmp_path / "secret.bin").write_bytes(np.full(12, 1 / 3, np.float32).tobytes())
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def write(name, folder):
    breaks, texts = BROKEN[name]
    net = sound()
    data = breaks(net)
    (folder / "net.onnx").write_bytes(net.SerializeToString() if data is None else data)
    return texts


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("target", ["mcu", "fpga,mcu"])
def test_a_broken_model_is_one_clear_error(refused, folder, name, target):
    texts = write(name, folder)
    before = tree(folder.parent)
    refused("compile", folder / "net.onnx", "--target", target, "-o", folder / "out", texts=texts)
    refused("inspect", folder / "net.onnx", texts=texts)
    refused("inspect", folder / "net.onnx", "--json", texts=texts)
    assert tree(folder.parent) == before


def test_the_sound_model_compiles(cli, folder):
    """What the models above are before they are broken."""
    (folder / "net.onnx").write_bytes(sound().SerializeToString())
    assert cli("compile", folder / "net.onnx", "--target", "mcu,fpga", "-o", folder / "out", "--quiet").code == 0


@pytest.mark.parametrize("name", ["truncated", "opset_999", "huge_tensor"])
def test_as_a_process_of_its_own(folder, name):
    """Exit code and streams as a script sees them; nothing but the one line on stderr."""
    (text, *_) = write(name, folder)
    before = tree(folder)
    command = [
        sys.executable,
        "-m",
        "hwcomp.cli",
        "compile",
        folder / "net.onnx",
        "--target",
        "mcu",
        "-o",
        folder / "out",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hwcomp: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert tree(folder) == before


def test_truncation_anywhere_is_refused_or_sound(cli, folder):
    """Every prefix of a model file: an error of one line or, at the very end, a model."""
    data = sound().SerializeToString()
    path = folder / "net.onnx"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        found = cli("inspect", path)
        assert (found.code, found.out) == (2, ""), size
        assert found.err.startswith("hwcomp: ")
        assert found.err.count("\n") == 1
        assert "internal error" not in found.err


def test_no_file_or_a_folder(refused, folder):
    for path in (folder / "nothing.onnx", folder):
        refused("compile", path, "--target", "mcu", "-o", folder / "out", texts=[path.name])
        refused("inspect", path, texts=[path.name])
    assert list(folder.iterdir()) == []


def test_what_one_target_can_not_do_names_node_and_the_other_target(cli, refused, folder, monkeypatch):
    monkeypatch.delitem(dataflow._ENGINES, "conv2d")
    nodes = [("Conv", ["x", "w"], ["y"], {"group": 2}, "depth")]
    path = folder / "net.onnx"
    path.write_bytes(model(nodes, {"x": (1, 2, 5, 5)}, {"w": values("w", 2, 1, 3, 3)}).SerializeToString())
    command = ["compile", path, "-o", folder / "out", "--quiet", "--target"]
    for target in ("fpga", "mcu,fpga"):
        refused(*command, target, texts=["conv2d", "fpga", "'depth'", "mcu"])
        assert not (folder / "out").exists()
    assert cli(*command, "mcu").code == 0
