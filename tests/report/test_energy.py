"""Traffic and energy, on counts done by hand."""

import json

import numpy as np
import pytest

from hwcomp.report import energy
from tests.models import loaded, model, values
from tests.products import compiled
from tests.qdq import Style, wrapped

NODES = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Add", ["r", "h"], ["y"], {})]


def test_constants_are_priced_per_32_bits():
    found = energy.figures(320, 640, 450, 100)
    assert (found["activation_bytes"], found["constant_bytes"]) == (40, 80)
    assert (found["macs"], found["operations"]) == (450, 1000)
    assert found["intensity"] == round(1000 / 120, 3)
    # 1,000 operations: 900 pJ; 30 words on the chip: 150 pJ; 20 of them outside: 20 * 640 instead of 20 * 5
    assert found["energy_nj"] == {"operations": 0.9, "sram": 1.05, "dram": 1.05 + 12.7}


def test_nothing_moved():
    assert energy.figures(0, 0, 0, 0) == {
        "macs": 0, "operations": 0, "activation_bytes": 0, "constant_bytes": 0, "intensity": None,
        "energy_nj": {"operations": 0, "sram": 0, "dram": 0},
    }  # fmt: skip


@pytest.mark.parametrize("bits", [8, 32])
def test_a_tensor_is_read_by_each_of_its_readers(bits):
    graph = loaded(model(NODES, {"x": (1, 6)}, {"w": values("w", 6, 12)})).graph
    found = energy.of_graph(graph, bits)
    # x read; h written and read twice; r written and read; y written
    assert found["activation_bytes"] == (6 + 3 * 12 + 2 * 12 + 12) * bits // 8
    assert (found["macs"], found["operations"]) == (72, 2 * 72 + 12 + 12)  # Gemm; Relu and Add
    assert found["constant_bytes"] == 72 * bits // 8


def test_shapes_and_types_alone_move_nothing():
    nodes = [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {})]
    float_model = model(nodes, {"x": (1, 2, 3)}, {"w": values("w", 6, 12)})
    for proto in (float_model, wrapped(float_model, {"x": (-1.0, 1.0)}, Style())):
        graph = loaded(proto).graph
        assert energy.of_graph(graph, 8)["activation_bytes"] == 6 + 12


def test_constants_are_those_that_the_product_stores(tmp_path):
    proto = model(NODES[:2], {"x": (1, 6)}, {"w": values("w", 6, 12)}, ("r",))
    built = compiled(proto, tmp_path, "mcu,fpga,hls", input_ranges={"x": (-1.0, 1.0)})
    report = json.loads((built.dir / "report.json").read_text())
    rows, targets = report["memory"], report["targets"]
    assert list(rows) == ["float32", "mcu", "fpga", "hls"]
    assert rows["float32"]["constant_bytes"] == 4 * 72
    assert all(rows[t]["activation_bytes"] == 6 + 12 for t in targets)
    assert rows["mcu"]["constant_bytes"] == targets["mcu"]["constant_bytes"]
    assert all(rows[t]["constant_bytes"] == -(-targets[t]["rom_bits"] // 8) for t in ("fpga", "hls"))
    assert rows["mcu"]["intensity"] == round(2 * 72 / (18 + rows["mcu"]["constant_bytes"]), 3)
    # the product has biases, whether the model had some or not
    assert (report["parameters"], report["weights"], report["macs"], report["flops"]) == (72 + 12, 72, 72, 144)


SPARSE = [("Gemm", ["x", "w"], ["y"], {}, "fc")]


@pytest.mark.parametrize(("options", "target", "macs"), [
    ({}, "mcu", 32 * 32 // 2),  # index lists of blocks: half of them
    ({}, "fpga", 32 * 32 // 2),  # beats of zeros are left out
    ({"unroll": ("fc",)}, "fpga", 32 * 32 // 2),  # no adders for zeros
    ({}, "hls", 32 * 32),
])  # fmt: skip
def test_what_a_product_skips_is_no_work(tmp_path, options, target, macs):
    """Of 32 x 32 weights every second block of 4 outputs x 4 inputs is zero."""
    w = np.abs(values("w", 32, 32)) + np.float32(0.1)
    w *= np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((4, 4))).astype(np.float32)
    built = compiled(model(SPARSE, {"x": (1, 32)}, {"w": w}), tmp_path, target, pe_simd_budget=4, **options)
    report = json.loads((built.dir / "report.json").read_text())
    assert report["macs"] == 32 * 32
    assert report["memory"][target]["macs"] == macs
    assert report["memory"][target]["operations"] == 2 * macs


@pytest.mark.parametrize("target", ["mcu", "fpga"])
def test_counts_of_words_are_all_work(tmp_path, target):
    """Weights that are not sparse are multiplied, zeros among them too."""
    w = values("w", 32, 32)
    w[0, :3] = 0
    built = compiled(model(SPARSE, {"x": (1, 32)}, {"w": w}), tmp_path, target)
    assert json.loads((built.dir / "report.json").read_text())["memory"][target]["macs"] == 32 * 32


def test_another_shape_moves_nothing(tmp_path):
    nodes = [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {})]
    proto = model(nodes, {"x": (1, 2, 3)}, {"w": values("w", 6, 12)})
    built = compiled(proto, tmp_path, "mcu", input_ranges={"x": (-1.0, 1.0)})
    assert any(k.kind == "reshape" for k in built.program.kernels)
    assert json.loads((built.dir / "report.json").read_text())["memory"]["mcu"]["activation_bytes"] == 6 + 12
