"""Weight sharing on small networks: codebooks that reach the Program, masks, limits, and what is refused."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, values
from tests.passes.test_few_bits import data, dots, net

ON = {"enabled": True}


def compiled(proto=None, passes=None, quant="int8", calibration=True, **options):
    proto = proto or net()
    given = {"x": data()} if calibration else None
    made, ctx = quantized(proto, quant=quant, calibration=given, passes={"share": ON | options, **(passes or {})})
    return lower(made).program, ctx


def noise(program, proto):
    x = data(60)
    want = run_float(loaded(proto).graph, {"x": x})["y"]
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": x}))["y"])
    return float(((have - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum())


@pytest.mark.parametrize(("bits", "most"), [(2, 0.5), (4, 0.02), (6, 0.003), (8, 0.002)])
def test_layers_have_as_many_values_as_codes(bits, most):
    program, ctx = compiled(bits=bits)
    for k in dots(program):
        assert len(np.unique(k.constants["weight"])) <= 1 << bits
        assert k.constants["multiplier"].size == 1 or len(set(k.constants["multiplier"].tolist())) == 1
    assert noise(program, net()) < most
    notes = ctx.notes["share"]
    assert len(notes) == len(dots(program)) + 1
    assert notes[-1].endswith("bits of entropy per weight on average")
    assert all("weights that are shared" in line for line in ctx.notes["quantize"])


def entropy(program):
    return sum(
        -(c * np.log2(c / c.sum())).sum()
        for c in (np.unique(k.constants["weight"], return_counts=True)[1] for k in dots(program))
    )


def test_a_rate_takes_bits_and_prune_takes_weights():
    free, paid, half = (compiled(bits=3, **o)[0] for o in ({}, {"rate": 200.0}, {"prune": 0.5}))
    assert entropy(paid) < 0.8 * entropy(free)
    assert noise(free, net()) < noise(paid, net())
    for k in dots(half):
        assert np.count_nonzero(k.constants["weight"]) <= k.constants["weight"].size / 2 + 1


def test_a_loss_finds_the_rate():
    program, ctx = compiled(bits=4, loss=0.05)
    told = next(line for line in ctx.notes["share"] if line.startswith("loss"))
    assert float(told.split()[1]) <= 0.05
    assert entropy(program) < entropy(compiled(bits=4)[0])
    with pytest.raises(WorkFailed, match="can't have a loss of 1e-09"):
        compiled(bits=2, loss=1e-9)


def masked():
    """A dense layer with a pattern of zeros behind a convolution without any."""
    weight = values("e", 12, 64) * (np.arange(12 * 64).reshape(12, 64) % 3 == 0)
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"strides": [2, 2]}), ("Relu", ["c"], ["r"], {}), ("Flatten", ["r"], ["f"], {}),
        ("Gemm", ["f", "w2"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, {"w": values("a", 4, 2, 2, 2), "w2": weight.astype(np.float32)})


@pytest.mark.parametrize("bits", [3, 8])
def test_zeros_of_the_model_stay(bits):
    program, _ = compiled(masked(), bits=bits)
    conv, dense = (k.constants["weight"] for k in dots(program))
    assert (dense.reshape(12, 64)[np.arange(12 * 64).reshape(12, 64) % 3 != 0] == 0).all()
    assert np.count_nonzero(dense) > 200
    assert np.count_nonzero(conv) > 16


def test_depthwise_layers_have_a_scale_per_channel():
    weight = values("d", 4, 1, 3, 3) * np.array([1, 1e-3, 10, 0.1], np.float32).reshape(4, 1, 1, 1)
    proto = model([("Conv", ["x", "w"], ["y"], {"group": 4})], {"x": (1, 4, 6, 6)}, {"w": weight})
    made, _ = quantized(
        proto, calibration={"x": np.random.default_rng(0).normal(size=(64, 4, 6, 6)).astype(np.float32)},
        passes={"share": ON | {"bits": 4}},
    )  # fmt: skip
    q = made.tensors[made.nodes[-1].inputs[1]]
    assert len(np.unique(q.data)) <= 16
    for c in range(4):
        assert np.abs(q.data[c] * q.qtype.scale[c] - weight[c]).max() < 0.1 * np.abs(weight[c]).max()


@pytest.mark.parametrize("other", ["adaround", "bias_correction"])
def test_corrections_behind_it_keep_the_codes(other):
    program, _ = compiled(bits=3)
    corrected, _ = compiled(bits=3, passes={other: ON})
    for a, b in zip(dots(program), dots(corrected), strict=True):
        assert np.array_equal(a.constants["weight"], b.constants["weight"])
    assert any(
        not np.array_equal(a.constants["bias"], b.constants["bias"])
        for a, b in zip(dots(program), dots(corrected), strict=True)
    )


def test_the_same_twice():
    assert compiled(bits=3, rate=10.0)[0].sha256() == compiled(bits=3, rate=10.0)[0].sha256()


@pytest.mark.parametrize(("options", "text"), [
    ({"bits": 1}, "--share 1"), ({"bits": 9}, "--share 9"), ({"prune": 1.0}, "share.prune=1.0"), ({"prune": -0.1}, "share.prune"),
    ({"rate": -1.0}, "share.rate=-1.0"), ({"loss": float("nan")}, "share.loss=nan"), ({"samples": 0}, "share.samples=0"),
    ({"rate": 1.0, "loss": 0.1}, "share.rate and share.loss"), ({"quant": "int4"}, "--share with --quant int4"),
    ({"quant": "dfp8"}, "--share with --quant dfp8"), ({"calibration": False}, "needs calibration data"),
])  # fmt: skip
def test_what_is_refused(options, text):
    with pytest.raises(UsageError, match=text):
        compiled(**options)


def test_nothing_to_share():
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 2, 8, 8)}, {})
    with pytest.raises(UsageError, match="finds nothing to share"):
        compiled(proto)


@pytest.mark.parametrize("field", ["rate", "loss"])
def test_what_is_not_finite_is_refused(field):
    with pytest.raises(UsageError, match="finite"):
        compiled(**{field: float("inf")})
