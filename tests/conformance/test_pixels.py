"""Raw uint8 pixels from the command's options to every engine: the stored pixels are what the network reads."""

import numpy as np
import onnxruntime as ort
import pytest

import hwcomp
from hwcomp import samples
from hwcomp.verify.float_engine import run_model
from tests.models import model, values
from tests.products import check, compiled


def net(pads, c=3):
    """Conv, Flatten, Gemm, Softmax: the ends of a classifier."""
    h, w = 4 + pads[0] + pads[2], 3 + pads[1] + pads[3]
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": list(pads)}), ("Relu", ["c"], ["r"], {}), ("Flatten", ["r"], ["f"], {}),
        ("Gemm", ["f", "k"], ["l"], {}), ("Softmax", ["l"], ["y"], {"axis": 1}),
    ]  # fmt: skip
    constants = {"w": values("pw", 4, c, 3, 3), "b": values("pb", 4), "k": values("pk", 4 * h * w, 5)}
    return model(nodes, {"x": ("N", c, 6, 5)}, constants)


@pytest.mark.parametrize(("pads", "text"), [
    ((0, 0, 0, 0), "uint8,127.5,127.5"), ((1, 1, 1, 1), "uint8,0,255"), ((1, 0, 2, 1), "uint8,128,64"),
    ((0, 0, 0, 0), "uint8,123.675:116.28:103.53,58.395:57.12:57.375"), ((1, 1, 1, 1), "uint8,10,58.4:57.1:57.4"),
    ((1, 1, 1, 1), "uint8,127.5,127.5"), ((1, 2, 0, 1), "uint8,104:117:123.25,58"),
])  # fmt: skip
def test_every_engine(pads, text, tmp_path):
    pixels = hwcomp.Pixels.parse(text)
    data = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 5)).astype(np.uint8)
    built = compiled(net(pads), tmp_path, calibration={"x": data}, input_types={"x": pixels}, requantize_bits=31)
    edge = built.program.edges["x"]
    assert (edge.bits, edge.signed, edge.lo, edge.hi) == (8, False, 0, 255)
    assert built.pixels == {"x": pixels}
    check(built, ("reference", "c", "verilator"))
    assert hwcomp.verify_l4(built.dir, {"x": data}).passed
    # Pixels as they are, or as the reals that they stand for: the same stored integers, and what the float model reads.
    real = pixels.real(data)
    assert samples.to_stored(built.program, {"x": real}, built.pixels)["x"].tolist() == data.tolist()
    assert samples.to_real(built.program, {"x": data}, built.pixels)["x"].tolist() == real.tolist()
    want = run_model(tmp_path / "model.onnx", {"x": real})["y"]
    for given in (data, real):
        got = built.program.edges["y"].to_real(hwcomp.run(built.dir, {"x": given})["y"])
        assert np.abs(got - want).max() < 0.12
        assert hwcomp.evaluate(built.dir, {"x": given}).agreement >= 0.95


def test_the_exported_model_reads_what_the_network_reads(tmp_path):
    """model.qdq.onnx takes x, quantizes it to pixels without a loss, and gives what the interpreter gives."""
    pixels = hwcomp.Pixels.parse("uint8,12.5:200.25:99,3:40:5.5")
    data = np.random.default_rng(1).integers(0, 256, (60, 3, 6, 5)).astype(np.uint8)
    data[:2] = np.uint8([0, 255]).reshape(2, 1, 1, 1)
    built = compiled(net((1, 1, 1, 1)), tmp_path, "mcu", calibration={"x": data}, input_types={"x": pixels})
    session = ort.InferenceSession(built.dir / "model.qdq.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(["y"], {"x": pixels.real(data)})
    want = built.program.edges["y"].to_real(hwcomp.run(built.dir, {"x": data})["y"])
    assert np.abs(got - want).max() <= 2 / 256


def test_other_integers_are_refused(tmp_path):
    data = np.zeros((3, 3, 6, 5), np.int16)
    with pytest.raises(hwcomp.errors.UsageError, match="int16"):
        compiled(net((0,) * 4), tmp_path, calibration={"x": data}, input_types={"x": hwcomp.Pixels((0.0,), (1.0,))})
    built = compiled(net((0,) * 4), tmp_path, "mcu", input_types={"x": hwcomp.Pixels((0.0,), (1.0,))})
    with pytest.raises(hwcomp.errors.UsageError, match="stored type uint8"):
        hwcomp.run(built.dir, {"x": data})
