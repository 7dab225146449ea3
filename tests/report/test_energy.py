"""Traffic and energy, on counts done by hand."""

import json

import pytest

from hwcomp.report import energy
from tests.models import loaded, model, values
from tests.products import compiled

NODES = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Add", ["r", "h"], ["y"], {})]


def test_constants_are_priced_per_32_bits():
    found = energy.figures(320, 640, 1000)
    assert (found["activation_bytes"], found["weight_bytes"]) == (40, 80)
    assert found["intensity"] == round(1000 / 120, 3)
    # 1,000 operations: 900 pJ; 30 words on the chip: 150 pJ; 20 of them outside: 20 * 640 instead of 20 * 5
    assert found["energy_nj"] == {"operations": 0.9, "sram": 1.05, "dram": 1.05 + 12.7}


def test_nothing_moved():
    assert energy.figures(0, 0, 0) == {
        "activation_bytes": 0, "weight_bytes": 0, "intensity": None, "energy_nj": {"operations": 0, "sram": 0, "dram": 0},
    }  # fmt: skip


@pytest.mark.parametrize("bits", [8, 32])
def test_a_tensor_is_read_by_each_of_its_readers(bits):
    graph = loaded(model(NODES, {"x": (1, 6)}, {"w": values("w", 6, 12)})).graph
    # x read; h written and read twice; r written and read; y written
    assert energy.of_graph(graph, 72, 0, bits)["activation_bytes"] == (6 + 3 * 12 + 2 * 12 + 12) * bits // 8


def test_weights_are_those_that_the_product_stores(tmp_path):
    proto = model(NODES[:2], {"x": (1, 6)}, {"w": values("w", 6, 12)}, ("r",))
    built = compiled(proto, tmp_path, "mcu,fpga", input_ranges={"x": (-1.0, 1.0)})
    report = json.loads((built.dir / "report.json").read_text())
    mcu, fpga = report["memory"]["mcu"], report["memory"]["fpga"]
    assert mcu["activation_bytes"] == fpga["activation_bytes"] == 6 + 12
    assert mcu["weight_bytes"] == report["targets"]["mcu"]["weight_bytes"]
    assert fpga["weight_bytes"] == -(-report["targets"]["fpga"]["rom_bits"] // 8)
    assert mcu["intensity"] == round(2 * 72 / (18 + mcu["weight_bytes"]), 3)


def test_another_shape_moves_nothing(tmp_path):
    nodes = [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w"], ["y"], {})]
    proto = model(nodes, {"x": (1, 2, 3)}, {"w": values("w", 6, 12)})
    built = compiled(proto, tmp_path, "mcu", input_ranges={"x": (-1.0, 1.0)})
    assert any(k.kind == "reshape" for k in built.program.kernels)
    assert json.loads((built.dir / "report.json").read_text())["memory"]["mcu"]["activation_bytes"] == 6 + 12
