"""Networks quantized, pruned and shared on the way in, their weights wired in: every tensor equal, what zeros and codebooks save."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwcomp import samples
from hwcomp.plan import unrolled_sums
from hwcomp.verify import compare, engines
from tests.models import model, shared, values
from tests.products import compiled

FORMS = {
    "int8": {}, "pruned": {"prune": {"weight": 0.5}}, "shared": {"share": 3},
    "ternary": {"quant": "ternary", "passes": {"few_bits": {"ends": "0"}}},
}  # fmt: skip
JET = ((6, 7), (4, 5), (2, 3), (0, 1))  # Quant nodes of weights and biases


def layers(weights, biases):
    """Gemm and ReLU."""
    nodes, constants, last = [], {}, "x"
    for n, (w, b) in enumerate(zip(weights, biases, strict=True)):
        constants |= {f"w{n}": w, f"b{n}": b}
        end = n == len(weights) - 1
        nodes.append(("Gemm", [last, f"w{n}", f"b{n}"], ["y" if end else f"s{n}"], {}, f"fc{n}"))
        if not end:
            nodes.append(("Relu", [f"s{n}"], [f"r{n}"], {}))
            last = f"r{n}"
    return model(nodes, {"x": (1, len(weights[0]))}, constants)


def small():
    sizes = (9, 14, 8, 3)
    shapes = list(pairwise(sizes))
    return layers([values(f"w{s}", *s) for s in shapes], [values(f"b{s}", s[1], scale=0.1) for s in shapes])


def jet():
    """The float weights behind the Quant nodes of a jet-tagging network, 16-64-32-32-5."""
    path = shared("models", "qonnx", "qkeras_jettagging.onnx")
    held = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
    return layers(*([held[f"Quant_{pair[i]}_param0"] for pair in JET] for i in range(2)))


def built(proto, form, folder, target="fpga", unroll=("all",)):
    inputs = proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(1).normal(size=(256, inputs)).astype(np.float32)
    return compiled(proto, folder, target=target, calibration={"x": x}, unroll=unroll, **FORMS[form])


def equal(product, count):
    (outcome,) = compare.verify(product, samples.random_stored(product.program, count), [engines.engine("verilator")])
    assert (outcome.status, outcome.detail) == ("equal", "")
    assert outcome.stats["cycles_per_frame"] == outcome.stats["largest_engine_beats"] == 1


def adders(product):
    return sum(len(unrolled_sums.of(product.program, k).adds) for k in product.program.kernels if k.kind == "dense")


@pytest.mark.parametrize("form", FORMS)
def test_every_tensor_a_frame_per_beat(form, tmp_path):
    equal(built(small(), form, tmp_path), 30)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_jet_tagging_network(form, tmp_path):
    equal(built(jet(), form, tmp_path), 200)


def test_zeros_and_codebooks_save_adders(tmp_path):
    """Of the trained network: a sixth with half of the weights zero (a third are anyway, as integers), half with eight values."""
    found = {f: adders(built(jet(), f, tmp_path / f, "mcu", ())) for f in FORMS if (tmp_path / f).mkdir() is None}
    assert found["pruned"] < 0.87 * found["int8"]
    assert found["shared"] < 0.55 * found["int8"]
    assert found["ternary"] < 0.35 * found["int8"]
