"""--prune on the command line and in TOML."""

import json

import pytest


@pytest.fixture
def out(cli, net, tmp_path):
    """Compile the small network with options -> its manifest."""

    def compiled(*options):
        folder = tmp_path / "out"
        found = cli("compile", net.model, "--target", "mcu", "--calibration", net.data, "-o", folder, *options)
        assert found.code == 0, found.err
        return json.loads((folder / "manifest.json").read_text())

    return compiled


def test_amounts_are_in_the_manifest_and_the_notes(out):
    manifest = out("--prune", "filter=0.3", "--pass", "prune.criterion=l2")
    assert manifest["options"]["prune"] == {"filter": 0.3}
    assert any("2 of 3 filters" in line for line in manifest["notes"]["prune"])


def test_the_command_line_wins_over_toml(out, toml):
    manifest = out("--config", toml("[prune]\nfilter = 0.5\nchannel = 0"), "--prune", "filter=0")
    assert manifest["options"]["prune"] == {"filter": 0, "channel": 0}
    assert "prune" not in manifest["notes"]


def test_a_target_to_tune_for(out, toml):
    manifest = out("--prune", "block=0.3", "--tune-for", "mcu")
    assert (
        manifest["options"]["tune_for"] == "mcu"
        and "blocks of 4x4: what the target skips together" in manifest["notes"]["sparsify"]
    )
    assert out("--config", toml('tune_for = "fpga"'), "--prune", "filter=0.3")["options"]["tune_for"] == "fpga"
    assert "tune_for" not in out("--prune", "filter=0.3")["options"]


@pytest.mark.parametrize("of", ["cycles", "lut", "lane_cycles", "flash"])
def test_what_is_out_of_reach_ends_with_1(cli, net, tmp_path, of):
    found = cli(
        "compile",
        net.model,
        "--target",
        "mcu",
        "-o",
        tmp_path / "out",
        "--prune",
        "filter=0.97",
        "--pass",
        f"prune.of={of}",
    )
    assert found.code == 1 and "can't take 97% of the" in found.err and "Traceback" not in found.err
    assert not (tmp_path / "out").exists()


def test_layers_too_narrow_for_the_lanes_of_the_target(cli, net, tmp_path):
    options = ("--target", "mcu", "-o", tmp_path / "out", "--prune", "filter=0.3", "--tune-for", "mcu")
    found = cli("compile", net.model, *options)
    assert found.code == 1 and "give a smaller prune.multiple" in found.err


@pytest.mark.parametrize("wish", ["weight=0.5", "vector=0.5", "kernel=0.5", "block=0.5", "nm=1:2"])
def test_kinds_inside_layers_leave_zeros(out, wish):
    kind, amount = wish.split("=")
    manifest = out("--prune", wish)
    assert manifest["options"]["prune"] == {kind: amount if kind == "nm" else float(amount)}
    assert manifest["notes"]["sparsify"]


@pytest.mark.parametrize(("options", "texts"), [
    (["--prune", "weight=1.5"], ["sparsify.weight=1.5"]), (["--prune", "nm=5:4"], ["sparsify.nm"]),
    (["--prune", "filter"], ["'--prune filter' is not KIND=AMOUNT"]), (["--prune", "row=0.5"], ["kind 'row'", "filter, channel"]),
    (["--prune", "filter=0.1", "--prune", "filter=0.2"], ["--prune filter is given twice"]),
    (["--prune", "filter=half"], ["'half' is not a float"]), (["--prune", "filter=1"], ["prune.filter=1"]),
    (["--tune-for", "gpu"], ["unknown target 'gpu' of --tune-for", "mcu, fpga, hls"]), (["--tune-for", ""], ["unknown target ''"]),
    (["--prune", "channel=-0.5"], ["prune.channel=-0.5"]), (["--prune", "branch=nan"], ["prune.branch=nan"]),
])  # fmt: skip
def test_bad_wishes_are_refused(refused, net, tmp_path, options, texts):
    refused("compile", net.model, "--target", "mcu", "-o", tmp_path / "out", *options, texts=texts)


@pytest.mark.parametrize(("text", "texts"), [
    ("prune = 0.5", ["'prune'"]), ("[prune]\nfilter = true", ["'prune'"]), ("[prune]\nrow = 0.5", ["kind 'row'"]),
    ("[prune]\nblock = 2", ["sparsify.block=2"]), ("[prune]\nfilter = 2", ["prune.filter=2"]),
])  # fmt: skip
def test_bad_toml_is_refused(refused, net, toml, tmp_path, text, texts):
    refused("compile", net.model, "--target", "mcu", "-o", tmp_path / "out", "--config", toml(text), texts=texts)


def test_what_is_out_of_reach_exits_with_1(refused, net, tmp_path):
    options = ["--target", "mcu", "-o", tmp_path / "out", "--prune", "filter=0.9"]
    refused("compile", net.model, *options, code=1, texts=["pruning can't take 90%", "at most", "can go"])
