"""The engine `hls`: what it says of a product that is wrong, can't be synthesized, or can't be built here."""

import json
import re
import shutil
import tomllib

import numpy as np
import pytest

import hwcomp
from hwcomp import cli, npz
from hwcomp.verify import cache, compare, engines, hls_host
from tests.backends.hls_tools import needs_headers
from tests.models import ROOT, model, values
from tests.products import compiled, stress

NODES = [
    ("Conv", ["x", "w"], ["a"], {"pads": [1, 0, 0, 1]}, "first conv"), ("Relu", ["a"], ["r"], {}, "act"),
    ("MaxPool", ["r"], ["b"], {"kernel_shape": [2, 2], "strides": [2, 2]}, "pool"),
    ("Flatten", ["b"], ["c"], {}, "flat"), ("Gemm", ["c", "v"], ["y"], {}, "last layer"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    proto = model(NODES, {"x": (1, 2, 7, 7)}, {"w": values("w", 4, 2, 2, 2), "v": values("v", 36, 6)})
    return compiled(proto, tmp_path_factory.mktemp("sound"), "hls", pe_simd_budget=20, input_ranges={"x": (-1.0, 1.0)})


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound.dir, tmp_path / "copy")
    (tmp_path / "in.npz").write_bytes(npz.dumps(stress(sound.program, 20)))
    return tmp_path / "copy"


def verify(folder, capsys, *options):
    """(exit code, the outcome) of the command."""
    given = ["-i", str(folder.parent / "in.npz"), "--json", "--quiet", "--engines", "hls"]
    code = cli.main(["verify", str(folder), *given, *options])
    out, err = capsys.readouterr()
    assert err == ""
    return code, json.loads(out)[0]


def change(path, pattern, new):
    text = path.read_text()
    changed, count = re.subn(pattern, new, text, count=1)
    assert (count, changed != text) == (1, True)
    path.write_text(changed)


@needs_headers
def test_a_sound_product_is_equal_in_every_tensor(copy, sound, capsys):
    code, outcome = verify(copy, capsys)
    assert (code, outcome["status"], outcome["samples"]) == (0, "equal", 20)  # more than one chunk
    assert outcome["tensors"] == len(sound.program.edges)


@needs_headers
def test_run_gives_every_tensor_under_the_names_of_the_program(sound):
    x = stress(sound.program, 18)
    got, want = (hwcomp.run(sound.dir, x, engine, taps=True) for engine in ("hls", "reference"))
    assert list(got) == list(want)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name])
        assert got[name].dtype == want[name].dtype
    assert set(hwcomp.run(sound.dir, x, "hls")) == set(sound.program.outputs)


@needs_headers
@pytest.mark.parametrize(("rom", "tensor"), [("k0_weight", "r"), ("k3_bias", "y")])
def test_a_wrong_constant_is_found_where_it_is(copy, capsys, rom, tensor):
    change(
        copy / "hls" / "model_weights.h",
        rf"({rom}\[.*\n  \{{)(-?\d+)",
        lambda m: f"{m[1]}{int(m[2]) + (99 if int(m[2]) < 0 else -99)}",
    )
    code, outcome = verify(copy, capsys)
    assert (code, outcome["status"]) == (1, "differs")
    assert f"tensor '{tensor}'" in outcome["detail"]


@needs_headers
@pytest.mark.parametrize(("file", "pattern", "new", "text"), [
    ("hwc_axis.h", "for \\(int n = 0; n < BEATS; n\\+\\+\\)", "int n = 0; while (n++ < BEATS)", "while leaves the number of rounds open"),
    ("hwc_dense.h", "sum", "sum;", "does not compile"), ("hwc_axis.h", "n == BEATS - 1", "n == 0", "TLAST is not at the end"),
])  # fmt: skip
def test_what_can_not_be_built_or_synthesized_is_not_equal(copy, capsys, file, pattern, new, text):
    change(copy / "hls" / file, pattern, new)
    code, outcome = verify(copy, capsys)
    assert (code, outcome["status"]) == (1, "not run")
    assert text in outcome["detail"]


@needs_headers
def test_a_design_is_compiled_once(copy, sound, tmp_path, monkeypatch):
    monkeypatch.setenv("HWCOMP_CACHE", str(tmp_path / "cache"))
    engine, x = engines.engine("hls"), stress(sound.program, 2)
    for taps in (True, False, True):
        engine.run(sound, x, taps)
    assert len(list((cache.root() / "hls").iterdir())) == 1
    change(copy / "hls" / "model_weights.h", r"k0_bias", "k0_other_bias")
    change(copy / "hls" / "model_top.cpp", r"k0_bias", "k0_other_bias")
    engine.run(hwcomp.load(copy), x, True)
    assert len(list((cache.root() / "hls").iterdir())) == 2


def test_missing_headers_are_named(copy, capsys, monkeypatch):
    monkeypatch.setattr(hls_host.importlib.util, "find_spec", lambda name: None)
    code = cli.main(["run", str(copy), "--engine", "hls", "-i", str(copy.parent / "in.npz"), "-o", str(copy / "o.npz")])
    assert code == 2
    assert "pip install --no-deps hls4ml" in capsys.readouterr().err
    assert not (copy / "o.npz").exists()


def test_missing_headers_are_never_success(sound, monkeypatch):
    monkeypatch.setattr(hls_host.importlib.util, "find_spec", lambda name: None)
    (outcome,) = compare.verify(sound, stress(sound.program, 2), [engines.engine("hls")])
    assert outcome.status == "not run"
    assert "--no-deps hls4ml" in outcome.detail


def test_another_target_has_no_hls(tmp_path):
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 5)})
    built = compiled(proto, tmp_path, "mcu")
    code = cli.main(
        ["run", str(built.dir), "--engine", "hls", "-i", str(tmp_path / "no.npz"), "-o", str(tmp_path / "o.npz")]
    )
    assert code == 2
    assert [e.name for e in engines.for_product(built)] == ["reference", "c", "c:m4"]


def test_set_up_fetches_the_pinned_headers():
    """`make setup` takes the release that pyproject.toml names, without what its Python would need."""
    (pin,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["hls"]
    assert re.fullmatch(r"hls4ml==[\d.]+", pin)
    assert f"--no-deps {pin} " in (ROOT / "Makefile").read_text()
