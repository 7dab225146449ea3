"""What the report says of zeros: form, reason, numbers of the plan, break-even plots."""

import json

import numpy as np
import pytest

from hwcomp.plan import index_lists
from hwcomp.report import _plots as plots
from hwcomp.report import _zeros as zeros
from hwcomp.report.html import render
from hwcomp.report.text import report_text
from tests.models import model
from tests.products import compiled


def masked(name, shape, density, block):
    """Weights [M, C, 1, 1] of which so many blocks of this size are not zero."""
    rng = np.random.default_rng(len(name))
    rows, columns = shape[0] // block, shape[1] // block
    kept = np.zeros(rows * columns, bool)
    kept[rng.permutation(kept.size)[: round(density * kept.size)]] = True
    mask = np.kron(kept.reshape(rows, columns), np.ones((block, block)))
    return np.float32(rng.uniform(0.5, 1, shape) * rng.choice([-1, 1], shape) * mask)[:, :, None, None]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Layers with half of their blocks, a tenth and two thirds of their single weights, 30 rows, none zero."""
    nodes = [("Conv", [f"t{i}", f"w{i}"], [f"t{i + 1}"], {}, f"c{i}") for i in range(5)]
    weights = {
        "w0": masked("a", (32, 32), 0.5, 4), "w1": masked("ab", (32, 32), 0.1, 1), "w2": masked("abc", (32, 32), 0.66, 1),
        "w3": masked("abcd", (30, 32), 0.5, 1), "w4": masked("abcde", (8, 30), 1.0, 1),
    }  # fmt: skip
    x = np.random.default_rng(0).uniform(-1, 1, (16, 32, 4, 4)).astype(np.float32)
    proto = model(nodes, {"t0": (1, 32, 4, 4)}, weights, ("t5",))
    built = compiled(proto, tmp_path_factory.mktemp("zeros"), "mcu,fpga", calibration={"t0": x})
    return json.loads((built.dir / "report.json").read_text())


def test_every_layer_with_zeros_has_a_row_with_its_reason(report):
    rows = zeros.rows(report)
    assert [(r["target"], r["kernel"]) for r in rows] == [(t, f"conv2d_{i}") for t in ("mcu", "fpga") for i in range(4)]
    blocks, few, many, odd = rows[:4]
    assert blocks["used"] == "index lists, 4 outputs x 4 inputs" and blocks["ratio"] < 0.75
    assert few["used"].startswith("index lists") and few["ratio"] < 1
    assert many["used"] == "int8_t" and "would take" in many["why"]
    assert ("faster, but larger" in many["why"]) == (many["ratio"] < 1)
    assert odd["used"] == "int8_t" and odd["ratio"] is None and "4 outputs share a list, it has 30" in odd["why"]
    text = report_text(report)
    assert all(r["why"].split(",")[0][:30] in text for r in rows)


def test_numbers_are_those_of_the_choice(report):
    kernel = report["targets"]["mcu"]["kernels"][0]
    mine = kernel["zeros"]
    rows = masked("a", (32, 32), 0.5, 4)[:, :, 0, 0]
    dense, *others = index_lists.forms(rows, 32, kernel["windows"])
    assert [f["instructions"] for f in mine["forms"]] == [round(f.instructions / dense.instructions, 4) for f in others]
    assert mine["density"] == 0.5


@pytest.mark.parametrize("windows", [1, 2, 4])
@pytest.mark.parametrize("density", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_the_curve_is_the_cost_model_on_such_weights(windows, density):
    rng = np.random.default_rng(3)
    blocks = np.zeros(64 * 16, bool)
    blocks[rng.permutation(blocks.size)[: round(density * blocks.size)]] = True
    for unit, mask in (
        (index_lists.QUAD, np.kron(blocks.reshape(64, 16), np.ones((4, 4)))), (index_lists.PAIR, rng.random((256, 64)) < density),
    ):  # fmt: skip
        dense, *others = index_lists.forms(mask, 64, windows)
        want = next(f for f in others if f.unit == unit).instructions / dense.instructions
        (got,) = index_lists.curve(256, 64, windows, unit, (density,))
        assert abs(got - want) <= 0.06 * want  # at a tenth some lists are empty, which have a unit all the same


def test_hardware_says_which_beats_are_left_out(report):
    stages = report["targets"]["fpga"]["stages"]
    for stage in stages[:4]:
        found, fold = stage["sparse"], stage["fold"]
        if found["skips"]:
            most = fold["groups"] * fold["chunks"]
            choice = fold["select"] or {"n": 1, "m": 1}  # of a beat's channels; all lanes would read them in more beats
            whole = most * choice["m"] / choice["n"]
            assert found["beats"] == round((sum(fold["kept"]) or most) / whole, 4) < 1
        else:
            assert not fold["kept"] and not fold["select"] and "of" in found["why"]
    assert stages[4]["sparse"] is None
    assert any(s["sparse"]["skips"] for s in stages[:4])


def test_a_panel_has_the_layer_where_it_belongs():
    panel = plots.break_even(0.5, 1.0, {"line": [0.5, 1.0]})
    wide, high, top = plots.PANEL
    assert (panel["x"], panel["y"]) == (wide / 2, panel["one"]) and panel["one"] == round((1 - 1 / top) * high, 1)
    assert panel["lines"][0]["points"].split()[-1] == f"{float(wide)},{panel['one']}"
    assert plots.break_even(0.5, None, {}) is None


def test_the_page_draws_them(report):
    page = render(report)
    known = sum(r["ratio"] is not None and bool(r["curves"]) for r in zeros.rows(report))
    assert page.count("<figure>") == known == 7 and 'href="#zeros"' in page


def test_nothing_is_said_without_zeros(report):
    without = json.loads(json.dumps(report))
    for kernel in without["targets"]["mcu"]["kernels"]:
        kernel["zeros"] = None
    for stage in without["targets"]["fpga"]["stages"]:
        stage["sparse"] = None
    assert zeros.values(without) == [] and 'id="zeros"' not in render(without)


def test_lanes_are_not_busier_than_all_the_time(report):
    page = render(report)
    busy = page.split("Lanes</dt>")[1].split(" busy")[0].split(", ")[-1]
    assert float(busy.split()[0]) <= 100
