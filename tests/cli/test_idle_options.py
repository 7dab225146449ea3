"""Options that change nothing are named in a warning, on the terminal and in the report."""

import json

import pytest


def warnings(cli, net, folder, *options):
    found = cli("compile", net.model, "--calibration", net.data, "-o", folder, *options)
    assert found.code == 0, found.err
    lines = [line.removeprefix("hwcomp: warning: ") for line in found.err.splitlines() if "warning" in line]
    assert lines == json.loads((folder / "report.json").read_text())["warnings"]
    return lines


@pytest.mark.parametrize(("options", "target", "text"), [
    (["--pe-simd-budget", "9"], "mcu", "--pe-simd-budget only matters to targets fpga and hls"),
    (["--least-fifos"], "mcu", "--least-fifos only matters to targets fpga and hls"),
    (["--unroll", "all"], "mcu", "--unroll only matters to target fpga"),
    (["--fpga-family", "ice40"], "mcu,hls", "--fpga-family only matters to target fpga"),
    (["--hls-dialect", "ac"], "mcu,fpga", "--hls-dialect only matters to target hls"),
    (["--c-weights", "fast"], "fpga", "--c-weights only matters to target mcu"),
    (["--share", "4"], "mcu", "--share saves flash on target mcu with --c-weights small only"),
    (["--tune-for", "mcu"], "mcu", "--tune-for only matters to --prune, whose passes alone consult a target"),
    (["--rest", "int16"], "mcu", "--rest only matters to models that are quantized already, and keep their types"),
])  # fmt: skip
def test_what_changes_nothing_is_named(cli, net, tmp_path, options, target, text):
    assert warnings(cli, net, tmp_path / "p", "--target", target, *options) == [text]


def test_what_matters_is_not(cli, net, tmp_path):
    options = ("--pe-simd-budget", 40, "--hls-dialect", "ac", "--least-fifos")
    assert warnings(cli, net, tmp_path / "p", "--target", "hls", *options) == []
    options = ("--pe-simd-budget", 40, "--tune-for", "fpga", "--prune", "filter=0.3")
    assert warnings(cli, net, tmp_path / "q", "--target", "mcu", *options) == []
