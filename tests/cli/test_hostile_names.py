"""Any name is legal, for tensors, nodes, the model file and the network: products build, verify, and nothing escapes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwcomp import npz
from tests.cli.test_product_folder import tree
from tests.models import model, saved, values

NAMES = {
    "shell": 'a;system("x")', "parents": "../../x", "keyword": "endmodule", "long": "n" * 10_000, "emoji": "\U0001f600\u00e9\u4e2d",
    "quotes": "'\"`$(touch hacked)`\"'", "newline": "a\nb\r\nc", "comment end": "*/ int evil; /*", "line comment": "// \\\n evil",
    "backtick": "`include \"/etc/passwd\"", "backslash": "ends in \\", "member": "file", "trigraph": "??/\nevil", "format": "%s%n%d{{7*7}}{% raw %}",
    "space": " ", "digits": "0123", "c keyword": "int", "private": "__init__", "absolute": "/etc/passwd", "dot": "..", "npy": "x.npy",
    "carriage": "a\rb", "separator": "a\u2028b", "right to left": "\u202eevil", "key": "labels", "null-like": "None", "json": '{"a": "\\u0000',
}  # fmt: skip
EVIL = re.compile(r"evil|hacked|passwd|system|7\*7|49", re.IGNORECASE)


def chain(names):
    """Conv, then 1x1 convolutions with Relu between, one layer per pair of names: tensors, constants and nodes called so."""
    names = list(names)
    tensors = [*names, f"{names[-1]} "]
    nodes, constants = [], {}
    for i, name in enumerate(names):
        weight = f"w{i} {name}"
        constants[weight] = values(f"w{i}", 2, 2, *((3, 3) if i == 0 else (1, 1)))
        attrs = {"pads": [1, 1, 1, 1]} if i == 0 else {}
        nodes.append(("Conv", [tensors[i], weight], [tensors[i + 1]], attrs, name))
    return model(nodes, {tensors[0]: (1, 2, 3, 3)}, constants, outputs=tensors[-1:])


def one(name):
    """A convolution whose node, input and, with more after it, output are called `name`; the output is its last part."""
    out = f"{name}\t"
    nodes = [("Conv", [name, "w"], [f"{name} c"], {}, name), ("MaxPool", [f"{name} c"], [out], {"kernel_shape": [2, 2]}, "")]
    return model(nodes, {name: (1, 2, 4, 4)}, {"w": values("w", 3, 2, 3, 3)}, outputs=(out,))


def file_name(name):
    """`name` as a file name, as far as file names allow it."""
    return name.replace("/", "_")[:200].strip(".") or "dot"


def code(path, text):
    """The text without comments and strings."""
    if path.suffix in (".c", ".h"):
        text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
    elif path.suffix == ".v":
        text = re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
    else:
        text = re.sub(r"#[^\n]*", " ", text)
    return text


def check_text(folder, name):
    """No generated file has the raw name, bytes beyond ASCII, or more than identifiers derived from the name in its code."""
    for path in sorted([*folder.glob("src/**/*"), *folder.glob("rtl/**/*")]):
        if path.is_dir():
            continue
        data = path.read_bytes()
        assert data.isascii(), path
        text = data.decode()
        assert set(text) <= set("\n\t") | set(map(chr, range(32, 127))), path
        assert path.relative_to(folder).as_posix().replace("/", "").replace(".", "").replace("-", "").isidentifier()
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            assert name not in text, path
        if path.suffix in (".c", ".h", ".v"):
            bare = code(path, text)
            assert "\\" not in bare.replace("\\\n", ""), path
            assert not EVIL.search(bare) or EVIL.search("_".join(re.findall(r"[A-Za-z0-9]+", name))), path
            for line in text.splitlines():
                assert not line.endswith("\\") or path.suffix in (".c", ".h"), path
                assert "??" not in line, path
        for word in re.findall(r"\w*" + re.escape(name) + r"\w*", code(path, text)) if name.isidentifier() else []:
            assert re.fullmatch(r"[A-Za-z0-9_]+", word)


def verify(cli, folder, *options):
    found = cli("verify", folder, "--quiet", *options)
    assert (found.code, found.err) == (0, ""), found
    assert "differs" not in found.out
    return found


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """An empty folder to work in; whatever appears outside of `work` is an escape."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_for_tensors_nodes_file_and_network(cli, inside, name):
    """Compiled for both targets from a file of that name under --name; verified as C; accepted by Icarus."""
    path = inside / f"{file_name(name)}.onnx"
    saved(one(name), path)
    real = values("real", 3, 2, 4, 4)
    (inside / "in.npz").write_bytes(npz.dumps({name: real}))
    for folder, options in (("by_file", []), ("by_name", ["--name", name])):
        found = cli("compile", path, "--target", "mcu,fpga", "--calibration", "in.npz", "-o", folder, "--quiet", *options)
        assert (found.code, found.out, found.err) == (0, "", "")
        check_text(inside / folder, name)
        verify(cli, folder, "--engines", "reference,c", "-i", "in.npz")
        rtl = inside / folder / "rtl"
        (top,) = rtl.glob("*_top.v")
        command = ["iverilog", "-g2005", "-Wall", "-tnull", "-s", "tb", "-c", f"{top.stem[:-4]}.f", "tb.v"]
        done = subprocess.run(command, cwd=rtl, capture_output=True, text=True, check=False)
        assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
    assert sorted(tree(inside.parent)) == sorted({"work", *(f"work/{n}" for n in tree(inside))})
    assert {p.name for p in inside.iterdir()} == {path.name, "in.npz", "by_file", "by_name"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_data_goes_in_and_out_under_the_name(cli, inside, name):
    saved(one(name), inside / "net.onnx")
    real = values("real", 3, 2, 4, 4)
    (inside / "in.npz").write_bytes(npz.dumps({name: real}))
    assert cli("compile", "net.onnx", "--target", "mcu", "--input-range", f"{name}=-1,1", "-o", "out", "--quiet").code == 0
    assert cli("run", "out", "--engine", "c", "-i", "in.npz", "-o", "o.npz", "--tap", "all").code == 0
    found = npz.load(inside / "o.npz")
    assert set(found) == {n + q for n in (name, f"{name} c", f"{name}\t") for q in ("", ".q")}
    for command in (["report", "out"], ["inspect", "net.onnx"], ["eval", "out", "--data", "in.npz"], ["report", "out", "--json"]):
        found = cli(*command)
        assert (found.code, found.err) == (0, "")
        assert all(c.isprintable() or c == "\n" for c in found.out)
        assert max(map(len, found.out.splitlines())) < 21000


def test_all_names_in_one_network_on_every_engine(cli, inside):
    """Every tensor and node has another of these names; all taps on C, Cortex-M4 and Verilator."""
    names = list(NAMES.values())
    saved(chain(names), inside / "net.onnx")
    (inside / "in.npz").write_bytes(npz.dumps({names[0]: values("real", 3, 2, 3, 3)}))
    found = cli("compile", "net.onnx", "--target", "mcu,fpga", "--calibration", "in.npz", "-o", "out", "--quiet")
    assert (found.code, found.err) == (0, "")
    for name in names:
        check_text(inside / "out", name)
    rows = cli("verify", "out", "-i", "in.npz", "--json").json
    assert {r["engine"]: (r["status"], r["tensors"]) for r in rows} == {
        "reference": ("equal", 1), **dict.fromkeys(["c", "c:m4", "verilator"], ("equal", len(names) + 1)),
    }  # fmt: skip
    assert {p.name for p in inside.iterdir()} == {"net.onnx", "in.npz", "out"}


def test_a_difference_at_a_hostile_name_is_one_printable_line(cli, inside):
    """The raw newline, escape codes and 10,000 characters do not reach the terminal."""
    for i, name in enumerate(("a\nb\x1b[31m", NAMES["long"])):
        saved(one(name), inside / "net.onnx")
        assert cli("compile", "net.onnx", "--target", "mcu", "-o", f"out{i}", "--quiet").code == 0
        path = inside / f"out{i}" / "src" / "net_weights.c"
        text = path.read_text()
        start = text.index("{", text.index("net_w0[")) + 1
        changed = re.sub(r"-?\d+", lambda m: str(-int(m[0])), text[start:], count=9)
        path.write_text(text[:start] + changed)
        found = cli("verify", f"out{i}", "--engines", "c", "--samples", "20")
        assert found.code == 1
        assert all(c.isprintable() or c == "\n" for c in found.out)
        assert len(found.out) < 2000


def test_names_that_become_the_same_identifier_stay_apart(cli, inside):
    """Three inputs and outputs that differ in one character; as C structs, AXI ports and in the data."""
    names = ["a b", "a_b", "A.b"]
    nodes, constants = [], {}
    for i, name in enumerate(names):
        constants[f"w{i}"] = values(f"w{i}", 4, 3)
        nodes.append(("Gemm", [name, f"w{i}"], [f"{name}!"], {}, name))
    saved(model(nodes, {n: (1, 4) for n in names}, constants, outputs=[f"{n}!" for n in names]), inside / "net.onnx")
    data = {n: values(n, 5, 4) for n in names}
    (inside / "in.npz").write_bytes(npz.dumps(data))
    assert cli("compile", "net.onnx", "--target", "mcu,fpga", "--calibration", "in.npz", "-o", "out", "--quiet").code == 0
    header = (inside / "out" / "src" / "net.h").read_text()
    fields = re.findall(r"^\s+int8_t (\w+)\[\d\];", header, re.MULTILINE)
    assert len(fields) == 6
    assert len({f.lower() for f in fields[:3]}) == len({f.lower() for f in fields[3:]}) == 3
    top = (inside / "out" / "rtl" / "net_top.v").read_text()
    assert [f"s{i}_axis_tdata" in top and f"m{i}_axis_tdata" in top for i in range(3)] == [True] * 3
    verify(cli, "out", "-i", "in.npz")
    assert cli("run", "out", "--engine", "verilator", "-i", "in.npz", "-o", "o.npz").code == 0
    found = npz.load(inside / "o.npz")
    for i, name in enumerate(names):
        want = data[name] @ constants[f"w{i}"]
        assert np.abs(found[f"{name}!"] - want).max() < 0.1
        assert np.abs(want).max() > 0.5


def test_a_dot_q_collision_is_refused(cli, refused, inside):
    """A tensor `y.q` and the `.q` of `y` can't be in one file."""
    nodes = [("Gemm", ["x", "w"], ["y"], {}, "one"), ("Gemm", ["y", "w"], ["y.q"], {}, "two")]
    saved(model(nodes, {"x": (1, 4)}, {"w": values("w", 4, 4)}, outputs=("y.q",)), inside / "net.onnx")
    (inside / "in.npz").write_bytes(npz.dumps({"x": values("x", 3, 4)}))
    assert cli("compile", "net.onnx", "--target", "mcu", "-o", "out", "--calibration", "in.npz", "--quiet").code == 0
    verify(cli, "out")
    assert cli("run", "out", "--engine", "c", "-i", "in.npz", "-o", "o.npz").code == 0
    assert sorted(npz.load(inside / "o.npz")) == ["y.q", "y.q.q"]
    refused("run", "out", "--engine", "c", "-i", "in.npz", "-o", "o2.npz", "--tap", "all", texts=["'y.q'"])
    assert not (inside / "o2.npz").exists()


def test_tensors_called_x_and_x_npy_are_told_apart(cli, inside):
    """x.npy is also the member that holds x."""
    nodes = [("Gemm", ["x", "w"], ["y"], {}), ("Gemm", ["x.npy", "w2"], ["z"], {})]
    constants = {"w": values("w", 4, 4), "w2": values("w2", 4, 4)}
    saved(model(nodes, {"x": (1, 4), "x.npy": (1, 4)}, constants, outputs=("y", "z")), inside / "net.onnx")
    data = {"x": values("x", 3, 4), "x.npy": values("other", 3, 4)}
    (inside / "in.npz").write_bytes(npz.dumps(data))
    assert cli("compile", "net.onnx", "--target", "mcu", "-o", "out", "--calibration", "in.npz", "--quiet").code == 0
    assert cli("run", "out", "--engine", "c", "-i", "in.npz", "-o", "o.npz", "--tap", "all").code == 0
    found = npz.load(inside / "o.npz")
    assert np.abs(found["x"] - data["x"]).max() < 0.01
    assert np.abs(found["x.npy"] - data["x.npy"]).max() < 0.01


def test_a_name_with_a_null_is_refused_or_works(cli, inside):
    saved(one("a\0b"), inside / "net.onnx")
    found = cli("compile", "net.onnx", "--target", "mcu,fpga", "-o", "out", "--quiet")
    assert found.code in (0, 2)
    assert "internal error" not in found.err
    assert found.code == 0 or not (inside / "out").exists()


# --- the network's name -----------------------------------------------------------------------------------------------

BUILT_IN = (
    "test", "all", "clean", "install", "help", "edit_cache", "package", "stdint", "stddef", "string", "stdio", "arm_acle", "harness",
    "board", "startup", "semihost", "main", "test_main", "image", "link", "linux", "unix", "assert", "tb", "Vtop", "verilated", "NULL",
    "printf", "memcpy", "uint8_t", "x", "design", "Test", "STDINT",
)  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_network_may_be_called_anything(cli, net, inside, name):
    """Words of C, make, CMake, Verilog and of our own files: C on the host, Cortex-M4, its make file, Icarus."""
    found = cli("compile", net.model, "--target", "mcu,fpga", "--calibration", net.data, "-o", "out", "--name", name, "--quiet")
    assert (found.code, found.err) == (0, "")
    verify(cli, "out", "--engines", "c,c:m4")
    (header,) = inside.glob("out/src/*_golden.h")
    made = header.name[: -len("_golden.h")]
    gcc = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I.", *(f"{made}{s}.c" for s in ("", "_weights", "_static", "_selftest"))]
    for command, where in (
        ([*gcc, "test_main.c", "-o", "../../self_test"], "src"), (["../../self_test"], "src"), (["make", "-s", "run"], "src/baremetal"),
        (["iverilog", "-g2005", "-s", "tb", "-c", f"{made}.f", "-o", "../../tb.vvp", "tb.v"], "rtl"), (["vvp", "-n", "../../tb.vvp"], "rtl"),
    ):  # fmt: skip
        done = subprocess.run(command, cwd=inside / "out" / where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout + done.stderr)
    assert "PASS" in done.stdout


@pytest.mark.parametrize("name", ["test", "all", "clean", "install", "stdint", "help", "package"])
def test_cmake_takes_the_name(cli, net, inside, name):
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    assert cli("compile", net.model, "--target", "mcu", "--calibration", net.data, "-o", "out", "--name", name, "--quiet").code == 0
    for command in (["cmake", "-S", "out/src", "-B", "build"], ["cmake", "--build", "build"], ["ctest", "--test-dir", "build"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_relative_and_odd_output_folders_hold_everything(cli, net, inside):
    """Folder names with blanks, quotes and newlines; nothing beside the folder."""
    for name in ("a b", "q'\"", "new\nline", "-dash", "\U0001f600", "a;b", "$HOME"):
        folder = Path("products") / name
        found = cli("compile", net.model, "--target", "mcu,fpga", "--calibration", net.data, "-o", folder, "--quiet")
        assert (found.code, found.err) == (0, "")
        verify(cli, folder, "--engines", "reference,c,verilator", "--limit", "verilator=1")
        assert os.listdir(inside) == ["products"]
        assert os.listdir(folder.parent) == [name]
        shutil.rmtree(folder)
