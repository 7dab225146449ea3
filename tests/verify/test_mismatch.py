"""What verify says of a product that is wrong, can't be built, stands still, or can't be run (see tests/cli too)."""

import json
import re
import shutil

import pytest

from hwcomp import cli, npz
from hwcomp.verify import compare, engines
from hwcomp.verify.reference import run_program
from tests.models import model, values
from tests.products import compiled, stress


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Conv -> MaxPool -> Flatten -> Gemm for both targets."""
    nodes = [
        ("Conv", ["x", "w"], ["a"], {}, "first conv"),
        ("MaxPool", ["a"], ["b"], {"kernel_shape": [2, 2], "strides": [2, 2]}, "pool"),
        ("Flatten", ["b"], ["c"], {}, "flat"), ("Gemm", ["c", "v"], ["y"], {}, "last layer"),
    ]  # fmt: skip
    proto = model(nodes, {"x": (1, 2, 7, 7)}, {"w": values("w", 4, 2, 2, 2), "v": values("v", 36, 6)})
    return compiled(proto, tmp_path_factory.mktemp("sound"), pe_simd_budget=20, input_ranges={"x": (-1.0, 1.0)})


@pytest.fixture
def copy(sound, tmp_path):
    """A copy of the sound product that a test may spoil, and the inputs to verify it with."""
    shutil.copytree(sound.dir, tmp_path / "copy")
    (tmp_path / "in.npz").write_bytes(npz.dumps(stress(sound.program, 8)))
    return tmp_path / "copy"


def verify(folder, capsys, *options):
    """(exit code, outcome per engine) of the command."""
    code = cli.main(["verify", str(folder), "-i", str(folder.parent / "in.npz"), "--json", "--quiet", *options])
    out, err = capsys.readouterr()
    assert err == ""
    return code, {o["engine"]: o for o in json.loads(out)}


def replaced(path, pattern, change):
    """Change the first match of `pattern` in a text file; it must be there."""
    text = path.read_text()
    new, count = re.subn(pattern, change, text, count=1, flags=re.DOTALL)
    assert count == 1
    assert new != text
    path.write_text(new)


def other_weight(match):
    """The first number of an array of weights, far away from what it was."""
    return f"{match[1]}{int(match[2]) + (70 if int(match[2]) < 0 else -70)}"


def spoil_c(folder, layer):
    """One weight of kernel `layer` in the C source."""
    sources = list((folder / "src").glob("*_weights.c"))
    assert len(sources) == 1
    replaced(sources[0], rf"(\w*w{layer}\w*\[[^\]]*\][^{{]*\{{\s*)(-?\d+)", other_weight)


def spoil_verilog(folder, layer):
    """One hex digit of the weights of kernel `layer`: the top digit of lane 0 of the first word."""
    path = folder / "rtl" / "mem" / f"k{layer}_weight.mem"
    lines = path.read_text().splitlines()
    digits = list(lines[0])
    digits[-2] = f"{int(digits[-2], 16) ^ 4:x}"
    path.write_text("\n".join(["".join(digits), *lines[1:]]) + "\n")


SPOIL = {"c": spoil_c, "c:m4": spoil_c, "verilator": spoil_verilog}
LAYERS = {0: ("a", ["first conv"]), 3: ("y", ["last layer"])}


def test_a_sound_product_is_equal_everywhere(copy, capsys):
    code, found = verify(copy, capsys)
    assert code == 0
    assert {o["status"] for o in found.values()} == {"equal"}
    assert set(found) == {"reference", "c", "c:m4", "verilator"}


@pytest.mark.parametrize("engine", list(SPOIL))
@pytest.mark.parametrize("layer", list(LAYERS))
def test_one_wrong_weight_is_found(copy, sound, capsys, engine, layer):
    """Exit code 1; the first differing tensor, index, both values, and the ONNX node."""
    SPOIL[engine](copy, layer)
    code, found = verify(copy, capsys, "--engines", engine)
    assert code == 1
    tensor, nodes = LAYERS[layer]
    outcome = found[engine]
    difference = outcome["difference"]
    assert (outcome["status"], difference["tensor"], difference["nodes"]) == ("differs", tensor, nodes)
    want = run_program(sound.program, stress(sound.program, 8), taps=True)[tensor]
    at = (difference["sample"], *difference["index"])
    assert difference["expected"] == int(want[at])
    assert difference["got"] != difference["expected"]
    assert 1 <= difference["count"] <= want.size
    for part in (
        f"'{tensor}'",
        f"'{nodes[0]}'",
        str(difference["index"]),
        str(difference["expected"]),
        str(difference["got"]),
    ):
        assert part in outcome["detail"]


def test_only_the_spoiled_engine_differs(copy, capsys):
    spoil_c(copy, 0)
    code, found = verify(copy, capsys)
    assert code == 1
    assert {n: o["status"] for n, o in found.items()} == {
        "reference": "equal",
        "c": "differs",
        "c:m4": "differs",
        "verilator": "equal",
    }


def test_first_difference_is_the_first_in_order_of_execution(sound):
    expected = run_program(sound.program, stress(sound.program, 3), taps=True)
    got = {n: a.copy() for n, a in expected.items()}
    assert compare.first_difference(sound.program, expected, got) is None
    got["y"][0, 0] ^= 1
    got["b"][1, 2, 0, 1] ^= 3
    got["b"][2, 0, 0, 0] ^= 1
    found = compare.first_difference(sound.program, expected, got)
    assert (found.tensor, found.sample, found.index, found.count, found.nodes) == ("b", 1, (2, 0, 1), 2, ("pool",))
    assert (found.expected, found.got) == (int(expected["b"][1, 2, 0, 1]), int(expected["b"][1, 2, 0, 1]) ^ 3)


def test_samples_are_counted_across_chunks(sound, monkeypatch):
    """A difference in a later chunk carries the number of the sample in the whole data."""
    monkeypatch.setattr(compare, "_CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(compare, "_LEAST_CHUNK", 2)

    class Wrong(engines.engine("c").__class__):
        def run(self, built, inputs, taps, progress=lambda n: None):
            result = super().run(built, inputs, taps, progress)
            if (inputs["x"] == stored["x"][5]).all(axis=(1, 2, 3)).any():
                result.values["y"][-1] ^= 1
            return result

    stored = stress(sound.program, 8)
    (outcome,) = compare.verify(sound, stored, [Wrong()])
    assert outcome.difference.sample == 5


# --- products that don't build or don't move -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "file"),
    [("c", "src/{}.c"), ("c:m4", "src/{}.c"), ("verilator", "rtl/{}_top.v"), ("verilator", "rtl/hwc_mvu.v")],
)
def test_a_product_that_does_not_build_is_no_success(copy, sound, capsys, engine, file):
    path = copy / file.format(sound.name)
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    code, found = verify(copy, capsys, "--engines", engine)
    assert code == 1
    assert found[engine]["status"] == "not run"
    assert found[engine]["detail"]


@pytest.mark.parametrize(("pattern", "change", "text"), [
    (r"assign tvalid_o\s*= s_valid_i", "assign tvalid_o = s_valid_i && 1'b0", "stopped moving"),
    (r"\.last_o\(tlast_o\)", ".last_o()", "TLAST"),
])  # fmt: skip
def test_a_design_that_breaks_the_protocol_is_no_success(copy, capsys, pattern, change, text):
    replaced(copy / "rtl" / "hwc_axis_out.v", pattern, change)
    if text == "TLAST":
        replaced(copy / "rtl" / "hwc_axis_out.v", "endmodule", "assign tlast_o = 1'b0;\nendmodule")
    code, found = verify(copy, capsys, "--engines", "verilator")
    assert code == 1
    assert found["verilator"]["status"] == "not run"
    assert text in found["verilator"]["detail"]


def test_not_run_is_no_success(copy, capsys, monkeypatch):
    """Chosen by hwcomp: reported as not run, exit code 1."""
    monkeypatch.setattr(engines.engine("c:m4").__class__, "missing", lambda self: "no such tool here")
    code, found = verify(copy, capsys)
    assert code == 1
    assert (found["c:m4"]["status"], found["c:m4"]["detail"]) == ("not run", "no such tool here")
    assert {o["status"] for n, o in found.items() if n != "c:m4"} == {"equal"}
