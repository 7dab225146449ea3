"""Every generated design through Verilator's lint, Icarus with the plain testbench, and Yosys; and each can fail."""

import os
import re
import shutil

import numpy as np
import pytest

from hwcomp import npz
from hwcomp.verify.verilator_build import root, verilator_binary
from tests.backends.verilog_designs import DESIGNS, change, copied, design, run

YOSYS = "read_verilog -defer {files}; hierarchy -check -top net_top; proc; check -assert"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("designs")
    return lambda name: design(name, folder)


def lint(rtl):
    """The command of rtl/README.md -> its complaints."""
    command = [verilator_binary(), "--lint-only", "-Wall", "--top-module", "net_top", "-f", "net.f"]
    done = run(command, rtl, env={**os.environ, "VERILATOR_ROOT": str(root())})
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("%")] or [""] * done.returncode


def simulate(rtl, folder, stall=25):
    """The command of rtl/README.md -> what the testbench printed last."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed")
    done = run(
        ["iverilog", "-g2005", f"-Ptb.STALL={stall}", "-s", "tb", "-c", "net.f", "-o", folder / "tb.vvp", "tb.v"], rtl
    )
    if done.returncode:
        return done.stderr
    assert done.stderr == ""
    return run(["vvp", "-n", folder / "tb.vvp"], rtl).stdout.strip().splitlines()[-1]


def yosys(rtl):
    """Elaborated and checked -> (passed, what was said)."""
    if shutil.which("yosys") is None:
        pytest.skip("Yosys is not installed")
    files = " ".join((rtl / "net.f").read_text().split())
    done = run(["yosys", "-q", "-p", YOSYS.format(files=files)], rtl)
    return done.returncode == 0 and "Warning" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("name", DESIGNS)
def test_verilator_has_nothing_to_say(built, name):
    assert lint(built(name).dir / "rtl") == []


@pytest.mark.parametrize("stall", [0, 50])
@pytest.mark.parametrize("name", DESIGNS)
def test_the_plain_testbench_passes_on_icarus(built, tmp_path, name, stall):
    said = simulate(built(name).dir / "rtl", tmp_path, stall)
    assert re.fullmatch(r"PASS: 6 frames in \d+ cycles", said), said


@pytest.mark.parametrize("name", DESIGNS)
def test_icarus_warns_of_nothing(built, name):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed")
    done = run(["iverilog", "-g2005", "-Wall", "-tnull", "-s", "net_top", "-c", "net.f"], built(name).dir / "rtl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", DESIGNS)
def test_yosys_checks_it(built, name):
    passed, said = yosys(built(name).dir / "rtl")
    assert passed, said


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_is_plain_verilog_with_all_its_cells(built, name):
    """Nothing but instances in the top; the file list names all cells and no other; no vendor primitive."""
    rtl = built(name).dir / "rtl"
    files = (rtl / "net.f").read_text().split()
    assert sorted(files) == sorted(p.name for p in rtl.glob("*.v") if p.name != "tb.v")
    assert files[-1] == "net_top.v"
    defined = {m for f in files for m in re.findall(r"^module\s+(\w+)", (rtl / f).read_text(), re.MULTILINE)}
    assert defined == {f.removesuffix(".v") for f in files}
    top = re.sub(r"//[^\n]*", "", (rtl / "net_top.v").read_text())
    assert not re.search(r"\b(always|initial|reg|function|task|logic|signed)\b", top)
    used = set(re.findall(r"^  (hwc_\w+) #\(", top, re.MULTILINE))
    assert used <= defined
    named = set(re.findall(r'\{MEM_DIR, "/(\w+\.mem)"\}', top))
    assert named == {p.name for p in (rtl / "mem").glob("*")}


@pytest.mark.parametrize("name", DESIGNS)
def test_golden_frames_tell_wrong_designs_from_right_ones(built, name):
    """The frames that the testbench and the stream bench compare are not all alike, and not all at the limits."""
    least = {"argmax": 3, "one pixel": 5, "two ports": 5}.get(name, 6)
    for array in npz.load(built(name).dir / "vectors" / "outputs.npz").values():
        assert len(np.unique(array.reshape(len(array), -1), axis=0)) >= least
        assert len(np.unique(array)) >= min(least, 6)


# --- the checks can fail ----------------------------------------------------------------------------------------------

BREAKS = {
    "no driver": ("net_top.v", ".m_data_o(e1_data)", ".m_data_o()"),
    "two drivers": ("net_top.v", "endmodule", "  assign e1_data = e0_data;\nendmodule"),
    "missing module": ("net_top.v", "  hwc_fifo #(", "  hwc_fifi #("),
}


@pytest.mark.parametrize("name", BREAKS)
def test_yosys_finds_a_broken_design(built, tmp_path, name):
    rtl = copied(built("padding and stride"), tmp_path)
    assert yosys(rtl)[0]
    file, old, new = BREAKS[name]
    change(rtl / file, old, new)
    passed, said = yosys(rtl)
    assert not passed, said


@pytest.mark.parametrize(("old", "new"), [
    (".m_data_o(e1_data)", ".m_data_o()"), ("wire [7:0] e1_data;", "wire [9:0] e1_data;"),
    ("  hwc_fifo #(", "  hwc_fifi #("),
    ("endmodule", "  wire nothing;\nendmodule"),
])  # fmt: skip
def test_lint_finds_a_broken_design(built, tmp_path, old, new):
    rtl = copied(built("padding and stride"), tmp_path)
    assert lint(rtl) == []
    change(rtl / "net_top.v", old, new)
    assert lint(rtl) != []


def flip(path, digit="first"):
    """Another value in the last word of a .mem file."""
    lines = path.read_text().splitlines()
    lines[-1] = f"{int(lines[-1], 16) ^ 1:0{len(lines[-1])}x}"
    path.write_text("\n".join(lines) + "\n")


def wrong_output(rtl):
    flip(rtl.parent / "vectors" / "out0.mem")


def wrong_multiplier(rtl):
    path = rtl / "mem" / "k0_multiplier.mem"
    path.write_text("".join("0" * len(line) + "\n" for line in path.read_text().splitlines()))


def wrong_last_out(rtl):
    change(rtl / "hwc_axis_out.v", ".last_o(tlast_o)", ".last_o()")
    change(rtl / "hwc_axis_out.v", "assign s_ready_o", "assign tlast_o   = 1'b0;\n  assign s_ready_o")


def wrong_last_in(rtl):
    change(rtl / "tb.v", ".s_axis_tlast(sent0 %", ".s_axis_tlast(1 + sent0 %")


def no_movement(rtl):
    change(rtl / "hwc_axis_out.v", "assign tvalid_o  = s_valid_i;", "assign tvalid_o  = 1'b0;")


def unknown_bits(rtl):
    change(rtl / "hwc_axis_out.v", "assign tdata_o   = s_data_i;", "assign tdata_o   = {DW{1'bx}};")


@pytest.mark.parametrize(("breaks", "text"), [
    (wrong_output, "FAIL: 1 errors"), (wrong_multiplier, "FAIL: "), (wrong_last_out, "FAIL: 6 errors"),
    (wrong_last_in, "frame_err 1"),
    (no_movement, "timed out"), (unknown_bits, "FAIL: "),
])  # fmt: skip
def test_the_testbench_finds_a_broken_design(built, tmp_path, breaks, text):
    rtl = copied(built("padding and stride"), tmp_path)
    assert simulate(rtl, tmp_path).startswith("PASS")
    breaks(rtl)
    said = simulate(rtl, tmp_path)
    assert said.startswith("FAIL")
    assert text in said


def test_mem_dir_may_be_anywhere(built, tmp_path):
    """The parameter names the folder of the ROM files as the tool sees it."""
    rtl = copied(built("argmax"), tmp_path)
    (rtl / "mem").rename(tmp_path / "elsewhere")
    place = tmp_path / "elsewhere"
    assert not simulate(rtl, tmp_path).startswith("PASS")
    command = [
        "iverilog",
        "-g2005",
        f'-Ptb.MEM_DIR="{place}"',
        "-s",
        "tb",
        "-c",
        "net.f",
        "-o",
        tmp_path / "tb.vvp",
        "tb.v",
    ]
    assert run(command, rtl).returncode == 0
    assert run(["vvp", "-n", tmp_path / "tb.vvp"], rtl).stdout.startswith("PASS")
    script = "\n".join([
        f"read_verilog -defer {' '.join((rtl / 'net.f').read_text().split())}",
        f'chparam -set MEM_DIR "{place}" $abstract\\net_top',
        "hierarchy -check -top net_top", "proc", "check -assert",
    ])  # fmt: skip
    (tmp_path / "script.ys").write_text(script + "\n")
    if shutil.which("yosys"):
        assert run(["yosys", "-q", "-s", tmp_path / "script.ys"], rtl).returncode == 0
