"""Bytes of weights stage by stage, on counts done by hand."""

import json

import numpy as np
import pytest

from hwcomp.passes._stages import measured
from hwcomp.report import waterfall
from hwcomp.report.html import render
from hwcomp.report.inspect import inspect_model
from hwcomp.report.text import inspection_text, report_text
from tests.models import loaded, model, saved, values
from tests.products import compiled


def sparse_chain():
    """Two dense layers, 16 -> 32 -> 8; three quarters of the first one's weights are zero."""
    w = values("w", 16, 32)
    w.flat[np.random.default_rng(0).permutation(w.size)[: 3 * w.size // 4]] = 0
    nodes = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]
    return model(nodes, {"x": (1, 16)}, {"w": w, "v": values("v", 32, 8)})


def test_weights_and_zeros_are_counted_by_layer():
    found = measured("float", loaded(sparse_chain()).graph)
    assert list(found.layers.values()) == [(512, 384), (256, 0)]
    assert (found.weights, found.zeros, found.macs) == (768, 384, 768)


@pytest.mark.parametrize(
    ("weights", "zeros", "expected"), [(100, 0, (400, 0)), (100, 20, (400, 0)), (100, 60, (200, 40)), (0, 0, (0, 0))]
)
def test_zeros_are_left_out_where_their_distances_take_less(weights, zeros, expected):
    assert waterfall.in_float(weights, zeros) == expected


def test_forms_of_a_model_as_it_is(tmp_path):
    found = inspect_model(saved(sparse_chain(), tmp_path / "net.onnx"), False)
    layers = [layer["forms"] for layer in found["layers"] if layer["forms"]]
    assert layers[0] == {"float32": 2048, "float32, no zeros": 640, "int8": 512, "int8, no zeros": 256}
    assert found["forms"] == {k: layers[0][k] + layers[1][k] for k in layers[0]}
    assert "2,048" in inspection_text(found) and "640" in inspection_text(found)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    nodes = [("Conv", ["x", "a"], ["u"], {}, "one"), ("Relu", ["u"], ["r"], {}), ("Conv", ["r", "b"], ["y"], {}, "two")]
    weights = {"a": values("a", 16, 4, 3, 3), "b": values("b", 8, 16, 1, 1)}
    proto = model(nodes, {"x": (1, 4, 6, 6)}, weights)
    x = np.random.default_rng(0).uniform(-1, 1, (64, 4, 6, 6)).astype(np.float32)
    options = {"prune": {"filter": 0.5, "block": 0.5}, "calibration": {"x": x}, "passes": {"prune": {"multiple": 4}}}
    built = compiled(proto, tmp_path_factory.mktemp("fall"), "mcu,fpga", **options)
    return json.loads((built.dir / "report.json").read_text())


def test_every_pass_that_takes_weights_is_a_stage(report):
    stages = {s["stage"]: s for s in report["stages"]}
    assert list(stages)[:3] == ["float", "prune", "sparsify"] and list(stages)[-2:] == ["mcu", "fpga"]
    # 16 filters of 4x3x3 and 8 of 16x1x1: half of them go
    assert stages["float"]["layers"] == {"one": 4 * 576, "two": 4 * 128} and stages["float"]["macs"] == 16 * (576 + 128)
    assert (
        stages["prune"]["layers"] == {"one": 4 * 288, "two": 4 * 64}
        and stages["prune"]["macs"] == stages["float"]["macs"] // 2
    )
    assert stages["sparsify"]["zeros"] == 176 and stages["sparsify"]["weights"] == 352


def test_the_last_stage_is_what_the_product_stores(report):
    stages = {s["stage"]: s for s in report["stages"]}
    mcu = report["targets"]["mcu"]
    assert stages["mcu"]["bytes"] == mcu["weight_bytes"] == sum(stages["mcu"]["layers"].values())
    assert stages["integers"]["bytes"] == report["weights"] == 352
    for stage in report["stages"]:
        assert stage["bytes"] == sum(stage["layers"].values()) and 0 <= stage["index_bytes"] <= stage["bytes"]


def test_stages_stand_in_text_and_page(report):
    text, page = report_text(report), render(report)
    for stage in report["stages"]:
        assert (
            f"{stage['bytes']:,}" in text
            and f">{stage['bytes']:,}</td>" in page
            and waterfall.WORDS[stage["stage"]] in page
        )
    assert (
        page.count('class="gone"') - 1
        == sum(  # one is in the legend
            b["bytes"] < a["bytes"] for a, b in zip(report["stages"], report["stages"][1:-1], strict=False)
        )
        + (report["stages"][-1]["bytes"] < report["stages"][-3]["bytes"])
    )


def test_passes_that_change_nothing_are_no_stages(tmp_path):
    x = np.zeros((4, 16), np.float32)
    built = compiled(sparse_chain(), tmp_path, "hls", calibration={"x": x}, share=4)
    names = [s["stage"] for s in json.loads((built.dir / "report.json").read_text())["stages"]]
    assert names[0] == "float" and names[-1] == "hls"
    assert names[1:-1] == [n for n in names[1:-1] if n in ("share", "integers", "sparse", "shared")]


FORMS = [  # what is stored of 64 x 64 weights: zeros, options, bytes of indices from the sizes of what is stored
    # Units: two words, the way, two words; a word per list.
    ({"c_weights": "fast"}, 0.5, lambda b: (b - 4 * 16) // 5 + 4 * 16),
    ({}, 0.95, lambda b: (b - 64) // 2 + 64),  # steps: a byte of distance for each weight; bytes of counts
    ({}, 0.0, lambda b: 0),
]


@pytest.mark.parametrize(("options", "zeros", "index"), FORMS)
def test_indices_of_what_c_stores(tmp_path, options, zeros, index):
    w = np.abs(values("w", 64, 64)) + np.float32(0.1)
    gone = np.random.default_rng(0).permutation(256)[: round(256 * zeros)]
    blocks = np.ones(256, np.float32)
    blocks[gone] = 0
    w = w * np.kron(blocks.reshape(16, 16), np.ones((4, 4), np.float32))
    if zeros > 0.9:
        w = np.where(np.random.default_rng(1).random(w.shape) < zeros, 0, np.abs(values("w", 64, 64)) + np.float32(0.1))
    proto = model([("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 64)}, {"w": w.astype(np.float32)})
    built = compiled(proto, tmp_path, "mcu", **options)
    last = json.loads((built.dir / "report.json").read_text())["stages"][-1]
    assert last["stage"] == "mcu" and last["index_bytes"] == index(last["bytes"])


def test_indices_of_codes_are_a_part_of_them(tmp_path):
    w = np.where(np.random.default_rng(1).random((64, 64)) < 0.9, 0, values("w", 64, 64)).astype(np.float32)
    proto = model([("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 64)}, {"w": w})
    built = compiled(proto, tmp_path, "mcu", c_weights="small")
    report = json.loads((built.dir / "report.json").read_text())
    found = report["targets"]["mcu"]["kernels"][0]["weights"]
    distances = np.diff(np.flatnonzero(w.T), prepend=-1)[1:]
    part = np.bincount(distances) / len(distances)
    entropy = -(part[part > 0] * np.log2(part[part > 0])).sum() * len(distances) / 8
    assert "distances" in found["form"]
    assert 0.9 * entropy < found["index_bytes"] < entropy + len(np.unique(distances)) + 64


def test_what_an_fpga_stores_is_weights_and_schedule(tmp_path):
    """All biases and factors are in the constants, not in the bytes of weights."""
    kept = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((4, 4)))
    w = kept.astype(np.float32) * (np.abs(values("w", 32, 32)) + 0.1)
    proto = model([("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 32)}, {"w": w.astype(np.float32)})
    built = compiled(proto, tmp_path, "fpga", pe_simd_budget=16)
    report = json.loads((built.dir / "report.json").read_text())
    last, stage = report["stages"][-1], report["targets"]["fpga"]["stages"][0]
    words = [len(p.read_text().split()) for p in sorted((built.dir / "rtl" / "mem").glob("*skip.mem"))]
    assert stage["weight_rom_bits"] == 32 * 32 // 2 * 8
    assert last["index_bytes"] == stage["index_rom_bits"] // 8 and stage["index_rom_bits"] % sum(words) == 0
    assert last["bytes"] == -(-(stage["weight_rom_bits"] + stage["index_rom_bits"]) // 8)
    assert last["bytes"] < last["constant_bytes"] == -(-stage["rom_bits"] // 8)


def test_vector_codes_are_a_form_of_their_own(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (64, 64)).astype(np.float32)
    proto = model([("Gemm", ["x", "w"], ["y"], {})], {"x": (1, 64)}, {"w": values("w", 64, 64)})
    built = compiled(proto, tmp_path, "mcu", calibration={"x": x}, share_vectors="4x16", c_weights="small")
    stages = {s["stage"]: s for s in json.loads((built.dir / "report.json").read_text())["stages"]}
    # Indices of 4 bits, a codebook of 16 times 4 bytes.
    assert stages["shared"]["bytes"] == 64 * 64 // 4 * 4 // 8 + 16 * 4
    assert stages["mcu"]["bytes"] == stages["shared"]["bytes"]
