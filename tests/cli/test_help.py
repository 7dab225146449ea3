"""Help, version, the list of passes, and what all commands share: how they refuse, and streams that fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwcomp import __version__
from hwcomp.passes.pipeline import ORDER
from hwcomp.registry import PASSES
from tests.models import model, saved, values

COMMANDS = ("compile", "run", "verify", "eval", "inspect", "report", "ops")

_HELP = """
import contextlib, io, sys
from hwcomp.cli import main
for arguments in (["--help"], *([c, "--help"] for c in sys.argv[1:]), []):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(arguments)
    assert "usage: hwcomp" in out.getvalue(), arguments
heavy = {m.split(".")[0] for m in sys.modules} & {"numpy", "onnx", "onnxruntime", "networkx", "jinja2", "rich",
"sw_ref"}
print(sorted(heavy))
"""


def hwcomp(*args, **how):
    command = [sys.executable, "-m", "hwcomp.cli", *map(str, args)]
    return subprocess.run(command, text=True, check=False, stdin=subprocess.DEVNULL, **how)


def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", _HELP, *COMMANDS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_the_test_above_would_notice():
    """`ops` does import some of it."""
    text = (
        _HELP.replace('"--help"]', '"--version"]')
        .replace("usage: hwcomp", "")
        .replace("main(arguments)", "main(['ops'])")
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert "numpy" in done.stdout


def test_help_names_every_command_and_the_exit_codes(cli):
    found = cli("--help")
    assert found.code == 0
    assert [c for c in COMMANDS if f"\n    {c} " not in found.out] == []
    assert "Exit codes: 0 done; 1 the work ran and failed" in found.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    found = cli(command, "--help")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"usage: hwcomp {command} ")
    assert "Exit codes: " in found.out


def test_version(cli):
    found = cli("--version")
    assert (found.code, found.out, found.err) == (0, f"hwcomp {__version__}\n", "")


def test_no_command_shows_the_help(cli):
    found = cli()
    assert (found.code, found.err) == (2, "")
    assert found.out.startswith("usage: hwcomp ")


@pytest.mark.parametrize(("args", "text"), [
    (["frobnicate"], "invalid choice: 'frobnicate'"), (["--frobnicate"], "--frobnicate"),
    (["ops", "--frobnicate"], "--frobnicate"),
    (["compile", "m.onnx"], "--target"), (["compile", "m.onnx", "--target", "mcu"], "-o"), (["run", "d"], "--engine"),
    (["compile", "m.onnx", "--target", "mcu", "-o", "d", "--golden", "many"], "invalid int value: 'many'"),
    (["run", "d", "--engine", "c", "-i", "i", "-o", "o", "--tap", "some"], "invalid choice: 'some'"),
    (["eval", "d"], "--data"), (["inspect"], "MODEL.onnx"), (["report"], "DIR"), (["report", "a", "b"], "unrecognized"),
])  # fmt: skip
def test_bad_usage_points_to_the_help(refused, args, text):
    assert "--help" in refused(*args, texts=[text])


@pytest.mark.parametrize("args", [
    ["ops", "a\nb"], ["report", "a\nb"], ["run", "a\nb", "--engine", "c", "-i", "a\rb", "-o", "o"],
    ["inspect", "a\x1b[31m\nb.onnx"],
    ["o\nps"], ["eval", "a\vb", "--data", "x\ny"], ["compile", "a\nb.onnx", "--target", "m\ncu", "-o", "a\nb"],
    ["compile", "a.onnx", "--target", "mcu", "-o", "d", "--calibration", "a\nb.npz"],
    ["compile", "a.onnx", "--target", "mcu", "-o", "d", "--config", "a\nb.toml"],
    ["compile", "a.onnx", "--target", "mcu", "-o", "d", "--pass", "a\nb"], ["verify", "d", "--limit", "\x7f\u2028=1"],
], ids=repr)  # fmt: skip
def test_errors_stay_on_one_line(refused, args):
    assert refused(*args).isprintable()


@pytest.mark.parametrize("args", [["report", "d" * 5000], ["ops", "x" * 5000], ["inspect", "x" * 5000 + ".onnx"]])
def test_errors_stay_short(refused, args):
    refused(*args)


def test_print_passes_lists_them_in_order_with_kind_and_options(cli):
    found = cli("--print-passes")
    assert (found.code, found.err) == (0, "")
    heads = [line.split() for line in found.out.splitlines() if not line.startswith(" ")]
    assert [h[0] for h in heads] == list(ORDER)
    assert [h[1] for h in heads] == [PASSES[n].kind for n in ORDER]
    assert all(len(h) > 4 for h in heads)  # and a sentence
    assert found.out.count("enabled=") == len(ORDER)


def test_an_internal_error_is_one_line_without_traceback(cli, refused, monkeypatch):
    """Whatever happens inside, the user sees a line; HWCOMP_DEBUG=1 shows more."""
    import hwcomp.commands

    def fail(args):
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(hwcomp.commands, "run_ops", fail)
    monkeypatch.delenv("HWCOMP_DEBUG", raising=False)
    found = cli("ops")
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith("hwcomp: internal error: ZeroDivisionError: first.")
    monkeypatch.setenv("HWCOMP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli("ops")


@pytest.mark.parametrize(("error", "code", "text"), [
    (KeyboardInterrupt, 130, "hwcomp: interrupted\n"), (MemoryError, 1, "hwcomp: out of memory."),
])  # fmt: skip
def test_interrupts_and_lack_of_memory(cli, monkeypatch, error, code, text):
    import hwcomp.commands

    def fail(args):
        raise error

    monkeypatch.setattr(hwcomp.commands, "run_ops", fail)
    found = cli("ops")
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith(text)


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "hwcomp.cli", "ops"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("args", [["ops"], ["--version"]])
def test_a_full_disk_behind_stdout(args):
    with Path("/dev/full").open("w") as full:
        done = hwcomp(*args, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("hwcomp: ")
    assert done.stderr.count("\n") == 1
    assert "internal error" not in done.stderr


def test_the_module_runs_like_the_command():
    assert hwcomp("--version", capture_output=True).stdout == f"hwcomp {__version__}\n"


def test_a_terminal_that_knows_no_unicode(tmp_path):
    """Names from a model are replaced where the terminal can't show them; the result and the exit code stay."""
    nodes = [("Conv", ["x\U0001f600", "w"], ["y\u00e9"], {}, "n\u4e2d")]
    path = saved(
        model(nodes, {"x\U0001f600": (1, 2, 4, 4)}, {"w": values("w", 3, 2, 3, 3)}, outputs=("y\u00e9",)),
        tmp_path / "net.onnx",
    )
    folder = tmp_path / "out"
    for encoding in ("ascii", "latin-1"):
        for args in (
            ["compile", path, "--target", "mcu", "-o", folder, "--print-passes"],
            ["inspect", path],
            ["report", folder],
            ["eval", folder, "--data", folder / "vectors" / "inputs.npz"],
        ):
            done = hwcomp(
                *args, capture_output=True, encoding=encoding, env={**os.environ, "PYTHONIOENCODING": encoding}
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout
            assert "internal error" not in done.stderr


def test_closed_streams():
    """As a daemon starts it: no stdout, no stderr."""
    for redirect, code in ((">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)):
        command = f'"{sys.executable}" -m hwcomp.cli ops {redirect}'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, "")
    done = subprocess.run(["sh", "-c", f'"{sys.executable}" -m hwcomp.cli frob 2>&-'], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
