"""Teacher-forced checks of schemes whose integers are not bytes: 16 bits, and odd widths kept in wider types."""

import numpy as np
import onnx
import pytest

import hwcomp
from tests.models import model, values


def residual():
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1]}), ("Relu", ["c"], ["r"], {}),
        ("Conv", ["r", "v"], ["d"], {"pads": [1, 1, 1, 1]}), ("Add", ["d", "r"], ["s"], {}), ("Relu", ["s"], ["t"], {}),
        ("GlobalAveragePool", ["t"], ["y"], {}),
    ]  # fmt: skip
    constants = {"w": values("w", 4, 3, 3, 3), "b": values("b", 4), "v": values("v", 4, 4, 3, 3)}
    return model(nodes, {"x": (1, 3, 6, 5)}, constants)


@pytest.mark.parametrize(("quant", "opset", "bits"), [("int16", 21, 16), ("dfp12", 21, 12), ("fixed:Q2.3", 13, 6)])
def test_a_residual_block(quant, opset, bits, tmp_path):
    onnx.save(residual(), tmp_path / "m.onnx")
    x = np.random.default_rng(3).normal(size=(40, 3, 6, 5)).astype(np.float32)
    built = hwcomp.compile(tmp_path / "m.onnx", tmp_path / "p", target="mcu", quant=quant, calibration={"x": x})
    assert {e.bits for e in built.program.edges.values()} == {bits}
    assert onnx.load(tmp_path / "p" / "model.qdq.onnx").opset_import[0].version == opset
    report = hwcomp.verify_l4(tmp_path / "p", {"x": x})
    assert report.passed, [c for c in report.layers if not c.passed]
    assert {c.kind for c in report.layers} >= {"add", "avgpool2d", "conv2d"}
