"""The HLS product as a user builds it: the testbench with g++ and the open headers, no warning, and a FAIL where it must."""

import os
import shutil
import subprocess

import pytest

from hwcomp.options import HLS_DIALECTS
from hwcomp.verify import hls_host
from tests.backends.hls_tools import needs_headers
from tests.backends.verilog_designs import PROGRAMS, batchnorm_net
from tests.models import values
from tests.products import compiled, from_program, stress

pytestmark = needs_headers

# Vitis' headers clear bits of values that were never set, which g++ reports in code of ours.
STRICT = (
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wvla",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Wno-maybe-uninitialized",
    "-Wno-uninitialized",
)


def run_testbench(folder, dialect, *flags):
    """Build and run as README.md says; (exit code, what it printed)."""
    command = ["g++", "-std=c++14", "-O1", *STRICT, *flags, "-isystem", hls_host.include(dialect)]
    command += [next(folder.glob("*_top.cpp")), folder / "tb.cpp", "-o", folder / "tb"]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[:2000]
    done = subprocess.run([folder / "tb"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("name", "dialect"), [
    ("padding and stride", "vitis"), ("odd lanes", "ac"), ("unsigned, wide", "vitis"), ("two ports", "ac"), ("argmax", "vitis"),
])  # fmt: skip
def test_the_testbench_passes(name, dialect, tmp_path):
    program, budget = PROGRAMS[name]()
    built = from_program(program, tmp_path, "hls", budget, stored=stress(program, 6), dialect=dialect)
    assert run_testbench(built.dir / "hls", dialect) == (0, "PASS: 6 frames\n")


@pytest.fixture(scope="module", params=HLS_DIALECTS)
def product(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("product")
    data = {"x": values("x", 6, 3, 6, 4, scale=2)}
    return compiled(batchnorm_net(), folder, "hls", name="net", golden=5, calibration=data, hls_dialect=request.param)


@pytest.mark.parametrize(("file", "old", "new"), [
    ("net_golden.h", "golden_out0", None), ("net_weights.h", "k4_weight", None), ("hwc_axis.h", "n == BEATS - 1", "n == 0"),
])  # fmt: skip
def test_the_testbench_fails_where_a_bit_or_tlast_is_wrong(product, tmp_path, file, old, new):
    folder = shutil.copytree(product.dir / "hls", tmp_path / "copy")
    text = (folder / file).read_text()
    assert old in text
    if new is None:  # the first number of the array
        at = text.index("{", text.index("= {", text.index(old)) + 3) + 1
        end = min(text.index(c, at) for c in ",}")
        text = f"{text[:at]}{(int(text[at:end]) + 61) % 127}{text[end:]}"
    else:
        text = text.replace(old, new)
    (folder / file).write_text(text)
    code, said = run_testbench(folder, product.manifest["targets"]["hls"]["dialect"])
    assert code == 1
    assert said.startswith("FAIL: ")


def test_no_undefined_behaviour_and_no_access_outside_of_an_array(product):
    dialect = product.manifest["targets"]["hls"]["dialect"]
    # ap_private.h itself shifts negative values to the left.
    sanitized = ("-fsanitize=undefined,address", "-fno-sanitize=shift", "-fno-sanitize-recover", "-static-libasan")
    assert run_testbench(product.dir / "hls", dialect, *sanitized) == (0, "PASS: 5 frames\n")


STUBS = """
foreach name {open_project set_top add_files open_solution set_part create_clock csim_design csynth_design cosim_design
              export_design project solution go directive} {
    proc $name args [list apply {name {upvar args given; puts [concat $name $given]}} $name]
}
"""


@pytest.mark.skipif(not shutil.which("tclsh"), reason="tclsh is not installed")
@pytest.mark.parametrize(("steps", "ran"), [
    (None, ["csim_design", "csynth_design"]), ("csynth cosim export", ["csynth_design", "cosim_design", "export_design"]),
])  # fmt: skip
def test_the_script_asks_the_tool_for_the_steps(product, tmp_path, steps, ran):
    """run_hls.tcl, with commands that only say what they are asked for; every file that it names is there."""
    folder = product.dir / "hls"
    (tmp_path / "run.tcl").write_text(STUBS + (folder / "run_hls.tcl").read_text())
    environment = {**os.environ, "HWC_PERIOD": "4.5", **({"HWC_STEPS": steps} if steps else {})}
    command = ["tclsh", tmp_path / "run.tcl"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    named = {word for line in said for word in line.split() if word.endswith((".cpp", ".h"))}
    assert named == {"net_top.cpp", "tb.cpp"} <= {p.name for p in folder.iterdir()}
    if product.manifest["targets"]["hls"]["dialect"] == "vitis":
        assert [line.split()[0] for line in said if line.split()[0].endswith("_design")] == ran
        assert "set_top net_top" in said
        assert any(line.startswith("create_clock") and "4.5" in line for line in said)
    else:
        assert [line for line in said if line.startswith("go ")] == [
            "go analyze", "go compile", "go libraries", "go assembly", "go architect", "go extract",
        ]  # fmt: skip
        assert any("4.5" in line for line in said)
