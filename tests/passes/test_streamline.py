"""Networks of few bits that are recognized: what becomes of them, and that every tensor is what the float network gives."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, values

F = np.float32


def signs(label, *shape, alpha=False):
    """Weights of -1 and +1, or with a factor per row."""
    w = np.where(values(label, *shape) >= 0, 1, -1).astype(F)
    size = np.abs(values(f"{label} alpha", shape[0])).reshape(-1, *[1] * (len(shape) - 1)) + F(0.1)
    return w * size if alpha else w


def batchnorm(label, channels, falling=True):
    scale = values(f"{label} s", channels) if falling else np.abs(values(f"{label} s", channels))
    return {
        f"{label}s": scale, f"{label}b": values(f"{label} b", channels),
        f"{label}m": values(f"{label} m", channels, scale=4.0), f"{label}v": np.abs(values(f"{label} v", channels)) + F(0.5),
    }  # fmt: skip


def conv_net(*, alpha=False, falling=True, pads=1, pool_first=True):
    """Float conv, pool, BN, Sign, binary conv (padded or not), pool, BN, Sign, Flatten, binary MatMul behind a Transpose, BN."""
    flat = 6 * (4 if pads else 1)
    constants = {
        "w0": values("w0", 5, 2, 3, 3), "w1": signs("w1", 6, 5, 3, 3, alpha=alpha), "w2": signs("w2", 7, flat, alpha=alpha),
        **batchnorm("p", 5, falling), **batchnorm("q", 6, falling), **batchnorm("r", 7),
    }  # fmt: skip
    bn = ("BatchNormalization", ["c1", "qs", "qb", "qm", "qv"], ["n1"], {})
    second = [
        ("MaxPool", ["k1"], ["c1"], {"kernel_shape": [2, 2], "strides": [2, 2]}), bn, ("Sign", ["n1"], ["s1"], {}),
    ] if pool_first else [
        ("BatchNormalization", ["k1", "qs", "qb", "qm", "qv"], ["n1"], {}),
        ("MaxPool", ["n1"], ["c1"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Sign", ["c1"], ["s1"], {}),
    ]  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0"], ["k0"], {"pads": [1] * 4}),
        ("MaxPool", ["k0"], ["c0"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("BatchNormalization", ["c0", "ps", "pb", "pm", "pv"], ["n0"], {}), ("Sign", ["n0"], ["s0"], {}),
        ("Conv", ["s0", "w1"], ["k1"], {"pads": [pads] * 4}), *second,
        ("Flatten", ["s1"], ["f"], {}), ("Transpose", ["w2"], ["t2"], {"perm": [1, 0]}),
        ("MatMul", ["f", "t2"], ["k2"], {}), ("BatchNormalization", ["k2", "rs", "rb", "rm", "rv"], ["y"], {}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, constants)


def compiled(proto, seed=0, count=40):
    rng = np.random.default_rng(seed)
    graph = loaded(proto).graph
    x = {n: rng.uniform(-1, 1, (count, *graph.tensors[n].shape[1:])).astype(F) for n in graph.inputs}
    made, ctx = quantized(proto, calibration=x)
    return graph, lower(made), ctx, x


def same_signs(graph, program, x, names):
    """All tensors `names` are equal to those of the float network, but for decisions that its rounding could make."""
    taps = run_program(program, samples.to_stored(program, x), taps=True)
    seen = {}
    run_float(graph, x, lambda n, a: seen.update({n: a}))
    for name in names:
        real = program.edges[name].to_real(taps[name])
        wrong = np.count_nonzero(real != seen[name])
        assert wrong <= 1e-3 * seen[name].size, name
    return taps, seen


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("pool_first", [False, True])
def test_a_binary_network(alpha, falling, pads, pool_first):
    graph, lowered, ctx, x = compiled(conv_net(alpha=alpha, falling=falling, pads=pads, pool_first=pool_first))
    program = lowered.program
    taps, seen = same_signs(graph, program, x, ("s0", "s1", "f"))
    assert np.abs(program.edges["y"].to_real(taps["y"]) - seen["y"]).max() < 1e-4 * np.abs(seen["y"]).max()
    binary = [k for k in program.kernels if k.kind in ("conv2d", "dense")][1:]
    assert all((np.abs(k.constants["weight"]) == 1).all() for k in binary)
    assert program.edges["s0"].bipolar
    assert program.edges["f"].bipolar
    assert program.kernels[0].constants["weight"].dtype == np.int32  # 20 bits in front of a Sign
    moved = sum("is moved behind" in line for line in ctx.notes["streamline"])
    assert moved == (2 if not falling else 0 if pool_first else 1)
    stays = sum("stays in front" in line for line in ctx.notes["streamline"])
    assert stays == (0 if not falling else 2 if pool_first else 1)


def test_scales_of_one_sign_leave_only_thresholds():
    """Nothing but dot products with thresholds, pools of bits and the last layer remains."""
    _, lowered, _, _ = compiled(conv_net(falling=False))
    kinds = [k.kind for k in lowered.program.kernels]
    assert kinds == ["conv2d", "maxpool2d", "conv2d", "maxpool2d", "reshape", "dense"]
    forms = [k.params["requantize"]["form"] for k in lowered.program.kernels if "requantize" in k.params]
    assert forms == ["threshold", "threshold", "affine"]


def test_a_padded_binary_convolution_adds_nothing_at_the_border():
    _, lowered, _, _ = compiled(conv_net(falling=False))
    conv = [k for k in lowered.program.kernels if k.kind == "conv2d"][1]
    assert conv.params["pad_value"] == 0
    assert lowered.program.edges[conv.inputs[0]].bipolar


def test_zeros_that_sign_gets_are_counted():
    w = signs("zeros", 4, 3)
    nodes = [("Sign", ["x"], ["s"], {}), ("Gemm", ["s", "w"], ["y"], {"transB": 1})]
    proto = model(nodes, {"x": (1, 3)}, {"w": w})
    x = F([[0, 1, -1], [0.5, 0, 0]])
    _, ctx = quantized(proto, calibration={"x": x})
    assert "Sign 'Sign_0' gets 0 in 3 of 6 samples: +1 here, 0 in ONNX" in ctx.notes["streamline"]


def test_a_sign_that_no_dot_product_reads_stays_a_function():
    proto = model([("Sign", ["x"], ["s"], {}), ("Add", ["s", "x"], ["y"], {})], {"x": (1, 5)})
    made, ctx = quantized(proto, input_ranges={"x": (-1.0, 1.0)})
    assert [n.op for n in made.nodes] == ["Sign", "Add"]
    assert ctx.notes["streamline"] == ["Sign 'Sign_0' stays a function, with a 0: Add 'Add_1' reads it"]


def test_what_keeps_a_layer_from_few_bits_is_said():
    _, _, ctx, _ = compiled(conv_net())
    lines = ctx.notes["quantize"]
    assert any("'Conv_0': 20-bit weights" in line and "a quantizer of few bits follows" in line for line in lines)
    assert sum("1-bit weights, as the model has them" in line for line in lines) == 2


def test_an_input_quantizer_is_the_type_of_the_input():
    constants = {"s": F(0.25), "z": F(0), "b": F(8), "w": signs("typed", 3, 6)}
    nodes = [
        ("Quant", ["x", "s", "z", "b"], ["q"], {"signed": 1, "narrow": 1}),
        ("Gemm", ["q", "w"], ["y"], {"transB": 1}),
    ]
    proto = model(nodes, {"x": (1, 6)}, constants, opset=11)
    proto.graph.node[0].domain = "onnx.brevitas"
    proto.opset_import.add(domain="onnx.brevitas", version=1)
    program = compiled(proto)[1].program
    x = program.edges["x"]
    assert (x.bits, x.signed, x.lo, x.hi, x.scale, x.zero) == (8, True, -127, 127, F(0.25), 0)
    assert [k.kind for k in program.kernels] == ["reshape", "dense"]
    assert program.edges["y"].scale == F(0.25)  # its accumulators
    assert x.from_real(F([-1000, 1000])).tolist() == [-127, 127]


def test_pixels_on_a_grid_take_8_bits_and_others_20():
    w = signs("grid", 3, 6)
    nodes = [("Sub", ["x", "c"], ["h"], {}), ("Sign", ["h"], ["s"], {}), ("Gemm", ["s", "w"], ["y"], {"transB": 1})]
    proto = model(nodes, {"x": (1, 6)}, {"w": w, "c": F(0.5)})
    pixels = np.random.default_rng(0).integers(0, 256, (50, 6)).astype(F)
    pixels[0, 0], pixels[0, 1] = 0, 255
    for data, bits in ((pixels / F(255), 8), (pixels / F(255) - F(0.3), 20)):
        made, _ = quantized(proto, calibration={"x": data})
        assert lower(made).program.edges["x"].bits == bits
