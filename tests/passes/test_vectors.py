"""Vector codes on small networks: codes that reach the Program, orders of channels, limits, and what is refused."""

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.lower.build import lower
from sw_ref.vectors import decoded, order
from tests.models import model, quantized, values
from tests.passes.test_few_bits import data, dots
from tests.passes.test_share import noise

ON = {"enabled": True, "samples": 256}
SMALL = ON | {"codewords": 16}


def net():
    """Conv of 2 channels, depthwise, grouped and plain ones, Flatten, Gemm, Relu, Gemm."""
    constants = {
        "w0": values("a", 16, 2, 3, 3), "b0": values("b", 16), "w1": values("c", 16, 1, 3, 3), "w2": values("d", 16, 8, 3, 3),
        "w3": values("e", 16, 16, 1, 1), "b3": values("f", 16), "w4": values("g", 20, 256), "b4": values("h", 20),
        "w5": values("i", 6, 20), "b5": values("j", 6),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"pads": [1] * 4, "strides": [2, 2]}), ("Relu", ["c0"], ["r0"], {}),
        ("Conv", ["r0", "w1"], ["c1"], {"pads": [1] * 4, "group": 16}), ("Relu", ["c1"], ["r1"], {}),
        ("Conv", ["r1", "w2"], ["c2"], {"pads": [1] * 4, "group": 2}), ("Relu", ["c2"], ["r2"], {}),
        ("Conv", ["r2", "w3", "b3"], ["c3"], {}), ("Relu", ["c3"], ["r3"], {}), ("Flatten", ["r3"], ["f"], {}),
        ("Gemm", ["f", "w4", "b4"], ["g"], {"transB": 1}), ("Relu", ["g"], ["r4"], {}), ("Gemm", ["r4", "w5", "b5"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 8, 8)}, constants)


def compiled(proto=None, passes=None, quant="int8", calibration=True, **options):
    given = {"x": data(400)} if calibration else None
    made, ctx = quantized(
        proto or net(), quant=quant, calibration=given, passes={"vectors": ON | options, **(passes or {})}
    )
    return lower(made).program, ctx


def coded(program):
    return [k for k in dots(program) if "codebook" in k.constants]


@pytest.mark.parametrize(("options", "layers", "most"), [
    ({"codewords": 64}, 4, 0.6), ({"size": 2, "codewords": 16}, 5, 0.5), ({"size": 8, "codewords": 16}, 3, 0.8),
    ({"codewords": 16, "parts": 4}, 4, 0.75), ({"codewords": 16, "stages": 2}, 4, 0.4), ({"codewords": 16, "by_channel": True}, 4, 0.75),
])  # fmt: skip
def test_codes_reach_the_program(options, layers, most):
    program, ctx = compiled(**options)
    found = coded(program)
    assert len(found) == layers
    for k in found:
        c, size = k.constants, options.get("size", 4)
        stages, parts, codewords, wide = c["codebook"].shape
        assert (stages, wide) == (options.get("stages", 1), size)
        assert parts <= options.get("parts", 1)
        assert codewords <= options["codewords"]
        rows = c["weight"].reshape(len(c["weight"]), -1)
        columns = order(**k.params["vectors"])
        assert np.array_equal(decoded(c["codebook"].astype(int), c["index"]), rows[:, columns])
        if k.kind == "conv2d":  # vectors run along the input channels
            assert (
                columns[: c["weight"].shape[1]].tolist()
                == (np.arange(c["weight"].shape[1]) * np.prod(c["weight"].shape[2:])).tolist()
            )
        assert parts > 1 or len(np.unique(c["weight"])) <= (codewords * size) ** stages
    assert noise(program, net()) < most
    assert ctx.notes["vectors"][-1].endswith("codebooks included")


def test_a_flattened_map_has_vectors_along_its_channels():
    program, _ = compiled(codewords=16)
    dense = next(k for k in coded(program) if k.kind == "dense")
    assert dense.params["vectors"] == {"dims": [16, 16], "perm": [1, 0]}
    x = program.edges[dense.inputs[0]]
    assert order(**dense.params["vectors"]).tolist() == x.layout.order().tolist()


def test_layers_with_few_vectors_have_few_codewords_or_none():
    program, ctx = compiled(codewords=256)
    for k in coded(program):
        codebook, index = k.constants["codebook"], k.constants["index"]
        assert 4 * codebook.shape[2] <= index.size
        assert codebook.size + index.size < k.constants["weight"].size
    stays = [line for line in ctx.notes["vectors"] if "stays" in line]
    assert len(stays) == len(dots(program)) - len(coded(program))
    assert any("does not divide" in line for line in stays)


def test_channels_move_only_where_they_are_free():
    _, ctx = compiled(codewords=16)
    moved = [line for line in ctx.notes["vectors"] if "another order" in line]
    assert len(moved) == 4  # the grouped, the plain convolution and both dense layers
    _, ctx = compiled(codewords=16, permute=False)
    assert not any("another order" in line or "not free" in line for line in ctx.notes["vectors"])
    single = model([("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"x": (1, 128)}, {"w": values("w", 12, 128)})
    _, ctx = quantized(single, calibration={"x": data().reshape(200, -1)}, passes={"vectors": SMALL})
    assert any("the order of its channels is not free" in line for line in ctx.notes["vectors"])


def test_another_order_is_the_same_function():
    """Codes of 8 bits for 2 weights on few vectors are nearly exact: outputs are those of the network as it was, in their order."""
    proto = net()
    assert noise(compiled(proto, size=2, codewords=256, stages=3)[0], proto) < 0.01


def test_the_order_pays_where_channels_are_alike():
    """Pairs of equal channels, not side by side."""
    half = np.random.default_rng(0).normal(size=(24, 32)).astype(np.float32)
    mixed = np.concatenate([half, half], axis=1)
    nodes = [
        ("Gemm", ["x", "w"], ["h"], {"transB": 1}),
        ("Relu", ["h"], ["r"], {}),
        ("Gemm", ["r", "v"], ["y"], {"transB": 1}),
    ]
    proto = model(nodes, {"x": (1, 128)}, {"w": values("w", 64, 128), "v": mixed})
    errors = []
    for permute in (True, False):
        passes = {"vectors": SMALL | {"size": 2, "codewords": 8, "permute": permute}}
        _, ctx = quantized(proto, calibration={"x": data(400).reshape(400, -1)}, passes=passes)
        (line,) = (n for n in ctx.notes["vectors"] if "codebook" in n and "Gemm_2" in n)
        errors.append(float(line.partition("error ")[2].split()[0]))
    assert errors[0] < 0.5 * errors[1]


def test_scalar_codes_take_the_layers_that_vectors_leave():
    program, ctx = compiled(size=8, codewords=16, passes={"share": {"enabled": True, "bits": 3}})
    plain = [k for k in dots(program) if "codebook" not in k.constants]
    assert plain
    assert all(len(np.unique(k.constants["weight"])) <= 8 for k in plain)
    assert len(ctx.notes["share"]) == len(plain) + 1


@pytest.mark.parametrize("other", ["adaround", "bias_correction"])
def test_corrections_behind_it_keep_the_codes(other):
    program, _ = compiled(codewords=16)
    corrected, _ = compiled(codewords=16, passes={other: {"enabled": True}})
    assert len(coded(corrected)) == len(coded(program)) > 0
    for a, b in zip(coded(program), coded(corrected), strict=True):
        assert all(np.array_equal(a.constants[n], b.constants[n]) for n in ("weight", "codebook", "index"))


def test_a_channel_that_is_always_zero_is_codeword_zero():
    """Lowering takes its weights away, as its result is known."""
    bias = values("b", 20)
    bias[3] = -1000
    nodes = [
        ("Gemm", ["x", "w", "b"], ["h"], {"transB": 1}),
        ("Relu", ["h"], ["r"], {}),
        ("Gemm", ["r", "v"], ["y"], {"transB": 1}),
    ]
    proto = model(nodes, {"x": (1, 128)}, {"w": values("w", 20, 128), "b": bias, "v": values("v", 12, 20)})
    made, _ = quantized(
        proto, calibration={"x": data().reshape(200, -1)}, passes={"vectors": SMALL | {"permute": False}}
    )
    first = coded(lower(made).program)[0].constants
    assert not first["weight"][3].any()
    assert not first["index"][:, 3].any()
    assert first["weight"][2].any()


def test_the_same_twice():
    assert compiled(codewords=16)[0].sha256() == compiled(codewords=16)[0].sha256()


@pytest.mark.parametrize(("options", "text"), [
    ({"size": 3}, "--share-vectors 3x256"), ({"size": 16}, "--share-vectors 16x256"), ({"codewords": 2}, "--share-vectors 4x2"),
    ({"codewords": 48}, "--share-vectors 4x48"), ({"codewords": 512}, "--share-vectors 4x512"), ({"parts": 0}, "vectors.parts=0"),
    ({"stages": 0}, "vectors.stages=0"), ({"stages": 9}, "vectors.stages=9"), ({"noise": -1.0}, "vectors.noise=-1"),
    ({"noise": float("inf")}, "vectors.noise=inf"), ({"noise": float("nan")}, "vectors.noise=nan"), ({"samples": 0}, "vectors.samples=0"),
    ({"quant": "int4"}, "--quant int4"), ({"quant": "int16"}, "--quant int16"), ({"calibration": False}, "needs calibration data"),
])  # fmt: skip
def test_what_is_refused(options, text):
    with pytest.raises(UsageError, match=text):
        compiled(**options)


def test_nothing_to_code():
    odd = model([("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"x": (1, 7)}, {"w": values("w", 64, 7)})
    with pytest.raises(UsageError, match="finds nothing to code"):
        quantized(odd, calibration={"x": np.zeros((8, 7), np.float32)}, passes={"vectors": ON})
