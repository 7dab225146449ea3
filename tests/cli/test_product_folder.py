"""The product folder is complete or not there, and nothing else is touched, whatever goes wrong."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hwcomp import product
from hwcomp.errors import WorkFailed


def tree(folder):
    """{relative path: content, None for a folder, or the link's target} of everything below."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


@pytest.fixture
def command(net):
    """The arguments that compile the small net into a folder."""

    def build(folder, *options):
        return [
            "compile",
            net.model,
            "--target",
            "mcu,fpga",
            "--calibration",
            net.data,
            "-o",
            folder,
            "--quiet",
            *options,
        ]

    return build


# --- what may be replaced ---------------------------------------------------------------------------------------------


def test_parents_are_made_and_an_empty_folder_is_taken(cli, command, tmp_path):
    assert cli(*command(tmp_path / "a" / "b" / "out")).code == 0
    (tmp_path / "empty").mkdir()
    assert cli(*command(tmp_path / "empty")).code == 0
    assert tree(tmp_path / "empty") == tree(tmp_path / "a" / "b" / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "empty"]


def test_an_earlier_product_is_replaced_as_a_whole(cli, net, copied, tmp_path):
    """Files of the earlier one do not stay; nothing is left beside it."""
    found = cli(
        "compile", net.model, "--target", "mcu", "--calibration", net.data, "-o", copied, "--name", "fresh", "--quiet"
    )
    assert found.code == 0
    assert sorted(p.name for p in copied.iterdir() if p.is_dir()) == ["program", "src", "vectors"]
    assert (copied / "src" / "fresh.c").exists()
    assert not (copied / "src" / "net.c").exists()
    assert [p.name for p in tmp_path.iterdir()] == [copied.name]


def test_a_product_is_compiled_again_from_its_own_model(cli, net, copied):
    before = tree(copied)
    found = cli(
        "compile",
        copied / "model.onnx",
        "--target",
        "mcu,fpga",
        "--calibration",
        net.data,
        "-o",
        copied,
        "--name",
        "net",
        "--quiet",
    )
    assert found.code == 0
    after = tree(copied)
    numbers = [n for n in before if n.startswith(("program/", "vectors/", "rtl/mem/", "model"))]
    assert len(numbers) > 10
    assert [n for n in numbers if before[n] != after[n]] == []
    assert before.keys() == after.keys()


@pytest.mark.parametrize("files", [
    {"mine.txt": "mine"}, {"manifest.json": '{"manifest_version": 3}', "mine.txt": "mine"},
    {"manifest.json": "", "mine.txt": "mine"},
    {"manifest.json": "[1]", "a/b.c": "mine"}, {".hidden": "mine"},
    {"manifest.json": '{"schema": 1}', "src/net.c": "mine"},
    {"manifest.json": '{"name": "net", "files": []}'}, {"sub/manifest.json": "{}"},
], ids="+".join)  # fmt: skip
def test_a_foreign_folder_is_not_touched(refused, command, tmp_path, files):
    folder = tmp_path / "foreign"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = tree(tmp_path)
    refused(*command(folder), texts=["exists and is not an earlier product", "-o"])
    assert tree(tmp_path) == before


def test_a_file_or_a_link_is_not_replaced(refused, command, tmp_path, copied):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(copied)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    before = tree(tmp_path)
    for name in ("file", "link", "dangling"):
        refused(*command(tmp_path / name), texts=["exists and is not an earlier product"])
    assert tree(tmp_path) == before


def test_a_parent_that_is_a_file(refused, command, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(*command(tmp_path / "file" / "out"), texts=["is a file", "name a folder"])
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("name", [".", ""])
def test_the_current_folder_as_output(cli, command, tmp_path, monkeypatch, name):
    """A product, or an error and nothing; never a left-over, and never a product that is called a failure."""
    monkeypatch.chdir(tmp_path)
    found = cli(*command(name))
    names = {p.name for p in tmp_path.iterdir()}
    assert (found.code == 0 and "manifest.json" in names) or (found.code in (1, 2) and names == set())
    assert [n for n in names if n.startswith(".")] == []
    assert "internal error" not in found.err


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000])
def test_impossible_folder_names(refused, command, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused(*command(name))
    assert list(tmp_path.iterdir()) == []


# --- failures ---------------------------------------------------------------------------------------------------------

FAILURES = {
    "bad option": (2, ["--golden", "0"]), "budget": (1, ["--pe-simd-budget", "1"]),
    "bad pass": (2, ["--pass", "x.y=1"]),
    "bad data": (2, ["--calibration", "/nowhere.npz"]),
}  # fmt: skip


@pytest.mark.parametrize(("code", "options"), FAILURES.values(), ids=FAILURES)
def test_a_failed_compile_keeps_the_earlier_product(refused, command, copied, tmp_path, code, options):
    before = tree(tmp_path)
    refused(*command(copied, *options), code=code)
    assert tree(tmp_path) == before


def test_a_broken_model_keeps_the_earlier_product(refused, copied, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x0a")
    before = tree(tmp_path)
    refused("compile", broken, "--target", "mcu", "-o", copied)
    assert tree(tmp_path) == before


WRITERS = {
    "file": (Path, "write_bytes"), "copy": (shutil, "copyfile"), "folder": (Path, "mkdir"), "rename": (Path, "rename"),
    "temporary": (product.tempfile, "mkdtemp"),
}  # fmt: skip


# A new product takes one rename and one temporary folder; replacing one takes two of each.
CALLS = [
    ("file", 0),
    ("file", 1),
    ("file", 2),
    ("copy", 0),
    ("folder", 0),
    ("folder", 1),
    ("rename", 0),
    ("temporary", 0),
]
CALLS = [*((*call, False) for call in CALLS), *((*call, True) for call in [*CALLS, ("rename", 1), ("temporary", 1)])]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize(("writer", "after", "earlier"), CALLS)
def test_a_write_that_fails_leaves_what_was_there(net, tmp_path, monkeypatch, writer, after, number, earlier):
    """Call number `after` of one kind of write below the output fails: one error, the earlier product byte for byte."""
    where, out = tmp_path / "where", tmp_path / "where" / "out"
    where.mkdir()
    if earlier:
        shutil.copytree(net.product, out)
    before = tree(where)
    owner, name = WRITERS[writer]
    real, calls = getattr(owner, name), []

    def fail(*args, **kwargs):
        target = str(kwargs.get("dir") or (args[1] if writer == "copy" else args[0]))
        if target.startswith(str(where)):
            calls.append(target)
            if len(calls) == after + 1:
                raise OSError(number, os.strerror(number), target)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, fail)
    full = "the disk is full" if number == errno.ENOSPC else "can't write"
    with pytest.raises(WorkFailed, match=full) as caught:
        product.write(out, {"a/b.c": "text", "model.onnx": net.model, "z.bin": b"\0\1"}, {"schema": 1})
    monkeypatch.undo()
    assert "nothing was written" in str(caught.value)
    assert tree(where) == before


def test_every_write_counts(tmp_path, net):
    """The same call without a failure: what the test above would leave if the failure went unseen."""
    product.write(tmp_path / "out", {"a/b.c": "text", "model.onnx": net.model, "z.bin": b"\0\1"}, {"schema": 1})
    assert tree(tmp_path).keys() == {"out", "out/a", "out/a/b.c", "out/model.onnx", "out/z.bin", "out/manifest.json"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "can't write")],
)
def test_a_full_disk_is_exit_1(refused, command, copied, tmp_path, monkeypatch, number, text):
    real = Path.write_bytes

    def full(self, data):
        if self.name == "net_top.v":
            raise OSError(number, os.strerror(number))
        return real(self, data)

    before = tree(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    for folder in (copied, tmp_path / "out"):
        refused(*command(folder), code=1, texts=[text, "nothing was written"])
    assert tree(tmp_path) == before


_FULL = """
import subprocess, sys
folder, *command = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "none", folder], check=True)
sys.path.insert(0, sys.argv[0])
from hwcomp.cli import main
code = main(command)
import os
print(code, sorted(os.listdir(folder)))
"""


def test_a_disk_that_is_really_full(net, tmp_path):
    """A file system of 96 kB, mounted in a name space of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting is not permitted here")
    command = ["compile", net.model, "--target", "mcu,fpga", "--calibration", net.data, "-o", folder / "out", "--quiet"]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", _FULL, str(folder), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1 []\n", done
    assert done.stderr == "hwcomp: the disk is full. No space left on device. nothing was written.\n"


def test_a_folder_that_may_not_be_written(refused, command, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    where = tmp_path / "closed"
    where.mkdir(mode=0o500)
    refused(*command(where / "out"), texts=["is a file", "name a folder"])
    assert list(where.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(cli, command, tmp_path, monkeypatch):
    real = Path.write_bytes

    def stop(self, data):
        if self.name == "manifest.json":
            raise KeyboardInterrupt
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", stop)
    assert cli(*command(tmp_path / "out")).code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_file_outside_the_folder_is_never_written(tmp_path):
    for name in ("../x", "/tmp/x", "a/../../x"):
        with pytest.raises(ValueError, match="leaves the product folder"):
            product.write(tmp_path / "out", {"good": "text", name: "text"}, {})
        assert list(tmp_path.iterdir()) == []


# --- reading it back --------------------------------------------------------------------------------------------------

USES = {
    "report": lambda d, net: ["report", d], "verify": lambda d, net: ["verify", d, "--quiet"],
    "run": lambda d, net: ["run", d, "--engine", "verilator", "-i", net.data, "-o", d.parent / "o.npz"],
    "eval": lambda d, net: ["eval", d, "--data", net.data],
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_what_is_no_product_is_refused(refused, net, tmp_path, use):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("nothing", "empty", "file"):
        refused(*USES[use](tmp_path / name, net), texts=[f"/{name}'"])


@pytest.mark.parametrize(("use", "name"), [
    ("report", "report.json"), ("report", "manifest.json"), ("verify", "src/net.c"),
    ("verify", "program/constants.npz"),
    ("verify", "vectors/inputs.npz"), ("verify", "rtl/net.f"), ("run", "rtl/net_top.v"),
    ("run", "rtl/mem/k0_weight.mem"),
    ("run", "program/program.json"), ("eval", "model.onnx"),
])  # fmt: skip
def test_a_product_with_a_missing_file(cli, net, copied, use, name):
    (copied / name).unlink()
    found = cli(*USES[use](copied, net))
    assert found.code in (1, 2)
    assert "internal error" not in found.err
    assert "Traceback" not in found.err + found.out


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"schema": 2}', '{"schema": 1}', "\x00", '{"schema": 1, "program_sha256": "0"}'],
)
@pytest.mark.parametrize("name", ["manifest.json", "program/program.json", "report.json"])
def test_a_product_with_damaged_json(refused, net, copied, name, text):
    (copied / name).write_text(text)
    use = "report" if name == "report.json" else "run"
    refused(*USES[use](copied, net))


def test_a_program_that_was_changed_is_refused(refused, net, copied):
    path = copied / "program" / "program.json"
    data = json.loads(path.read_text())
    data["kernels"][0]["params"]["requantize"]["shift"] += 1
    path.write_text(json.dumps(data))
    for use in ("run", "verify", "eval", "report"):
        refused(*USES[use](copied, net), texts=["the program in", "compile it again"])
