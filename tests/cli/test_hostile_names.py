"""Any name is legal, for tensors, nodes, the model file and the network: products build, verify, and nothing escapes."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwcomp import npz
from hwcomp.cli import main
from tests.cli.test_product_folder import tree
from tests.models import model, saved, values

NAMES = {
    "shell": 'a;system("x")', "parents": "../../x", "keyword": "endmodule", "long": "n" * 10_000, "emoji": "\U0001f600\u00e9\u4e2d",
    "quotes": "'\"`$(touch hacked)`\"'", "newline": "a\nb\r\nc", "comment end": "*/ int evil; /*", "line comment": "// \\\n evil",
    "backtick": "`include \"/etc/passwd\"", "backslash": "ends in \\", "member": "file", "trigraph": "??/\nevil", "format": "%s%n%d{{7*7}}{% raw %}",
    "space": " ", "digits": "0123", "c keyword": "int", "private": "__init__", "absolute": "/etc/passwd", "dot": "..", "npy": "x.npy",
    "carriage": "a\rb", "separator": "a\u2028b", "right to left": "\u202eevil", "key": "labels", "null-like": "None", "json": '{"a": "\\u0000',
}  # fmt: skip
def chain(names):
    """One layer per name; its node and its input are called so. Every fourth a convolution, the others pools."""
    tensors = [*names, f"{names[-1]} "]
    nodes, constants = [], {}
    for i, name in enumerate(names):
        if i % 4 == 0:
            constants[f"w{i} {name}"] = values(f"w{i}", 2, 2, 1, 1)
            nodes.append(("Conv", [tensors[i], f"w{i} {name}"], [tensors[i + 1]], {}, name))
        else:
            attrs = {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}
            nodes.append(("MaxPool", [tensors[i]], [tensors[i + 1]], attrs, name))
    return model(nodes, {tensors[0]: (1, 2, 3, 3)}, constants, outputs=tensors[-1:])


def one(name):
    """A convolution whose node, input and, with more after it, output are called `name`; the output is its last part."""
    out = f"{name}\t"
    nodes = [("Conv", [name, "w"], [f"{name} c"], {}, name), ("MaxPool", [f"{name} c"], [out], {"kernel_shape": [2, 2]}, "")]
    return model(nodes, {name: (1, 2, 4, 4)}, {"w": values("w", 3, 2, 3, 3)}, outputs=(out,))


def file_name(name):
    """`name` as a file name, as far as file names allow it."""
    return name.replace("/", "_")[:200].strip(".") or "dot"


_C = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\w+|\s+|.', re.DOTALL)
_SCRIPT = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|\w+|\s+|.', re.DOTALL)


def tokens(path):
    """The code of a file: words, strings and single characters, without comments and white space."""
    script = path.suffix not in (".c", ".h", ".v", ".ld")
    found = (_SCRIPT if script else _C).findall(path.read_text())
    comments = ("#",) if script else ("/*", "//")
    return [t for t in found if not t.isspace() and not t.startswith(comments)]


def generated(folder, made):
    """{path below the product with the network's name as NAME: path} of all that is generated but the model."""
    found = [p for part in ("src", "rtl", "vectors") for p in folder.glob(f"{part}/**/*") if p.is_file()]
    return {re.sub(rf"\b{made}(?=[._])", "NAME", p.relative_to(folder).as_posix()): p for p in found}


def check_code(folder, plain):
    """The code differs from that of the plain names in identifiers only, and in strings by the name of the network.

    `plain` is the product of the same network where everything has an innocent name.
    """
    made = json.loads((folder / "manifest.json").read_text())["name"]
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", made)
    mine, other = generated(folder, made), generated(plain, "plain")
    assert mine.keys() == other.keys()
    for name, path in mine.items():
        data = path.read_bytes()
        if path.suffix == ".npz":
            continue
        assert set(data) <= {9, 10, *range(32, 127)}, f"{name}: not printable ASCII"
        if path.suffix == ".md":
            assert data.count(b"\n") == other[name].read_bytes().count(b"\n"), name
            continue
        for have, want in zip(tokens(path), tokens(other[name]), strict=True):
            if have[0] == '"':
                same = have.replace(made, "NAME") == want.replace("plain", "NAME")
            else:
                same = have == want or all(re.fullmatch(r"[A-Za-z_]\w*", t, re.ASCII) for t in (have, want))
            assert same, f"{name}: {have!r} instead of {want!r}"


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


REAL = values("real", 3, 2, 4, 4)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same network as one(...) with innocent names."""
    folder = tmp_path_factory.mktemp("plain")
    saved(one("plain"), folder / "plain.onnx")
    (folder / "in.npz").write_bytes(npz.dumps({"plain": REAL}))
    command = ["compile", folder / "plain.onnx", "--target", "mcu,fpga", "--calibration", folder / "in.npz", "-o", folder / "product"]
    assert main([*map(str, command), "--quiet"]) == 0
    return folder / "product"


def test_the_comparison_of_code_notices(plain, tmp_path):
    """What a raw name would do: end a comment, add a statement, break a line."""
    for number, (name, old, new) in enumerate([
        ("src/plain.c", "/* plain */", "/* */ int evil; /* */"), ("rtl/plain_top.v", "  // Input plain", "  // Input\nevil"),
        ("rtl/plain_top.v", "plain_top", "\\plain "), ("src/plain.h", "t[32]", "t; int evil[32]"), ("rtl/plain.core", '"::plain:0"', '"::a b:0"'),
        ("src/plain.c", "/* plain */", "/* \u00e9 */"), ("vectors/in0.mem", "0", "1"), ("src/CMakeLists.txt", "add_library(plain", "add_library(a;b"),
    ]):  # fmt: skip
        folder = shutil.copytree(plain, tmp_path / str(number))
        check_code(folder, plain)
        text = (folder / name).read_text()
        old = next(t for t in (old, old.replace("t[32]", "plain[32]")) if t in text)
        (folder / name).write_text(text.replace(old, new, 1))
        with pytest.raises((AssertionError, ValueError)):
            check_code(folder, plain)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_for_tensors_nodes_file_and_network(cli, plain, inside, name):
    """Compiled for both targets, from a file of that name and under --name; verified as C; accepted by Icarus."""
    path = inside / f"{file_name(name)}.onnx"
    saved(one(name), path)
    (inside / "in.npz").write_bytes(npz.dumps({name: REAL}))
    for folder, options in (("by_file", []), ("by_name", ["--name", name])):
        found = cli("compile", path, "--target", "mcu,fpga", "--calibration", "in.npz", "-o", folder, "--quiet", *options)
        assert (found.code, found.out, found.err) == (0, "", "")
        check_code(inside / folder, plain)
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
    (inside / "in.npz").write_bytes(npz.dumps({name: REAL}))
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

BUILT_IN = ("test", "stdint", "string", "arm_acle", "harness", "board", "startup", "semihost", "main", "test_main", "linux", "tb")
MORE = (
    "all", "clean", "stddef", "stdio", "image", "link", "unix", "assert", "Vtop", "verilated", "NULL", "printf", "memcpy", "uint8_t", "x",
    "design", "Test", "STDINT", "i386", "signal", "errno", "top", "hwc", "cortex", "crt0",
)  # fmt: skip


@pytest.mark.parametrize("name", [*BUILT_IN, *(pytest.param(n, marks=pytest.mark.slow) for n in MORE)])
def test_a_network_may_be_called_anything(cli, indices, inside, name):
    """Words of C, make, Verilog and of our own files: C on the host and under QEMU, the make file, the testbench."""
    command = ["compile", indices.model, "--target", "mcu,fpga", "--calibration", indices.data, "-o", "out", "--name", name, "--quiet"]
    found = cli(*command)
    assert (found.code, found.err) == (0, "")
    verify(cli, "out", "--engines", "c,c:m4")
    (header,) = inside.glob("out/src/*_golden.h")
    made = header.name[: -len("_golden.h")]
    files = [f"{made}{s}.c" for s in ("", "_weights", "_static", "_selftest")]
    for command, where in (
        (["gcc", "-std=c99", "-I.", *files, "test_main.c", "-o", "../../self_test"], "src"), (["../../self_test"], "src"),
        (["make", "-s", "run"], "src/baremetal"),
        (["iverilog", "-g2005", "-s", "tb", "-c", f"{made}.f", "-o", "../../tb.vvp", "tb.v"], "rtl"), (["vvp", "-n", "../../tb.vvp"], "rtl"),
    ):  # fmt: skip
        done = subprocess.run(command, cwd=inside / "out" / where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout + done.stderr)
    assert "PASS" in done.stdout


@pytest.mark.parametrize("name", ["test", "all", "install", "stdint", "package"])
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
