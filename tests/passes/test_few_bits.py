"""Post-training schemes of few bits on small networks."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.quantize.few_weights import BITS
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, values

F = np.float32


def net():
    """Conv, Relu, MaxPool, padded grouped Conv, Relu, Flatten, Gemm, Relu, Gemm."""
    constants = {
        "w0": values("a", 4, 2, 3, 3), "b0": values("b", 4), "w1": values("c", 6, 2, 3, 3), "b1": values("d", 6),
        "w2": values("e", 12, 96), "b2": values("f", 12), "w3": values("g", 5, 12), "b3": values("h", 5),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"pads": [1] * 4}), ("Relu", ["c0"], ["r0"], {}),
        ("MaxPool", ["r0"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["p", "w1", "b1"], ["c1"], {"pads": [1] * 4, "group": 2}), ("Relu", ["c1"], ["r1"], {}),
        ("Flatten", ["r1"], ["f"], {}), ("Gemm", ["f", "w2", "b2"], ["g"], {"transB": 1}), ("Relu", ["g"], ["r2"], {}),
        ("Gemm", ["r2", "w3", "b3"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, constants)


def data(count=200):
    return np.random.default_rng(0).uniform(-1, 1, (count, 2, 8, 8)).astype(F)


def compiled(quant, **options):
    made, ctx = quantized(net(), quant=quant, calibration={"x": data()}, passes={"few_bits": options})
    return lower(made).program, ctx


def dots(program):
    return [k for k in program.kernels if k.kind in ("conv2d", "dense")]


def noise(program):
    x = data(60)
    want = run_float(loaded(net()).graph, {"x": x})["y"]
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": x}))["y"])
    return float(((have - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum())


@pytest.mark.parametrize(("quant", "lo", "hi", "most"), [
    ("int4", -7, 7, 0.02), ("int2", -2, 1, 0.6), ("ternary", -1, 1, 0.5), ("binary-weights", -1, 1, 1.2),
    ("log2", -64, 64, 0.3),
])  # fmt: skip
def test_every_layer_gets_small_integers(quant, lo, hi, most):
    program, ctx = compiled(quant)
    for k in dots(program):
        w = k.constants["weight"]
        assert lo <= w.min() <= w.max() <= hi
        assert quant != "binary-weights" or (np.abs(w) == 1).all()
        assert quant != "log2" or set(np.abs(w).ravel().tolist()) <= {0, 1, 2, 4, 8, 16, 32, 64}
    assert noise(program) < most
    assert f"{BITS[quant]:.2f} bits per weight on average" in ctx.notes["few_bits"]


def test_binary_has_inputs_of_one_bit_behind_the_first_layer():
    program, ctx = compiled("binary")
    first, *others = dots(program)
    assert not program.edges[first.inputs[0]].bipolar
    for k in others:
        assert program.edges[k.inputs[0]].bipolar
        assert (np.abs(k.constants["weight"]) == 1).all()
    assert others[0].params["pad_value"] == -1  # what the quantizer makes of a padded 0.0
    assert any("no K map" in line for line in ctx.notes["few_bits"])


def test_layers_may_differ():
    program, _ = compiled("int8", layers="Conv_3=ternary,y=binary-weights")
    most = [int(np.abs(k.constants["weight"]).max()) for k in dots(program)]
    assert most[1] == most[3] == 1
    assert min(most[0], most[2]) == 127


@pytest.mark.parametrize(("layers", "text"), [("y=int5", "unknown scheme 'int5'"), ("zzz=int4", "no layer 'zzz'")])
def test_wrong_layers_are_refused(layers, text):
    with pytest.raises(UsageError, match=text):
        compiled("int8", layers=layers)


def test_auto_stays_below_the_loss_that_it_may_have_and_says_why():
    averages = []
    for loss in (1e-3, 0.02, 0.3):
        program, ctx = compiled("auto", loss=loss)
        notes = ctx.notes["few_bits"]
        assert sum(line.startswith("sensitivity of") for line in notes) == 4
        told = next(line for line in notes if line.startswith("auto: error of the outputs"))
        assert float(told.split()[5]) <= loss
        averages.append(float(next(line for line in notes if "on average" in line).split()[0]))
        assert noise(program) < 2 * loss + 0.003
    assert averages[0] > averages[1] > averages[2]


def test_without_a_few_bit_scheme_nothing_happens():
    program, ctx = compiled("int8")
    assert "few_bits" not in ctx.notes
    assert all(np.abs(k.constants["weight"]).max() == 127 for k in dots(program))


# --- XNOR-Net's K map -------------------------------------------------------------------------------------------------


def k_net():
    """Conv, padded Conv with Relu, Flatten, Gemm."""
    constants = {
        "w0": values("a", 4, 2, 3, 3), "b0": values("b", 4), "w1": values("c", 6, 4, 3, 2), "b1": values("d", 6),
        "w2": values("e", 5, 6 * 4 * 8), "b2": values("f", 5),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"pads": [1] * 4}),
        ("Conv", ["c0", "w1", "b1"], ["c1"], {"pads": [1, 1, 1, 0], "strides": [2, 1]}), ("Relu", ["c1"], ["r1"], {}),
        ("Flatten", ["r1"], ["f"], {}), ("Gemm", ["f", "w2", "b2"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, constants)


def test_the_k_map_is_the_mean_of_sizes_under_a_box_filter():
    x = {"x": data(100)}
    made, ctx = quantized(k_net(), quant="binary", calibration=x, passes={"few_bits": {"xnor_k": True}})
    program = lower(made).program
    seen = run_program(program, samples.to_stored(program, x), taps=True)
    real = {n: program.edges[n].to_real(v).astype(np.float64) for n, v in seen.items()}
    constants = {k.outputs[0]: k.constants for k in program.kernels}

    def windows(a, pad):
        a = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 0)), constant_values=pad)
        return np.lib.stride_tricks.sliding_window_view(a, (3, 2), axis=(2, 3))[:, :, ::2]

    for y, padded in (("r1", True), ("y", False)):
        centred, size, k, sign, product = (real[f"{y}__{n}"] for n in ("centred", "size", "k", "sign", "product"))
        step = {n: float(program.edges[f"{y}__{n}"].scale) for n in ("size", "k", "product")}
        assert np.abs(size - np.abs(centred)).max() <= 0.51 * step["size"]
        signs, weight = np.where(centred >= 0, 1, -1), constants[f"{y}__sign"]["weight"].astype(np.int64)
        assert (np.abs(weight) == 1).all()
        if padded:
            mean = -float(real[f"{y}__centred"].mean() - real["c0"].mean())  # how far x was moved
            outside = program.edges[f"{y}__size"].to_real(
                next(q for q in program.kernels if q.outputs == (f"{y}__k",)).params["pad_value"]
            )
            assert abs(outside - abs(mean)) < 0.02
            want_k = windows(size, float(outside)).mean(axis=(1, 4, 5))[:, None]
            want = np.einsum("nchwkl,mckl->nmhw", windows(signs, 1 if mean <= 0 else -1), weight)
        else:
            want_k, want = size.mean(axis=1, keepdims=True), signs @ weight.T
        assert np.array_equal(sign, want)
        assert np.abs(k - want_k).max() <= 0.51 * step["k"]
        flat = np.moveaxis(sign * k, 1, -1).reshape(product.shape)
        assert np.abs(product - flat).max() <= 0.51 * step["product"]
    assert sum("times the K map" in note and "multiplications by it" in note for note in ctx.notes["few_bits"]) == 2


def test_a_k_map_that_is_dropped_is_said():
    program, ctx = compiled("binary")
    notes = [note for note in ctx.notes["few_bits"] if "no K map" in note]
    assert len(notes) == 3
    program, ctx = compiled("binary", xnor_k=True)  # the second convolution has groups
    assert sum("no K map" in note for note in ctx.notes["few_bits"]) == 1
    assert sum("times the K map" in note for note in ctx.notes["few_bits"]) == 2
    assert "mul" in {k.kind for k in program.kernels}
    _, ctx = compiled("ternary", xnor_k=True)
    assert any("no layer has a K map" in note for note in ctx.notes["few_bits"])
