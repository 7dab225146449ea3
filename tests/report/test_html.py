"""report.html: complete, well-formed, self-contained, the same every time, and safe against names from models."""

import copy
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import combinations

import pytest

from hwcomp import cli, driver
from hwcomp.errors import shown
from hwcomp.options import CompileOptions
from hwcomp.report import _plots as plots
from hwcomp.report import _words as words
from hwcomp.report.html import render
from tests.models import ROOT, model, saved, values

HOSTILE = (
    "<script>alert(1)</script>",
    '"onload="alert(1)',
    "' onclick='x",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "]]>--><!--",
    "&lt;b&gt;&amp;",
    "{{ 7*7 }}{% raw %}",
    "a\x00b\x1b[31m\u202egnp\n\r\t\ufffe",
    "\u540d" * 50_000,
    "\ud800",
    "",
)
TARGETS = ("mcu", "fpga")


def chain(layers: int):
    """Convolutions with a ReLU each, a pool and a dense layer: `layers` kernels and a reshape."""
    nodes, constants, last = [], {}, "x"
    for i in range(layers - 2):
        constants[f"w{i}"], constants[f"b{i}"] = values(f"w{i}", 4, 2 if i == 0 else 4, 3, 3), values(f"b{i}", 4)
        nodes.append(("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], {"pads": [1, 1, 1, 1]}, f"/block.{i}/Conv"))
        nodes.append(("Relu", [f"c{i}"], [f"r{i}"], {}, f"/block.{i}/Relu"))
        last = f"r{i}"
    constants["w"] = values("w", 64, 3)
    nodes += [
        ("MaxPool", [last], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}, "/MaxPool"),
        ("Flatten", ["p"], ["f"], {}, "/Flatten"), ("MatMul", ["f", "w"], ["y"], {}, "/classifier/MatMul"),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, constants)


def compiled(proto, folder, targets=TARGETS):
    driver.compile_model(saved(proto, folder / "net.onnx"), folder / "product", CompileOptions(targets=targets))
    return folder / "product"


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return compiled(chain(5), tmp_path_factory.mktemp("html"))


@pytest.fixture
def report(product):
    return json.loads((product / "report.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """Elements, their text and attributes; every end tag must close the element that is open."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def checked(text: str) -> Page:
    """A page that is well-formed as HTML and as XML, and needs and runs nothing else."""
    page = Page(text)
    tree = ET.fromstring(text)
    assert tree.tag == "html"
    names = {tag for tag, _ in page.tags}
    assert {"svg", "table", "main"} <= names
    assert not names & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "video",
        "audio",
        "image",
        "use",
    }
    for _, attributes in page.tags:
        assert not [
            a for a in attributes if a.startswith("on") or a in ("src", "style", "srcset", "xlink:href", "action")
        ]
        if "href" in attributes:
            assert attributes["href"][0] == "#" and f'id="{attributes["href"][1:]}"' in text
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"<style>|</style>", "", text))
    return page


def test_the_compile_writes_it_beside_the_json(product, report):
    assert (product / "report.html").read_text(encoding="utf-8") == render(report)
    manifest = json.loads((product / "manifest.json").read_text(encoding="utf-8"))
    assert "report.html" in {f["path"] for f in manifest["files"]}


def test_the_page_is_whole_and_alone(report):
    page = checked(render(report))
    for layer in report["layers"]:
        assert page.words().count(layer["kernel"]) >= 4
        assert all(node in page.words() for node in layer["nodes"])
        if layer["proof"]:
            assert layer["proof"].removeprefix(f"{layer['output']}: ") in page.words()
    for warning in report["warnings"]:
        assert warning in page.words()
    assert ("section", {"class": "warnings", "role": "alert", "aria-label": "Warnings"}) in page.tags
    for lines in report["passes"].values():
        assert all(line in page.words() for line in lines)


def test_all_bills_are_there(report):
    text = checked(render(report)).words()
    mcu, fpga = report["targets"]["mcu"], report["targets"]["fpga"]
    bills = [
        mcu[k] for k in ("constant_bytes", "arena_bytes", "stack_bytes_estimate", "weight_bytes", "peak_live_bytes")
    ]
    bills += [fpga[k] for k in ("interval", "latency_estimate", "lanes", "budget", "rom_bits", "buffer_bits")]
    bills += [s[k] for s in fpga["stages"] for k in ("beats", "lanes", "rom_bits", "buffer_bits")]
    bills += [k[what] for k in mcu["kernels"] for what in ("macs", "constant_bytes", "scratch_bytes")]
    bills += [layer["zero_point"] for layer in report["layers"]]
    assert all(f"{n:,}" in text for n in bills)


def test_no_warning_no_box(report):
    report["warnings"] = []
    assert 'class="warnings"' not in render(report)


def test_the_same_report_gives_the_same_bytes(report):
    again = json.loads(json.dumps(report))
    assert render(report) == render(again) == render(copy.deepcopy(report))


@pytest.mark.parametrize("target", TARGETS)
def test_one_target(report, target):
    (other,) = set(TARGETS) - {target}
    del report["targets"][other]
    text = render(report)
    checked(text)
    assert f'id="{target}"' in text and f'id="{other}"' not in text


def test_a_target_without_plots_still_has_its_figures(report):
    report["targets"] = {"hls": {"spare_bits": 81_920, "note": "text"}}
    text = checked(render(report)).words()
    assert "Target hls" in text and "spare bits 81,920 10.0 KiB" in text


def test_new_figures_of_a_target_are_shown(report):
    report["targets"]["fpga"]["spare_bits"] = 12_345_678
    assert "spare bits 12,345,678" in checked(render(report)).words()


def renamed(value, name):
    """`value` with every text inside replaced, keys of pass notes too."""
    if isinstance(value, dict):
        return {k: renamed(v, name) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, name) for v in value]
    return name if isinstance(value, str) else value


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(n[:20]) for n in HOSTILE])
def test_hostile_names_stay_text(report, name):
    plain = render(report)
    report["noise"] = [{"tensor": name, "sqnr_db": 30.0, "largest_error": 0.5}]
    hostile = renamed(report, name)
    hostile["passes"] = {name: [name] * 3}
    hostile["boundary"] = {name: report["boundary"]["x"]}
    text = render(hostile)
    checked(text)
    text.encode("utf-8")
    assert "<script" not in text and "<img" not in text
    if name:
        assert shown(name) in Page(text).words()
    assert len(text) < 4 * len(plain)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\ufffe]", text)


def test_hostile_names_from_a_model(tmp_path):
    nodes = [("Relu", ['<script>alert("in")</script>'], ["</svg>&\"'"], {}, "<img src=x onerror=alert(1)>")]
    proto = model(nodes, {'<script>alert("in")</script>': (1, 2, 4, 4)}, outputs=("</svg>&\"'",))
    page = checked((compiled(proto, tmp_path, ("mcu",)) / "report.html").read_text(encoding="utf-8"))
    assert '<script>alert("in")</script>' in page.words() and "<img src=x onerror=alert(1)>" in page.words()


def test_long_names_are_cut(report):
    """Of the names of one network the ends differ."""
    report["layers"][0]["nodes"] = ["n" * 10_000 + "/last"] * 50
    text = checked(render(report)).words()
    assert "n" * 200 not in text and f"…{'n' * 54}/last" in text and "and 47 more" in text


@pytest.mark.parametrize("layers", [3, 60])
def test_small_and_large_networks(tmp_path, layers):
    folder = compiled(chain(layers), tmp_path)
    page = checked((folder / "report.html").read_text(encoding="utf-8"))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert len(report["layers"]) == layers + 1
    assert all(re.search(rf"\b{layer['kernel']}\b", page.words()) for layer in report["layers"])


def test_the_example(tmp_path):
    example = ROOT / "examples" / "digits_cnn"
    arguments = ["compile", example / "digits_cnn.onnx", "--target", "mcu,fpga", "-o", tmp_path / "p", "--quiet"]
    assert cli.main([*map(str, arguments), "--calibration", str(example / "calibration.npz")]) == 0
    text = (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    checked(text)
    assert 'class="warnings"' not in text


def test_the_command_says_where_it_is(product, capsys):
    assert cli.main(["report", str(product), "--html"]) == 0
    assert capsys.readouterr().out.strip() == str(product / "report.html")


def test_buffers_alive_together_do_not_overlap(report):
    mcu = report["targets"]["mcu"]
    buffers = mcu["buffers"]
    for a, b in combinations(buffers, 2):
        together = a["first"] <= b["last"] and b["first"] <= a["last"]
        assert not together or a["offset"] + a["bytes"] <= b["offset"] or b["offset"] + b["bytes"] <= a["offset"]
    assert max(b["offset"] + b["bytes"] for b in buffers) <= mcu["arena_bytes"]
    scratch = {b["kernel"]: b["bytes"] for b in buffers if not b["name"]}
    assert scratch == {k["name"]: k["scratch_bytes"] for k in mcu["kernels"] if k["scratch_bytes"]}
    alive = [
        sum(b["bytes"] for b in buffers if b["first"] <= t <= b["last"]) for t in range(-1, len(mcu["kernels"]) + 1)
    ]
    assert max(alive) <= mcu["peak_live_bytes"] < max(alive) + 4 * len(buffers)


def test_boxes_lie_inside_the_map(report):
    mcu = report["targets"]["mcu"]
    found = plots.memory_map(mcu, [k["name"] for k in mcu["kernels"]])
    for box in found["boxes"]:
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 1
        assert 0 <= box["y"] < box["y"] + box["height"] <= found["height"]
    assert plots.memory_map({"arena_bytes": 0, "buffers": []}, []) is None


def test_noise_is_shown_where_it_is_known(report):
    assert 'id="noise"' not in render(report)
    report["noise"] = [
        {"tensor": "a", "sqnr_db": None, "largest_error": 0.0},
        {"tensor": "b", "sqnr_db": 42.25, "largest_error": 0.125},
        {"tensor": "c", "sqnr_db": -3.0},
    ]
    text = checked(render(report)).words()
    assert "a exact 0" in text and "b 42.2 0.125" in text and "c -3.0" in text


def test_every_form_of_weights_that_is_not_plain_is_shown(report):
    """Those that take more bytes than plain ones, too."""
    kernel, *others = (k for k in report["targets"]["mcu"]["kernels"] if k["weights"])
    for k in (kernel, *others):
        k["weights"]["form"] = "int8_t"
    assert "Forms of weights" not in render(report)
    kernel["weights"] |= {"form": "Winograd F(2x2, 3x3), int16_t", "saving": 1.1, "why": "16 products for 36"}
    text = render(report)
    assert "Forms of weights" in text and "1.1 ×" in text and text.count("16 products for 36") == 1


def test_the_interval_line_and_the_bottleneck(report):
    fpga = report["targets"]["fpga"]
    slowest = [s["kernel"] for s in fpga["stages"] if s["beats"] == fpga["interval"]]
    text = render(report)
    assert text.count('<tr class="hot">') == len(slowest) and text.count('class="limit"') == len(fpga["stages"])
    assert f"interval {fpga['interval']:,}" in text
    fpga["interval"] += 1
    text = render(report)
    assert '<tr class="hot">' not in text and "A stream between engines sets the interval." in text


@pytest.mark.parametrize(("top", "want"), [(0, ["0"]), (3, ["0", "1", "2", "3"]), (640, ["0", "200", "400", "600"])])
def test_ticks(top, want):
    found = plots.ticks(top)
    assert [text for _, text in found] == want and all(0 <= at <= 1 for at, _ in found)


@pytest.mark.parametrize("top", [1, 7, 10, 999, 1000, 14_400, 123_456_789])
def test_ticks_are_few(top):
    assert 2 <= len(plots.ticks(top)) <= 6


def test_rates_on_the_logarithmic_axis():
    assert plots.rate_position(0, 100) == 0
    assert plots.rate_position(1, 10**6) == pytest.approx(0.5)
    assert plots.rate_position(5, 5) == 1 and plots.rate_position(1, 10**30) == pytest.approx(0.02)


def test_range_bars():
    bar = plots.range_bar(-128, 127, 0, 8, True)
    assert (bar["left"], bar["width"]) == (0, 1) and bar["zero"] == pytest.approx(128 / 255)
    assert plots.range_bar(0, 9, 0, 4, False) == {"left": 0, "width": 9 / 15, "zero": 0}


def test_words():
    assert words.rate(19, 10_000_000) == "1.9e-6" and words.rate(1, 1) == "1.0" and words.rate(0, 5) == "0"
    assert [words.share(x) for x in (0, 0.0001, 0.125, 0.9999, 1)] == ["0 %", "< 0.1 %", "12.5 %", "100 %", "100 %"]
    assert words.duration(99_956) == "999.6 µs at 100 MHz" and words.duration(10**6) == "10.00 ms at 100 MHz"
    assert (
        words.frequency(40_000) == "2,500 frames/s at 100 MHz" and words.frequency(10**9) == "0.1 frames/s at 100 MHz"
    )
    assert words.listed(["a"]) == "a" and words.listed(["a", "b", "c"]) == "a, b and c" and words.listed([]) == ""
    assert words.tail("a, b") == "a, b" and words.tail("/a/Conv, " + "y" * 40) == "/a/Conv …"
    assert words.tail("x" * 40) == "…" + "x" * 26
