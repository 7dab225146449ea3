"""hwcomp run: the format of IN.npz and OUT.npz on every engine, and the data that it refuses."""

import io
import json
import zipfile

import numpy as np
import pytest

from hwcomp import npz
from hwcomp.verify.reference import run_program

ENGINES = ("reference", "c", "c:m4", "verilator")
TENSORS = ["x", "r", "m", "f", "y"]  # the last ONNX value fused into each tensor of the Program


@pytest.fixture
def out(cli, net, tmp_path):
    """Run `net` on an engine -> the arrays of OUT.npz."""

    def run(engine, *options, data=None, product=None):
        path = tmp_path / "out.npz"
        found = cli("run", product or net.product, "--engine", engine, "-i", data or net.data, "-o", path, *options)
        assert (found.code, found.err) == (0, ""), found
        assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
        return npz.load(path)

    return run


def boundary(folder):
    data = json.loads((folder / "manifest.json").read_text())
    return {port["name"]: port for side in ("inputs", "outputs") for port in data[side]}


# --- OUT.npz ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_are_real_values_and_stored_integers(out, net, engine):
    found = out(engine)
    port = boundary(net.product)["y"]
    assert sorted(found) == ["y", "y.q"]
    assert (found["y.q"].dtype.name, found["y.q"].shape) == (port["type"], (6, 5))
    assert (found["y"].dtype, found["y"].shape) == (np.float32, (6, 5))
    steps = (found["y.q"].astype(np.int64) - port["zero_point"]).astype(np.float32)
    assert (found["y"] == steps * np.float32(port["scale"])).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_tap_all_stores_every_tensor_and_all_engines_agree(out, net, engine):
    import hwcomp

    program = hwcomp.load(net.product).program
    found = out(engine, "--tap", "all")
    assert list(program.edges) == TENSORS
    assert sorted(found) == sorted([*TENSORS, *(f"{t}.q" for t in TENSORS)])
    want = run_program(program, {"x": program.edges["x"].from_real(net.real)}, taps=True)
    for name in TENSORS:
        edge, q = program.edges[name], found[f"{name}.q"]
        assert (q.dtype, q.shape) == (edge.dtype, (6, *edge.shape))
        assert (q == want[name]).all()
        scale = np.uint32(edge.scale_bits).view(np.float32)
        assert found[name].dtype == np.float32
        assert (found[name] == (q.astype(np.int64) - edge.zero).astype(np.float32) * scale).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_argmax_is_int64_without_q(out, indices, engine):
    found = out(engine, "--tap", "all", data=indices.data, product=indices.product)
    assert sorted(found) == ["h", "h.q", "x", "x.q", "y"]
    assert found["y"].dtype == np.int64
    assert (found["y"].reshape(6) == found["h.q"].argmax(axis=1)).all()
    assert sorted(out(engine, data=indices.data, product=indices.product)) == ["y"]


def test_float_is_the_original_model(out, net, indices):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(net.model), providers=["CPUExecutionProvider"])
    found = out("float")
    assert list(found) == ["y"]
    assert found["y"].dtype == np.float32
    assert (found["y"] == session.run(None, {"x": net.real})[0]).all()
    found = out("float", data=indices.data, product=indices.product)
    assert (list(found), found["y"].dtype) == (["y"], np.int64)


def test_the_same_run_gives_the_same_bytes(cli, net, tmp_path):
    for name in ("a.npz", "b.npz"):
        assert cli("run", net.product, "--engine", "c", "-i", net.data, "-o", tmp_path / name, "--tap", "all").code == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(("engine", "keys"), [
    ("reference", []), ("c", []),
    ("c:m4", ["code_bytes", "flash_bytes", "instructions", "ram_bytes", "stack_bytes", "weight_bytes"]),
    ("verilator", ["cycles_per_frame", "frames_with_stalls", "largest_engine_beats", "latency_cycles"]), ("float", []),
])  # fmt: skip
def test_json_holds_exact_counts(cli, net, tmp_path, engine, keys):
    command = ["run", net.product, "--engine", engine, "-i", net.data, "-o", tmp_path / "o.npz", "--json"]
    found = cli(*command)
    assert (found.code, found.err) == (0, "")
    assert set(found.json) >= set(keys)
    assert all(type(v) in (int, float) and v >= 0 for v in found.json.values())
    assert cli(*command).json == found.json  # no clock in it
    assert cli(*command[:-1]).out == ""


# --- IN.npz -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_integers_of_the_stored_type_are_taken_as_they_are(out, stored, engine):
    q = np.random.default_rng(1).integers(-128, 127, (3, 2, 8, 7), np.int8, endpoint=True)
    found = out(engine, "--tap", "all", data=stored(x=q))
    assert (found["x.q"] == q).all()


def test_floats_are_rounded_half_to_even_and_saturate(out, net, stored):
    port = boundary(net.product)["x"]
    scale, zero = np.float32(port["scale"]), port["zero_point"]
    real = np.zeros((1, 2, 8, 7), np.float32)
    real.flat[:6] = [1e30, -1e30, 0, scale, 1.5 * float(scale), 2.5 * float(scale)]
    q = out("reference", "--tap", "all", data=stored(x=real))["x.q"].reshape(-1)
    assert q[:6].tolist() == [127, -128, zero, zero + 1, zero + 2, zero + 2]


def test_float64_float16_a_batch_axis_and_labels_are_fine(out, net, stored):
    want = out("c")["y.q"]
    assert (out("c", data=stored(x=net.real.astype(np.float64)))["y.q"] == want).all()
    assert (out("c", data=stored(x=net.real[:, None]))["y.q"] == want).all()
    assert (out("c", data=stored(x=net.real, labels=np.arange(6)))["y.q"] == want).all()
    assert (out("c", data=stored(x=np.asfortranarray(net.real)))["y.q"] == want).all()
    assert (out("c", data=stored(x=net.real.astype(">f4")))["y.q"] == want).all()
    assert out("c", data=stored(x=net.real.astype(np.float16)))["y.q"].shape == want.shape


GOOD = np.zeros((2, 2, 8, 7), np.float32)
WRONG = {
    "other name": ({"z": GOOD}, ["no array 'x'", "it has 'z'"]), "nothing": ({}, ["no array 'x'"]),
    "extra": ({"x": GOOD, "z": GOOD}, ["'z'"]),
    "one axis less": ({"x": GOOD[0]}, ["(2, 8, 7)", "leading sample axis"]),
    "transposed": ({"x": GOOD.transpose(0, 1, 3, 2)}, ["(2, 2, 7, 8)"]),
    "flat": ({"x": GOOD.reshape(2, -1)}, ["(2, 112)"]), "0-d": ({"x": np.float32(1)}, ["shape ()"]),
    "no samples": ({"x": GOOD[:0]}, ["samples"]),
    "nan": ({"x": np.where(np.arange(7) == 3, np.nan, GOOD).astype(np.float32)}, ["NaN"]),
    "inf": ({"x": GOOD + np.float32(np.inf)}, ["infinity"]),
    "uint8": ({"x": GOOD.astype(np.uint8)}, ["uint8", "stored type int8"]),
    "int64": ({"x": GOOD.astype(np.int64)}, ["int64", "int8"]),
    "bool": ({"x": GOOD.astype(bool)}, ["bool"]), "complex": ({"x": GOOD.astype(np.complex64)}, ["complex64"]),
    "text": ({"x": np.full(GOOD.shape, "a")}, ["<U1"]), "dates": ({"x": GOOD.astype("M8[s]")}, ["datetime64"]),
    "labels of floats": ({"x": GOOD, "labels": np.zeros(2)}, ["'labels'", "integers"]),
    "labels with two axes": ({"x": GOOD, "labels": np.zeros((2, 1), int)}, ["'labels'", "one per sample"]),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "texts"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("engine", ["reference", "float"])
def test_wrong_data_is_refused(refused, net, stored, tmp_path, arrays, texts, engine):
    data = stored(**arrays)
    refused("run", net.product, "--engine", engine, "-i", data, "-o", tmp_path / "o.npz", texts=texts)
    assert not (tmp_path / "o.npz").exists()
    if engine == "reference":
        refused("verify", net.product, "-i", data, texts=texts)
        refused("eval", net.product, "--data", data, texts=texts)


def archive(net):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        member = io.BytesIO()
        np.save(member, net.real)
        file.writestr("x.npy", member.getvalue())
    return out.getvalue()


def header(net, text):
    """An archive with one member that has this header of .npy."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        body = text.encode().ljust(118) + b"\n"
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + bytes(64))
    return out.getvalue()


DAMAGE = {
    "empty": lambda net: b"", "cut": lambda net: archive(net)[:200],
    "no archive": lambda net: b"PK\x03\x04 not an archive",
    "zeros inside": lambda net: archive(net)[:90] + bytes(50) + archive(net)[140:],
    "not text": lambda net: bytes(range(256)) * 4,
    "no arrays inside": lambda net: npz.dumps({}) ,
    "huge": lambda net: header(net, "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,)}"),
    "negative": lambda net: header(net, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
    "code in the header": lambda net: header(net, "__import__('os').abort()"),
    "unclosed": lambda net: header(net, "{'descr': '<f4', ("),
    "objects": lambda net: header(net, "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_archives_are_refused(refused, net, tmp_path, damage):
    path = tmp_path / "in.npz"
    path.write_bytes(DAMAGE[damage](net))
    for command in (
        ["run", net.product, "--engine", "c", "-i", path, "-o", tmp_path / "o.npz"],
        ["eval", net.product, "--data", path],
    ):
        line = refused(*command)
        assert "'in.npz'" in line or damage == "no arrays inside"
    assert not (tmp_path / "o.npz").exists()


def test_any_damaged_byte_is_refused_or_harmless(cli, net, tmp_path):
    """Bytes of an archive, changed one by one: never a crash."""
    good, path = archive(net), tmp_path / "in.npz"
    for at in range(0, len(good), 29):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        found = cli("run", net.product, "--engine", "reference", "-i", path, "-o", tmp_path / "o.npz")
        assert found.code in (0, 2), (at, found)
        assert "internal error" not in found.err
        assert "Traceback" not in found.err


# --- engines and places -----------------------------------------------------------------------------------------------


def test_unknown_engines_are_refused(refused, net, tmp_path):
    for name in ("hls:ac", "gcc", "", "c ", "C"):
        refused(
            "run", net.product, "--engine", name, "-i", net.data, "-o", tmp_path / "o.npz",
            texts=["no engine", "reference, c, c:m4, verilator, hls"],
        )  # fmt: skip


def test_float_has_no_taps(refused, net, tmp_path):
    refused(
        "run",
        net.product,
        "--engine",
        "float",
        "-i",
        net.data,
        "-o",
        tmp_path / "o.npz",
        "--tap",
        "all",
        texts=["integer engine"],
    )


@pytest.mark.parametrize(
    ("target", "engine", "other"), [("mcu", "verilator", "fpga"), ("fpga", "c", "mcu"), ("fpga", "c:m4", "mcu")]
)
def test_an_engine_needs_its_product(cli, refused, net, tmp_path, target, engine, other):
    folder = tmp_path / "one"
    assert cli("compile", net.model, "--target", target, "--calibration", net.data, "-o", folder, "--quiet").code == 0
    refused(
        "run", folder, "--engine", engine, "-i", net.data, "-o", tmp_path / "o.npz",
        texts=[f"was not compiled for {other}", f"--target {other}"],
    )  # fmt: skip
    refused("eval", folder, "--engine", engine, "--data", net.data, texts=[f"was not compiled for {other}"])


@pytest.mark.parametrize(("engine", "tool"), [("c", "gcc"), ("c:m4", "arm-none-eabi-gcc"), ("verilator", "g++")])
def test_a_missing_tool_is_named(refused, net, tmp_path, monkeypatch, engine, tool):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(
        "run",
        net.product,
        "--engine",
        engine,
        "-i",
        net.data,
        "-o",
        tmp_path / "o.npz",
        texts=[f"engine {engine} can't run", tool],
    )
    refused("eval", net.product, "--engine", engine, "--data", net.data, texts=[tool])
    assert not (tmp_path / "o.npz").exists()


def test_output_that_can_not_be_written(cli, refused, net, tmp_path):
    command = ["run", net.product, "--engine", "reference", "-i", net.data, "-o"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for name, code in (("folder", (1, 2)), ("nothing/o.npz", (1, 2)), ("file/o.npz", (1, 2)), ("a" * 300, (1, 2))):
        found = cli(*command, tmp_path / name)
        assert found.code in code
        assert found.err.count("\n") == 1
        assert "internal error" not in found.err
    found = cli(*command, "")
    assert found.code in (1, 2)
    assert "internal error" not in found.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


def test_an_earlier_output_is_replaced_and_survives_an_error(cli, refused, net, stored, tmp_path):
    path = tmp_path / "o.npz"
    path.write_bytes(b"earlier")
    refused("run", net.product, "--engine", "c", "-i", stored(x=GOOD[0]), "-o", path)
    assert path.read_bytes() == b"earlier"
    assert cli("run", net.product, "--engine", "c", "-i", net.data, "-o", path).code == 0
    assert sorted(npz.load(path)) == ["y", "y.q"]


def test_a_full_disk_keeps_the_earlier_output(refused, net, tmp_path, monkeypatch):
    import errno
    from pathlib import Path

    path = tmp_path / "o.npz"
    path.write_bytes(b"earlier")
    real = Path.write_bytes

    def full(self, data):
        real(self, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    refused("run", net.product, "--engine", "reference", "-i", net.data, "-o", path, code=1, texts=["No space left"])
    assert [p.name for p in tmp_path.iterdir()] == ["o.npz"]
    assert path.read_bytes() == b"earlier"


def test_input_and_output_may_be_the_same_file(cli, net, stored):
    path = stored(x=net.real)
    assert cli("run", net.product, "--engine", "reference", "-i", path, "-o", path).code == 0
    assert sorted(npz.load(path)) == ["y", "y.q"]


@pytest.mark.parametrize("engine", ENGINES)
def test_many_samples_and_a_single_one(out, net, stored, engine):
    """More than a batch of any engine; each sample is computed by itself."""
    count = 70 if engine in ("reference", "c") else 23
    real = np.random.default_rng(3).uniform(-1, 1, (count, 2, 8, 7)).astype(np.float32)
    found = out(engine, data=stored(x=real))["y.q"]
    assert found.shape == (count, 5)
    assert (out(engine, data=stored(x=real[-1:]))["y.q"] == found[-1:]).all()
    assert (out("reference", data=stored(x=real))["y.q"] == found).all()
