"""Costs of a float graph: the estimates beside what the C product has."""

import json

import pytest

import hwcomp
from hwcomp.frontend.load import load_model
from hwcomp.passes._costs import cost
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.verify import engines, m4
from tests.models import ROOT, loaded, model, shared, values

DIGITS = ROOT / "examples" / "digits_cnn" / "digits_cnn.onnx"


def graph_of(path):
    passes = configured({})
    before = passes[: [p.name for p in passes].index("prune")]
    return run_passes(load_model(path).graph, PassContext(logits=True), before)


def test_counted_by_hand():
    nodes = [
        ("Conv", ["x", "a", "c"], ["u"], {"group": 2}),
        ("Flatten", ["u"], ["f"], {}),
        ("MatMul", ["f", "b"], ["y"], {}),
    ]
    constants = {"a": values("a", 4, 1, 3, 3), "c": values("c", 4), "b": values("b", 36, 5)}
    graph = loaded(model(nodes, {"x": (1, 2, 5, 5)}, constants)).graph
    assert cost(graph, "macs") == 4 * 9 * 9 + 36 * 5
    assert cost(graph, "parameters") == 4 * 9 + 4 + 36 * 5
    assert cost(graph, "flash") == 4 * 9 + 36 * 5 + 8 * (4 + 5)


@pytest.mark.parametrize(("name", "near"), [("digits_cnn", 0.3), ("shufflenets_fashion", 0.1)])
def test_estimates_are_near_the_product(tmp_path, name, near):
    """Instructions are counted by QEMU; a tiny network also has those around its kernels."""
    path = DIGITS if name == "digits_cnn" else shared("models", "float", f"{name}.onnx")
    built = hwcomp.compile(path, tmp_path / "out", target="mcu", logits=True)
    graph = graph_of(path)
    constants = json.loads((built.dir / "report.json").read_text())["targets"]["mcu"]["constant_bytes"]
    assert abs(cost(graph, "flash") / constants - 1) < 0.1
    if engines.engine("c:m4").missing():
        pytest.skip("no QEMU")
    assert abs(cost(graph, "instructions") / m4.measure(built)["instructions"] - 1) < near
