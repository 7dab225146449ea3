"""The forms in which exporters write networks of few bits, and what keeps a layer of them from being one."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, values

F = np.float32
GAMMA = F([1.5, -0.7, 0.0, 0.4, -2.0, 0.0, 1.0, -0.1])  # rising, falling, constant
K, M = 27, 8  # products of a sum, channels


def signs(*shape):
    rng = np.random.default_rng(shape[0])
    return np.where(rng.uniform(size=shape) < 0.5, -1, 1).astype(F)


def norm(label):
    """Constants of a BatchNormalization (gamma GAMMA), by name."""
    return {
        f"{label}g": GAMMA, f"{label}b": values(label + "b", M), f"{label}m": values(label + "m", M, scale=3.0),
        f"{label}v": np.abs(values(label + "v", M)) + F(0.5),
    }  # fmt: skip


def bn(label, x, y, form):
    """(nodes, constants) of a BatchNormalization as one node, or as Sub, Mul, Div, Mul, Add, exporters' unfused row."""
    c = norm(label)
    if form == "node":
        return [("BatchNormalization", [x, *c], [y], {})], c
    axes = (1, M, 1, 1) if form == "row of maps" else (1, M)
    root = np.sqrt(c[f"{label}v"] + F(1e-5))
    held = {
        f"{label}m": c[f"{label}m"].reshape(axes), f"{label}r": root.reshape(axes), f"{label}g": c[f"{label}g"].reshape(axes),
        f"{label}b": c[f"{label}b"].reshape(axes),
    }  # fmt: skip
    nodes = [
        ("Sub", [x, f"{label}m"], [f"{y}1"], {}), ("Div", [f"{y}1", f"{label}r"], [f"{y}2"], {}),
        ("Mul", [f"{y}2", f"{label}g"], [f"{y}3"], {}), ("Add", [f"{y}3", f"{label}b"], [y], {}),
    ]  # fmt: skip
    return nodes, held


def dot(kind, w, x, y):
    """(nodes, constants) of a dot product of few bits in one of the exporters' forms; `w` [M, K]."""
    if kind == "conv":
        return [("Conv", [x, "w"], [y], {"pads": [1] * 4})], {"w": w.reshape(M, 3, 3, 3)}
    if kind == "matmul":
        return [("MatMul", [x, "w"], [y], {})], {"w": w.T.copy()}
    if kind == "matmul behind a transpose":
        return [("Transpose", ["w"], ["t"], {"perm": [1, 0]}), ("MatMul", [x, "t"], [y], {})], {"w": w}
    if kind == "gemm":
        return [("Gemm", [x, "w"], [y], {"transB": 1})], {"w": w}
    return [("Transpose", ["w"], ["t"], {"perm": [1, 0]}), ("Gemm", [x, "t", "c"], [y], {})], {
        "w": w,
        "c": values("c", M),
    }


def net(kind, form="node", weights=None, alpha=False):
    """x -> Sign -> dot product -> BN -> Sign -> dense layer of +-1."""
    maps = kind == "conv"
    w = signs(M, K) if weights is None else weights
    w = w * (np.abs(values("alpha", M, 1)) + F(0.2)) if alpha else w
    nodes, constants = dot(kind, w, "s", "h")
    form = f"{form} of maps" if form == "row" and maps else form
    more, held = bn("n", "h", "a", form)
    flat = M * 16 if maps else M
    tail = [("Flatten", ["q"], ["f"], {})] if maps else [("Identity", ["q"], ["f"], {})]
    nodes = [
        ("Sign", ["x"], ["s"], {}), *nodes, *more, ("Sign", ["a"], ["q"], {}), *tail, ("Gemm", ["f", "v"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    shape = (1, 3, 4, 4) if maps else (1, K)
    return model(nodes, {"x": shape}, {**constants, **held, "v": signs(5, flat)}), shape[1:]


def compiled(proto, shape):
    x = np.random.default_rng(0).uniform(-1, 1, (60, *shape)).astype(F)
    made, ctx = quantized(proto, calibration={"x": x})
    return lower(made).program, ctx, x


KINDS = ("conv", "matmul", "matmul behind a transpose", "gemm", "gemm behind a transpose")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["node", "row"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_binary_layer_in_every_form(kind, form, alpha):
    """Negative and zero gamma included: each decision is that of the float network."""
    proto, shape = net(kind, form, alpha=alpha)
    program, ctx, x = compiled(proto, shape)
    dots = [k for k in program.kernels if k.kind in ("conv2d", "dense")]
    assert len(dots) == 2
    for k in dots:
        assert (np.abs(k.constants["weight"]) == 1).all()
        assert program.edges[k.inputs[0]].bipolar
    assert dots[0].params["requantize"]["form"] == "threshold"
    assert not any("is not of few bits" in line for line in ctx.notes["streamline"])
    stored = samples.to_stored(program, {"x": x})
    taps, seen = run_program(program, stored, taps=True), {}
    run_float(loaded(proto).graph, {"x": program.edges["x"].to_real(stored["x"])}, lambda n, a: seen.update({n: a}))
    channels = np.moveaxis(program.edges["q"].to_real(taps["q"]), 1, 0)
    assert np.array_equal(channels, np.moveaxis(seen["q"], 1, 0))
    assert np.array_equal(program.edges["y"].to_real(taps["y"]), seen["y"])
    for c in np.flatnonzero(GAMMA == 0):
        assert np.unique(channels[c]).size == 1
    assert {np.unique(channels[c]).size for c in np.flatnonzero(GAMMA)} == {2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folded_normalization_leaves_rows_of_alpha(kind):
    """gamma / sigma is in the weights, of either sign or zero, and the rest in a bias."""
    c = norm("n")
    gain = c["ng"] / np.sqrt(c["nv"] + F(1e-5))
    w = (signs(M, K) * gain[:, None]).astype(F)
    nodes, constants = dot(kind, w, "s", "h")
    maps = kind == "conv"
    constants["d"] = (c["nb"] - c["nm"] * gain).reshape((M, 1, 1) if maps else M).astype(F)
    nodes = [("Sign", ["x"], ["s"], {}), *nodes, ("Add", ["h", "d"], ["a"], {}), ("Sign", ["a"], ["q"], {})]
    nodes += [("Conv", ["q", "v"], ["y"], {})] if maps else [("Gemm", ["q", "v"], ["y"], {"transB": 1})]
    constants["v"] = signs(5, M, 1, 1) if maps else signs(5, M)
    shape = (1, 3, 4, 4) if maps else (1, K)
    proto = model(nodes, {"x": shape}, constants)
    program, ctx, x = compiled(proto, shape[1:])
    first = next(k for k in program.kernels if k.kind in ("conv2d", "dense"))
    rows = np.abs(first.constants["weight"].reshape(M, -1))
    assert (rows[GAMMA != 0] == 1).all()
    assert not rows[GAMMA == 0].any()
    stored = samples.to_stored(program, {"x": x})
    have = program.edges["y"].to_real(run_program(program, stored)["y"])
    want = run_float(loaded(proto).graph, {"x": program.edges["x"].to_real(stored["x"])})["y"]
    assert np.array_equal(have, want)
    assert sum("weights, as the model has them" in line for line in ctx.notes["quantize"]) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_one_element_that_differs_is_named(kind):
    w = signs(M, K) * F(0.5)
    w[5, 11] = F(0.36179)
    _, ctx, _ = compiled(*net(kind, weights=w))
    (line,) = [n for n in ctx.notes["streamline"] if "is not of few bits" in n]
    assert "channel 5 of its weights has" in line
    assert "0.5 and 0.36179, no multiples of one number" in line
    assert "its input" not in line
    assert any("20-bit weights: these are no few-bit integers" in n for n in ctx.notes["quantize"])


def test_an_input_that_no_quantizer_makes_is_named():
    nodes = [
        ("Relu", ["x"], ["r"], {}), ("Gemm", ["r", "w"], ["h"], {"transB": 1}), ("Sign", ["h"], ["s"], {}),
        ("Gemm", ["s", "v"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    proto = model(nodes, {"x": (1, K)}, {"w": signs(M, K), "v": values("v", 5, M)})
    _, ctx, _ = compiled(proto, (K,))
    lines = [n for n in ctx.notes["streamline"] if "is not of few bits" in n]
    assert len(lines) == 2
    assert lines[0].endswith("its input 'r' comes from Clip 'Relu_0', no quantizer of few bits")
    assert "channel 0 of its weights has" in lines[1]


@pytest.mark.parametrize(("tail", "reader"), [
    ([("Relu", ["s"], ["y"], {})], "Clip 'Relu_1'"), ([("Identity", ["s"], ["y"], {})], "the output of the network"),
    ([("Gemm", ["s", "v"], ["g"], {"transB": 1}), ("Add", ["s", "g"], ["y"], {})], "Add 'Add_2'"),
])  # fmt: skip
def test_a_sign_that_others_read_is_named(tail, reader):
    proto = model([("Sign", ["x"], ["s"], {}), *tail], {"x": (1, M)}, {"v": signs(M, M)} if len(tail) == 2 else {})
    _, ctx, _ = compiled(proto, (M,))
    assert f"Sign 'Sign_0' stays a function, with a 0: {reader} reads it" in ctx.notes["streamline"]


def test_a_layer_behind_a_sign_that_stays_is_named():
    """0 is a value of it: its products are no XNOR."""
    nodes = [("Sign", ["x"], ["s"], {}), ("Gemm", ["s", "v"], ["y"], {"transB": 1}), ("Neg", ["s"], ["z"], {})]
    proto = model(nodes, {"x": (1, M)}, {"v": signs(M, M)}, ("y", "z"))
    program, ctx, _ = compiled(proto, (M,))
    assert not any(e.bipolar for e in program.edges.values())
    assert any("Neg 'Neg_2' reads it" in n for n in ctx.notes["streamline"])
