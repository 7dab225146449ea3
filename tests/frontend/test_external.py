"""External data: read from inside the model's folder only, checked, copied with the model."""

import hashlib
import os

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from hwcomp.errors import ModelError
from hwcomp.frontend.load import load_model


@pytest.fixture
def folder(tmp_path):
    """A model's folder beside files that it must not reach."""
    inside = tmp_path / "model"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    return inside


@pytest.fixture
def save(folder, good):
    """(location, data or None, further entries) -> path of a model whose 'w' lies outside of the file."""

    def write(location, data=None, **entries):
        model = good()
        weight = model.graph.initializer[0]
        if data is not None:
            (folder / location).write_bytes(data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            weight.external_data.add(key=key, value=str(value))
        (folder / "net.onnx").write_bytes(model.SerializeToString())
        return folder / "net.onnx"

    return write


VALUES = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize("location", ["weights.bin", "sub/w", "sub/ü ;$(x) 'w'"])
def test_read(save, location):
    data = bytes(8) + VALUES.tobytes() + bytes(4)
    model = load_model(save(location, data, offset=8, length=48, checksum=hashlib.sha1(data).hexdigest()))
    assert np.array_equal(numpy_helper.to_array(model.proto.graph.initializer[0]).ravel(), VALUES)
    (name,) = (n for n in model.graph.tensors if n.startswith("w"))
    assert np.array_equal(model.graph.tensors[name].data, VALUES.reshape(4, 3).T)
    assert [(f.name, f.size, f.sha256) for f in model.external] == [(location, 60, hashlib.sha256(data).hexdigest())]
    assert model.files() == {"model.onnx": model.path, location: model.path.parent / location}


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "sub/../../secret.bin", "..", ".", "", "/etc/passwd", "sub//w", "./w", "w\0", "sub", "missing"],
)
def test_outside_or_missing(save, location):
    with pytest.raises(ModelError, match=r"external data .*constant 'w'"):
        load_model(save(location))


def test_absolute_path_into_the_folder(save, folder):
    (folder / "w").write_bytes(VALUES.tobytes())
    with pytest.raises(ModelError, match="inside the model's folder"):
        load_model(save(str(folder / "w")))


def test_symbolic_links(save, folder):
    (folder / "link").symlink_to("../secret.bin")
    (folder / "up").symlink_to("..")
    (folder / "here").symlink_to("net.onnx")
    for location in ("link", "up/secret.bin", "here"):
        with pytest.raises(ModelError, match="without symbolic links"):
            load_model(save(location))


def test_special_files(save, folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(save("pipe"))


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"offset": 1}, "too short"),
        ({"offset": 10**14}, "too short"),
        ({"offset": 10**16}, "the offset"),
        ({"offset": -4}, "the offset '-4'"),
        ({"offset": "0x4"}, "the offset"),
        ({"offset": "٤"}, "the offset"),
        ({"length": 44}, "44 bytes of external data"),
        ({"length": 10**14}, "bytes of external data"),
        ({"checksum": "00"}, "wrong checksum"),
        ({"basepath": "/etc"}, "wrong key"),
    ],
)
def test_entries(save, entries, text):
    with pytest.raises(ModelError, match=text) as caught:
        load_model(save("w", VALUES.tobytes(), **entries))
    assert "constant 'w'" in str(caught.value)


def test_own_and_external_data(save, folder):
    path = save("w", VALUES.tobytes())
    model = type(load_model(path).proto).FromString(path.read_bytes())
    model.graph.initializer[0].raw_data = VALUES.tobytes()
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="both external and own data"):
        load_model(path)


def test_huge_file_is_not_read(save, folder):
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="'sparse' of constant 'w' is too large"):
        load_model(save("sparse"))


@pytest.mark.parametrize("location", ["model.onnx", "src/w"])
def test_names_of_the_product_stay_free(save, folder, location):
    (folder / "src").mkdir()
    model = load_model(save(location, VALUES.tobytes()))
    with pytest.raises(ModelError, match="the product has"):
        model.files(frozenset({"src", "rtl"}))
