"""Inputs of raw pixels: the same function of a pixel before and after, or a refusal that names the node."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.pixels import Pixels
from tests.models import model, values

PER_CHANNEL = "uint8,123.675:116.28:103.53,58.395:57.12:57.375"


def conv(pads=0, c=3, before=(), source="x", shape=None, **attrs):
    """`before`: nodes in front of the convolution, which reads `source`."""
    nodes = [*before, ("Conv", [source, "w", "b"], ["y"], {"pads": [pads] * 4, **attrs}, "first")]
    group = attrs.get("group", 1)
    return model(nodes, {"x": shape or (1, c, 5, 4)}, {"w": values("tw", 4, c // group, 3, 3), "b": values("tb", 4)})


def dense(before, source, shape=(1, 3, 4, 2)):
    return model([*before, ("Gemm", [source, "k"], ["y"], {}, "first")], {"x": shape}, {"k": values("tk", 24, 5)})


def both(run, proto, text):
    """(the outcome, outputs of x before, outputs of what the stored pixels mean after) for random pixels."""
    pixels = Pixels.parse(text)
    out = run(proto, "type_inputs", input_types={"x": pixels})
    shape = out.before.tensors["x"].shape[1:]
    p = np.random.default_rng(0).integers(0, 256, (9, *shape)).astype(np.uint8)
    q = out.after.tensors["x"].qtype
    meant = ((p.astype(np.float64) - q.zero) * q.scale[0]).astype(np.float32)
    return out, run_float(out.before, {"x": pixels.real(p)})["y"], run_float(out.after, {"x": meant})["y"]


MOVED = [("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]})]
NETS = {
    "conv": conv(), "strided": conv(strides=[2, 1], dilations=[2, 1]), "grouped": conv(c=6, group=2),
    "channels last": conv(before=MOVED, source="t", shape=(1, 5, 4, 3)),
    "flat": dense([("Flatten", ["x"], ["f"], {})], "f"),
    "rearranged": dense([("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}), ("Flatten", ["t"], ["f"], {})], "f"),
    "a part": model(
        [("Slice", ["x", "from", "to", "axis"], ["s"], {}), ("Conv", ["s", "w"], ["y"], {})], {"x": (1, 3, 5, 4)},
        {"from": np.array([1]), "to": np.array([3]), "axis": np.array([1]), "w": values("ts", 2, 2, 2, 2)},
    ),
    "two readers": model(
        [("Conv", ["x", "w"], ["a"], {}), ("Conv", ["x", "v"], ["b"], {}), ("Add", ["a", "b"], ["y"], {})],
        {"x": (1, 3, 4, 4)}, {"w": values("w2", 2, 3, 2, 2), "v": values("v2", 2, 3, 2, 2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("text", ["uint8,0,255", "uint8,128,64", "uint8,127.5,127.5", PER_CHANNEL, "uint8,7,1:2:3"])
def test_the_function_stays(run, net, text):
    if net == "grouped" and ":" in text:
        text = "uint8,1:2:3:4:5:6.5,9:8:7:6:5:4"  # six channels
    _, want, got = both(run, NETS[net], text)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())


@pytest.mark.parametrize("text", [
    "uint8,0,255", "uint8,128,64", "uint8,10,1:2:3", "uint8,127.5,127.5", "uint8,104:117:123,57", "uint8,0.0078125,2",
    "uint8,-3,2", "uint8,300.25:1:2,3:4:5",
])  # fmt: skip
def test_padding_is_zero_in_units_of_the_network(run, text):
    """Through a padded convolution: real 0.0 is an integer of the type that is padded."""
    out, want, got = both(run, conv(1), text)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())
    padded = out.after.tensors[out.node("Conv").inputs[0]]
    assert ("BatchNormalization" in out.ops) == (padded.name != "x")
    assert padded.qtype.lo <= padded.qtype.zero <= padded.qtype.hi


@pytest.mark.parametrize(("text", "bits", "scale"), [
    ("uint8,127.5,3", 9, 0.5), ("uint8,104:117:123,57", 9, 1.0), ("uint8,1:2:3,9", 9, 1.0), ("uint8,99.25,1", 11, 0.25),
    ("uint8,0.0078125,2", 16, 1 / 128), ("uint8,300,1", 10, 1.0),
])  # fmt: skip
def test_a_mean_is_subtracted_exactly_in_front_of_padding(run, text, bits, scale):
    out, *_ = both(run, conv(1), text)
    q = out.after.tensors[out.node("Conv").inputs[0]].qtype
    assert (q.bits, q.signed, q.scale, q.zero) == (bits, True, (scale,), 0)
    mean = np.broadcast_to(Pixels.parse(text).mean, 3)
    for p in (0, 255):
        steps = (p - mean) / scale
        assert (steps == np.rint(steps)).all()
        assert q.lo <= steps.min() <= steps.max() <= q.hi


@pytest.mark.parametrize("mean", ["123.675", "127.501", "1e5"])
def test_padding_that_no_integer_stands_for_is_refused(run, mean):
    with pytest.raises(UnsupportedError, match=r"pads with real 0\.0") as error:
        run(conv(1), "type_inputs", input_types={"x": Pixels.parse(f"uint8,{mean},58")})
    assert error.value.node == "first"


@pytest.mark.parametrize(("nodes", "node"), [
    ([("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2]}, "first")], "first"),
    ([("Relu", ["x"], ["y"], {}, "first")], "first"), ([("Add", ["x", "x"], ["y"], {}, "first")], "first"),
    ([("Transpose", ["x"], ["t"], {"perm": [0, 2, 1, 3]}), ("Conv", ["t", "w"], ["y"], {}, "first")], "first"),
    ([("Flatten", ["x"], ["y"], {})], None),
])  # fmt: skip
def test_what_can_not_be_folded_is_refused(run, nodes, node):
    proto = model(nodes, {"x": (1, 3, 3, 3)}, {"w": values("w", 2, 3, 1, 1)} if "Conv" in {n[0] for n in nodes} else {})
    with pytest.raises(UnsupportedError, match="leave out --input") as error:
        run(proto, "type_inputs", input_types={"x": Pixels.parse("uint8,1:2:3,4")})
    assert error.value.node == node


def test_one_integer_mean_needs_no_folding(run):
    """Any reader will do: the type says it all."""
    proto = model([("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2]})], {"x": (1, 3, 3, 3)})
    out = run(proto, "type_inputs", input_types={"x": Pixels.parse("uint8,3,4")})
    assert out.ops == ["MaxPool"]
    assert out.after.tensors["x"].qtype.zero == 3
    assert out.notes == ["'x' holds raw uint8 pixels p, x = (p - 3) / 4"]
