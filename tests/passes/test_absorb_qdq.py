"""The types that a quantized model states: kept verbatim, on the tensors that they belong to; or dropped on request."""

import numpy as np
import pytest

from hwcomp.driver import Watch
from hwcomp.errors import ModelError, UnsupportedError, UsageError
from hwcomp.lower.build import lower
from hwcomp.options import CompileOptions
from tests.models import model, quantized, values
from tests.qdq import Style, wrapped

TYPES = {
    "s": np.float32(0.0078), "z": np.uint8(128), "s2": np.float32(0.02), "z2": np.int8(-7), "w": np.int8([[3, -4], [5, 6], [-7, 8]]),
    "ws": np.float32([0.5, 0.25]), "b": np.int32([9, -70]), "bs": np.float32([0.0039, 0.00195]), "f": np.float32([0.3, -0.2]),
}  # fmt: skip


def q(x, y, n=""):
    return ("QuantizeLinear", [x, f"s{n}", f"z{n}"], [y], {})


def dq(x, y, n=""):
    return ("DequantizeLinear", [x, f"s{n}", f"z{n}"], [y], {})


def built(nodes, shape=(1, 3), *, outputs=("y",), held=None, **options):
    graph, ctx = quantized(model(nodes, {"x": shape}, TYPES | (held or {}), outputs), **options)
    return graph, ctx


def weights(bias="bd"):
    return [
        q("x", "q"), dq("q", "r"), ("DequantizeLinear", ["w", "ws"], ["wd"], {"axis": 1}),
        ("DequantizeLinear", ["b", "bs"], ["bd"], {"axis": 0}), ("Gemm", ["r", "wd", bias], ["h"], {}),
    ]  # fmt: skip


def types(graph):
    return {t.name: (t.qtype.signed, t.qtype.zero) for t in graph.tensors.values() if not t.is_constant and t.qtype}


def test_a_dense_layer_keeps_all_its_integers():
    graph, _ = built([*weights(), q("h", "p", "2"), dq("p", "y", "2")])
    (node,) = graph.nodes
    w, b = (graph.tensors[n] for n in node.inputs[1:])
    np.testing.assert_array_equal(w.data, TYPES["w"].T)
    np.testing.assert_array_equal(b.data, TYPES["b"])
    assert w.qtype.scale == (0.5, 0.25)
    assert types(graph) == {"x": (False, 128), "y": (True, -7)}


def test_a_bias_in_float_keeps_its_value():
    """It is no whole number of steps of the accumulator: the offsets hold what is left, and the export says it in float."""
    graph, _ = built([*weights("f"), q("h", "p", "2"), dq("p", "y", "2")])
    bias = graph.tensors[graph.nodes[0].inputs[2]]
    np.testing.assert_allclose(bias.data * bias.qtype.scales(), TYPES["f"], rtol=1e-6)
    lowered = lower(graph)
    kernel = lowered.program.kernels[0]
    fraction = bias.data - np.rint(bias.data)
    assert np.abs(fraction).min() > 0.01
    base = kernel.constants["offset"] - np.rint(fraction * kernel.constants["multiplier"]).astype(np.int64)
    assert np.ptp(base) <= 2


def test_relu_and_maxpool_in_front_of_the_quantizer_get_its_type():
    held = {"k": np.int8(np.arange(-9, 9).reshape(1, 2, 3, 3)), "ks": np.float32(0.01)}
    nodes = [
        q("x", "q"), dq("q", "r"), ("DequantizeLinear", ["k", "ks"], ["kd"], {}), ("Conv", ["r", "kd"], ["c"], {}),
        ("Relu", ["c"], ["a"], {}), ("MaxPool", ["a"], ["m"], {"kernel_shape": [2, 2]}), q("m", "p"), dq("p", "y"),
    ]  # fmt: skip
    graph, _ = built(nodes, (1, 2, 6, 6), held=held)
    assert [n.op for n in graph.nodes] == ["Conv", "MaxPool"]
    assert graph.nodes[0].attrs.clamp == (0, None)
    assert {zero for _, zero in types(graph).values()} == {128}


def test_a_clip_between_equal_types_is_the_range_of_the_layer():
    graph, _ = built([*weights(), q("h", "p"), dq("p", "g"), ("Relu", ["g"], ["a"], {}), q("a", "t"), dq("t", "y")])
    assert [n.op for n in graph.nodes] == ["Dense"]
    assert lower(graph).program.edges["y"].lo == 128
    graph, _ = built(
        [*weights(), q("h", "p"), dq("p", "g"), ("Relu", ["g"], ["a"], {}), q("a", "t", "2"), dq("t", "y", "2")]
    )
    assert [n.op for n in graph.nodes] == ["Dense", "Clip"], "another type is a rounding of its own"


def test_one_quantizer_for_each_reader_is_one_type():
    nodes = [
        q("x", "q1"), dq("q1", "a1"), q("x", "q2"), dq("q2", "a2"), ("Add", ["a1", "a2"], ["h"], {}), q("h", "p"), dq("p", "y"),
    ]  # fmt: skip
    graph, _ = built(nodes)
    assert [n.op for n in graph.nodes] == ["Add"]
    assert types(graph) == {"x": (False, 128), "y": (False, 128)}


def test_a_quantizer_of_integers_stays():
    graph, ctx = built([q("x", "q"), dq("q", "r"), q("r", "p", "2"), dq("p", "y", "2")])
    assert [n.op for n in graph.nodes] == ["QuantizeLinear"]
    assert ctx.notes["absorb_qdq"]
    program = lower(graph).program
    assert [k.kind for k in program.kernels] == ["requantize"]
    assert (program.edges["x"].signed, program.edges["y"].signed) == (False, True)


def test_a_real_that_others_read_too_keeps_a_type_of_its_own():
    nodes = [*weights(), q("h", "p", "2"), dq("p", "g", "2"), ("Add", ["g", "h"], ["y"], {})]
    graph, ctx = built(nodes)
    assert "QuantizeLinear" in [n.op for n in graph.nodes]
    rest = [line for line in ctx.notes["quantize"] if "--rest" in line]
    assert any("'h'" in line for line in rest)
    assert any("'y'" in line for line in rest)


def test_layers_left_in_float_are_listed_and_get_rest():
    nodes = [*weights(), q("h", "p", "2"), dq("p", "g", "2"), ("Gemm", ["g", "v"], ["y"], {})]
    for rest, bits in (("int8", 8), ("int16", 16)):
        graph, ctx = built(nodes, held={"v": values("v", 2, 4)}, rest=rest)
        assert graph.tensors["y"].qtype.bits == bits
        lines = ctx.notes["quantize"]
        assert any(f"{rest} weights, which the model left in float" in line for line in lines)
        assert any("weights of the model" in line for line in lines)


def test_warns_about_calibration_only_where_something_is_left():
    from hwcomp.driver import quantized_graph
    from tests.models import loaded

    whole = [*weights(), q("h", "p", "2"), dq("p", "y", "2")]
    for nodes, count in ((whole, 0), ([*weights(), ("Relu", ["h"], ["y"], {})], 1)):
        watch = Watch()
        quantized_graph(loaded(model(nodes, {"x": (1, 3)}, TYPES)), CompileOptions(targets=("mcu",)), watch)
        assert len(watch.warnings) == count


def test_requantize_drops_what_the_model_states():
    nodes = [*weights(), q("h", "p", "2"), dq("p", "y", "2")]
    graph, ctx = built(nodes, requantize=True, quant="int16")
    assert {t.qtype.bits for t in graph.tensors.values() if t.qtype and not t.is_constant} == {16}
    assert ctx.notes["strip_qdq"] == ["2 quantizers of the model are dropped"]


@pytest.mark.parametrize(("given", "options", "text"), [
    (True, {"quant": "int8"}, "already quantized"), (True, {"quant": "keep", "requantize": True}, "contradict"),
    (False, {"quant": "keep"}, "for a float model"), (False, {"requantize": True}, "for a float model"),
])  # fmt: skip
def test_options_must_fit_the_model(given, options, text):
    nodes = [*weights(), q("h", "p", "2"), dq("p", "y", "2")] if given else [("Relu", ["x"], ["y"], {})]
    with pytest.raises(UsageError, match=text):
        built(nodes, **options)


def test_requantize_refuses_integers_that_change_their_scale():
    nodes = [q("x", "q"), ("DequantizeLinear", ["q", "s2", "z"], ["r"], {}), ("Relu", ["r"], ["y"], {})]
    assert "Retype" in [n.op for n in built(nodes)[0].nodes]
    with pytest.raises(UnsupportedError, match="requantize"):
        built(nodes, requantize=True)


def test_the_float_run_keeps_the_values_of_the_types():
    """So that calibration and the numeric probe of the passes see what the model computes."""
    from hwcomp.frontend.float_run import run_float
    from tests.models import loaded

    nodes = [("Gemm", ["x", "v"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    net = wrapped(model(nodes, {"x": (1, 3)}, {"v": values("v", 3, 4)}), {"x": (-1, 1)}, Style())
    seen = {}
    graph = loaded(net).graph
    run_float(graph, {"x": values("x", 50, 3)}, seen.__setitem__)
    y = graph.tensors["y_q"].qtype
    np.testing.assert_array_equal(seen["y"], y.held(seen["y"]))
    assert len(np.unique(seen["y"])) > 30


@pytest.mark.parametrize(("scales", "text"), [
    ({"s": np.float32(1e-38), "ws": np.float32([1e-20, 1])}, "the product of two scales"),
    ({"s": np.float32(1e-20), "ws": np.float32([1e-10, 1e-10])}, "a bias is too large"),
    ({"s": np.float32(1e30), "s2": np.float32(1e-38), "bs": np.float32([5e29, 2.5e29])}, "the scales around Dense overflow"),
])  # fmt: skip
def test_absurd_scales_are_refused_by_name(scales, text):
    nodes = [*weights(), q("h", "p", "2"), dq("p", "y", "2")]
    with pytest.raises(ModelError, match=text) as caught:
        lower(built(nodes, held=scales, check=False)[0])
    assert caught.value.node == "Gemm_4"
