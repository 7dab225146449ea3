"""Noise per tensor: counted against the float graph, bad tensors marked, and nothing blamed that is not to blame."""

import json
from math import inf

import numpy as np
import pytest

import hwcomp
from hwcomp.lower.build import lower
from hwcomp.report.facts import noise_json
from hwcomp.report.text import evaluation_text
from hwcomp.verify.evaluate import evaluate
from hwcomp.verify.noise import LayerNoise, layer_noise
from tests.models import model, quantized, saved, values

NODES = [
    ("Conv", ["x", "w"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "v"], ["c"], {}),
    ("MaxPool", ["c"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", ["p"], ["f"], {}),
    ("Gemm", ["f", "u"], ["y"], {}),
]  # fmt: skip
CONSTANTS = {"w": values("nw", 5, 2, 3, 3), "v": values("nv", 6, 5, 1, 1), "u": values("nu", 24, 4)}


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).uniform(0, 1, (40, 2, 6, 6)).astype(np.float32)


def measured(x, constants=CONSTANTS, **options):
    graph, ctx = quantized(model(NODES, {"x": (1, 2, 6, 6)}, constants), calibration={"x": x}, **options)
    return {n.tensor: n for n in layer_noise(ctx.float_graph, lower(graph).program, {"x": x})}


def test_a_good_network_has_no_bad_tensor(x):
    found = measured(x)
    assert list(found) == ["b", "c", "p", "y"]  # f is p again
    assert all(n.sqnr_db > 25 and not n.bad for n in found.values())


def test_what_a_pool_drops_is_no_noise(x):
    """c has the range of p: lower values are clipped, the pool would not have chosen them."""
    lowered = {**CONSTANTS, "v": CONSTANTS["v"] - np.float32(0.6)}
    graph, ctx = quantized(model(NODES, {"x": (1, 2, 6, 6)}, lowered), calibration={"x": x})
    lo = ctx.observed["c"][0]
    q = graph.tensors["c"].qtype
    assert (q.lo - q.zero) * q.scale[0] > lo * 0.9
    found = measured(x, lowered)
    assert found["c"].sqnr_db > 25 and found["c"].worst < 3 * q.scale[0]


def test_int16_is_far_better(x):
    assert all(n.sqnr_db > 70 for n in measured(x, quant="int16").values())


def test_a_layer_that_spoils_its_input_is_marked_and_those_behind_it_are_not(x):
    """dfp8: one channel 300 times as large as the others takes all of the layer's integers."""
    v = CONSTANTS["v"].copy()
    v[0] *= 300
    u = CONSTANTS["u"].copy()
    u[:4] = 0  # that channel's four elements are not read
    found = measured(x, {**CONSTANTS, "v": v, "u": u}, quant="dfp8")
    assert not found["b"].bad
    assert found["y"].bad and found["y"].sqnr_db < 15
    plain = measured(x, {**CONSTANTS, "u": u}, quant="dfp8")
    assert not plain["y"].bad


def test_a_layer_is_not_blamed_for_its_inputs(x):
    found = measured(x, quant="dfp4")
    assert all(n.sqnr_db < 20 for n in found.values())
    assert found["y"].lost_db == pytest.approx(max(found["p"].sqnr_db - found["y"].sqnr_db, 0))
    assert found["p"].lost_db == pytest.approx(max(found["c"].sqnr_db - found["p"].sqnr_db, 0))
    assert found["p"].lost_db < 3


@pytest.mark.parametrize(("noise", "bad"), [
    (LayerNoise("t", 9.9, 1.0), True), (LayerNoise("t", 10.1, 1.0), False), (LayerNoise("t", 25.0, 1.0, 10.1), True),
    (LayerNoise("t", 25.0, 1.0, 9.9), False), (LayerNoise("t", inf, 0.0), False), (LayerNoise("t", -inf, 1.0, inf), True),
])  # fmt: skip
def test_limits_of_bad(noise, bad):
    assert noise.bad == bad
    (row,) = noise_json((noise,))
    assert row["bad"] == bad
    json.dumps(row, allow_nan=False)


def test_eval_and_report_show_it(x, tmp_path):
    path = saved(model(NODES, {"x": (1, 2, 6, 6)}, CONSTANTS), tmp_path / "net.onnx")
    built = hwcomp.compile(path, tmp_path / "good", target="mcu", calibration={"x": x})
    rows = json.loads((built.dir / "report.json").read_text())["noise"]
    assert [r["tensor"] for r in rows] == ["b", "c", "p", "y"]
    assert not any(r["bad"] for r in rows)
    assert 'id="noise"' in (built.dir / "report.html").read_text()
    assert "bad" not in evaluation_text(evaluate(built, {"x": x}))
    worse = hwcomp.compile(path, tmp_path / "bad", target="mcu", calibration={"x": x}, quant="fixed:Q0.4")
    text = evaluation_text(evaluate(worse, {"x": x}))
    assert "<< bad" in text and "of 4 tensors are bad: below 10 dB" in text
    assert 'class="bad"' in (worse.dir / "report.html").read_text()


def test_random_inputs_are_no_ground_for_a_noise_figure(tmp_path):
    path = saved(model(NODES, {"x": (1, 2, 6, 6)}, CONSTANTS), tmp_path / "net.onnx")
    built = hwcomp.compile(path, tmp_path / "out", target="mcu")
    assert "noise" not in json.loads((built.dir / "report.json").read_text())


def test_an_equalized_product_is_compared_with_the_equalized_network(x, tmp_path):
    """Its tensors inside have other scales than the model's; eval makes the same float graph again."""
    path = saved(model(NODES, {"x": (1, 2, 6, 6)}, CONSTANTS), tmp_path / "net.onnx")
    passes = {"equalize": {"enabled": True}, "adaround": {"enabled": True}, "bias_correction": {"enabled": True}}
    built = hwcomp.compile(path, tmp_path / "out", target="mcu", calibration={"x": x}, passes=passes)
    assert all(n.sqnr_db > 25 for n in evaluate(built, {"x": x}).layers)
