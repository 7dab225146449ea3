"""Post-training schemes of few bits on small networks."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.passes._compensated import Compensated
from hwcomp.passes._compensated import dots as few_dots
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.quantize.few_weights import BITS, few
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


def auto(**options):
    """(Program, notes, loss and bits per weight that the table ends with)."""
    program, ctx = compiled("auto", **options)
    notes = ctx.notes["few_bits"]
    told = next(line for line in notes if line.startswith("auto: loss")).split()
    return program, notes, float(told[2]), float(told[4])


def test_auto_stays_below_the_loss_that_it_may_have_and_says_why():
    averages = []
    for loss in (1e-4, 0.02, 0.3):
        program, notes, reached, bits = auto(loss=loss)
        rows = [line.split() for line in notes[1:6]]
        assert rows[0][:5] == ["layer", "weights", "chosen", "bits", "alone"]
        assert [int(r[1]) for r in rows[1:]] == [72, 108, 1152, 60]
        assert all(BITS[r[2]] == int(r[3]) for r in rows[1:])
        assert sum(int(r[1]) * int(r[3]) for r in rows[1:]) / 1392 == pytest.approx(bits, abs=0.01)
        assert reached <= loss
        averages.append(bits)
        assert noise(program) < 2 * loss + 0.003
    assert averages[0] > averages[1] > averages[2]


def test_auto_within_a_number_of_bits():
    losses = []
    for most in (6.0, 3.0, 1.5):
        _, _, loss, bits = auto(bits=most)
        assert bits <= most
        losses.append(loss)
    assert losses[0] < losses[1] < losses[2]


def test_auto_leaves_the_layers_that_the_user_has_set():
    program, notes, _, _ = auto(loss=0.05, layers="Conv_0=int4,y=int8")
    rows = [line.split() for line in notes[2:6]]
    assert [(r[2], r[4]) for r in (rows[0], rows[3])] == [("int4", "set"), ("int8", "set")]
    assert np.abs(dots(program)[0].constants["weight"]).max() <= 7


@pytest.mark.parametrize(("options", "text"), [
    ({"bits": 0.5}, "can't have 0.5 bits per weight.*least are 1.00"),
    ({"bits": 2.0, "loss": 1e-4}, r"can't have 2 bits per weight with a loss of 0.0001.*the loss is .* bits have"),
    ({"loss": 1e-5, "layers": "y=binary-weights"}, "can't have a loss of 1e-05.*schemes are given"),
])  # fmt: skip
def test_wishes_that_can_not_be_met_say_what_can(options, text):
    with pytest.raises(WorkFailed, match=text):
        compiled("auto", **options)


@pytest.mark.parametrize("option", ["loss", "bits", "ends", "samples"])
def test_negative_options_are_refused(option):
    with pytest.raises(UsageError, match=f"few_bits.{option}=-1"):
        compiled("auto", **{option: -1})


def test_small_layers_at_the_ends_stay_int8():
    program, ctx = compiled("binary", ends=0.045)
    most = [int(np.abs(k.constants["weight"]).max()) for k in dots(program)]
    assert most[0] == most[1] == most[2] == 1  # the first layer has 5 % of the weights, the last 4.3 %
    assert most[3] == 127
    assert not program.edges[dots(program)[3].inputs[0]].bipolar
    assert any("'Gemm_8': int8 weights" in line for line in ctx.notes["few_bits"])
    assert np.abs(dots(compiled("int4", ends=0.5)[0])[0].constants["weight"]).max() <= 7


def test_layers_take_back_errors_of_those_in_front():
    """The last layer stays int8; the others' errors are less behind it if it is fitted, too."""
    graph, found = fits()
    names = [n.name for n in few_dots(graph)]
    chosen = dict.fromkeys(names, "int2") | {names[-1]: "int8"}
    x = data(60)
    want = run_float(graph, {"x": x})["y"]
    errors = []
    for layers in (chosen, {n: k for n, k in chosen.items() if k != "int8"}):
        errors.append(float(((run_float(found.network(layers, set()), {"x": x})["y"] - want) ** 2).mean()))
    assert errors[0] < errors[1]


def fits():
    """(float graph in front of the pass, Compensated)."""
    model = loaded(net())
    ctx = PassContext(calibration={"x": data()})
    graph = run_passes(model.graph, ctx, [p for p in configured({}) if p.name.startswith(("fuse", "merge", "elim"))])
    return graph, Compensated(graph, ctx, 200)


def test_bits_are_made_in_front_of_a_flattening_and_a_pool():
    """So the convolution gives bits itself: thresholds, one per channel."""
    program, _ = compiled("binary")
    kinds = [k.kind for k in program.kernels]
    assert kinds == ["conv2d", "maxpool2d", "conv2d", "reshape", "dense", "dense"]
    forms = [k.params["requantize"]["form"] for k in dots(program)]
    assert forms[:3] == ["threshold"] * 3


def test_without_data_weights_are_rounded_one_by_one():
    made, _ = quantized(net(), quant="ternary", input_ranges={"x": (-1.0, 1.0)})
    for k, name in zip(dots(lower(made).program), ("a", "c", "e", "g"), strict=True):
        w = values(name, *k.constants["weight"].shape)
        assert np.array_equal(
            k.constants["weight"], few(w.reshape(len(w), -1).astype(float), "ternary")[0].reshape(w.shape)
        )


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
