"""Lowering: every layer of the Program computes what the quantized graph says, and the facts it carries are true."""

import math

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.errors import HwcompError, UnsupportedError
from hwcomp.lower.build import lower
from sw_ref.program import Layout, type_range
from tests.models import model, op_cases, quantized, values
from tests.oracle import worst_steps

CASES = op_cases()


def chosen(program, n=40):
    """Random stored inputs, with samples at both ends of the type and at the zero point."""
    stored = samples.random_stored(program, n)
    for name, q in stored.items():
        edge = program.edges[name]
        q[0], q[1], q[2] = edge.lo, edge.hi, edge.zero
    return stored


@pytest.mark.parametrize("case", [c for _, c in CASES], ids=[i for i, _ in CASES])
def test_every_operator_computes_its_float_semantics(case):
    try:
        graph, _ = quantized(case.model, input_ranges=case.ranges)
        lowered = lower(graph)
    except UnsupportedError as error:
        assert error.node or "output" in str(error)
        return
    for name, steps in worst_steps(lowered.graph, lowered.program, chosen(lowered.program)):
        assert steps < 1e-3, name


def conv_net(**attrs):
    """Conv -> BatchNormalization -> Relu -> MaxPool -> Flatten -> Gemm, inputs off centre, so zero points matter."""
    constants = {
        "w": values("w", 4, 2, 3, 3), "s": values("s", 4) + 2, "b": values("b", 4), "m": values("m", 4),
        "v": np.abs(values("v", 4)) + np.float32(0.5), "k": values("k", 5, 4 * 3 * 3),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1], **attrs}),
        ("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], {}),
        ("Relu", ["n"], ["r"], {}), ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["p"], ["f"], {}), ("Gemm", ["f", "k"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 6, 6)}, constants)


@pytest.mark.parametrize("interval", [(0.0, 1.0), (-1.0, 1.0), (-0.2, 3.0), (-5.0, 0.0), (2.0, 6.0), (0.0, 255.0)])
@pytest.mark.parametrize("bits", [31, 16])
def test_zero_points_and_padding(interval, bits):
    graph, _ = quantized(conv_net(), input_ranges={"x": interval})
    lowered = lower(graph, bits)
    for name, steps in worst_steps(lowered.graph, lowered.program, chosen(lowered.program)):
        assert steps < (1e-3 if bits == 31 else 2e-2), name


@pytest.mark.parametrize("enabled", [True, False])
def test_passes_change_nothing_but_the_kernels(enabled):
    passes = {
        n: {"enabled": enabled}
        for n in ("fuse_bias", "fuse_batchnorm", "fuse_activation", "analyze_ranges", "eliminate_dead")
    }
    graph, _ = quantized(conv_net(), input_ranges={"x": (-1.0, 1.0)}, passes=passes)
    lowered = lower(graph)
    kinds = [k.kind for k in lowered.program.kernels]
    assert kinds == (["conv2d", "maxpool2d", "reshape", "dense"] if enabled else
                     ["conv2d", "requantize", "requantize", "maxpool2d", "reshape", "dense"])  # fmt: skip
    for name, steps in worst_steps(lowered.graph, lowered.program, chosen(lowered.program)):
        assert steps < 1e-3, name


def test_facts_of_every_edge_and_kernel():
    graph, _ = quantized(conv_net(), input_ranges={"x": (-1.0, 1.0)})
    program = lower(graph).program
    for edge in program.edges.values():
        tensor = graph.tensors[edge.name]
        assert edge.shape == tensor.shape[1:]
        assert (edge.bits, edge.signed, edge.zero) == (tensor.qtype.bits, tensor.qtype.signed, tensor.qtype.zero)
        assert float(edge.scale) == tensor.qtype.scale[0]
    for kernel in program.kernels:
        assert kernel.origin
        if "acc_bits" in kernel.params:
            p = kernel.params
            assert (
                type_range(p["acc_bits"], True)[0] <= p["acc_lo"] <= p["acc_hi"] <= type_range(p["acc_bits"], True)[1]
            )
        for array in kernel.constants.values():
            assert array.dtype.kind == "i"
    assert program.edges["p"].layout == Layout.channels_last((4, 3, 3)) == program.edges["f"].layout
    assert program.kernels[0].origin == ("Conv_0", "BatchNormalization_1", "Relu_2")


def test_ranges_of_edges_are_reached_only_inside():
    """`lo`..`hi` of a Relu's output starts at its zero point."""
    graph, _ = quantized(conv_net(), input_ranges={"x": (-1.0, 1.0)})
    program = lower(graph).program
    r = program.edges["p"]
    assert r.lo == r.zero


# --- constant channels ------------------------------------------------------------------------------------------------


def dead_channels(weight, bias):
    return model([("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 2, 4, 4)}, {"w": weight, "b": bias})


def test_a_constant_channel_is_folded_into_its_bias():
    """Weights of 1e-30 and a bias of 0.5, as real networks have: the result is the bias, the weights are dropped."""
    weight, bias = values("dead", 4, 2, 3, 3), np.array([0.1, 0.5, -0.2, 0.0], np.float32)
    weight[1], weight[3] = weight[1] * np.float32(1e-30), 0
    graph, _ = quantized(dead_channels(weight, bias), input_ranges={"x": (0.0, 1.0)})
    lowered = lower(graph)
    kernel, y = lowered.program.kernels[0], lowered.program.edges["y"]
    assert [bool(w.any()) for w in kernel.constants["weight"]] == [True, False, True, False]
    assert lowered.proofs[0].folded == 2
    assert lowered.proofs[0].channels == 4
    from hwcomp.verify.reference import run_program

    got = run_program(lowered.program, chosen(lowered.program))["y"]
    for channel, real in ((1, 0.5), (3, 0.0)):
        assert set(got[:, channel].ravel().tolist()) == {round(real / float(y.scale)) + y.zero}


def test_all_weights_and_biases_zero():
    graph, _ = quantized(dead_channels(np.zeros((3, 2, 3, 3), np.float32), np.zeros(3, np.float32)))
    program = lower(graph).program
    y = program.edges["y"]
    assert (y.lo, y.hi) == (y.zero, y.zero)


def test_a_channel_that_the_clamp_makes_constant_is_folded():
    """Relu of a channel that is always negative."""
    proto = model(
        [("Conv", ["x", "w", "b"], ["h"], {}), ("Relu", ["h"], ["y"], {})], {"x": (1, 2, 4, 4)},
        {"w": values("relu", 2, 2, 3, 3), "b": np.array([0, -100], np.float32)},
    )  # fmt: skip
    graph, _ = quantized(proto)
    lowered = lower(graph)
    assert not lowered.program.kernels[0].constants["weight"][1].any()
    assert lowered.proofs[0].folded == 1
    for name, steps in worst_steps(lowered.graph, lowered.program, chosen(lowered.program)):
        assert steps < 1e-3, name


# --- limits -----------------------------------------------------------------------------------------------------------


def test_small_clip_of_a_large_sum_saturates():
    """A scale ratio of 2^40: every positive sum is the upper bound, every other one zero."""
    proto = model(
        [("Conv", ["x", "w"], ["h"], {}), ("Clip", ["h", "lo", "hi"], ["y"], {})], {"x": (1, 2, 5, 5)},
        {"w": values("tiny", 3, 2, 3, 3), "lo": np.float32(0), "hi": np.float32(1e-14)},
    )  # fmt: skip
    graph, _ = quantized(proto, input_ranges={"x": (-1.0, 1.0)})
    lowered = lower(graph)
    assert all(0 <= int(m) < 1 << 31 for m in lowered.program.kernels[0].constants["multiplier"])
    for name, steps in worst_steps(lowered.graph, lowered.program, chosen(lowered.program)):
        assert steps < 1e-3, name


def test_a_clip_far_below_the_inputs_step_saturates():
    proto = model(
        [("Clip", ["x", "lo", "hi"], ["y"], {})], {"x": (1, 9)}, {"lo": np.float32(0), "hi": np.float32(1e-30)}
    )
    graph, _ = quantized(proto, input_ranges={"x": (-1.0, 1.0)})
    program = lower(graph).program
    from hwcomp.verify.reference import run_program

    stored = chosen(program)
    x, y = program.edges["x"], program.edges["y"]
    want = np.where(stored["x"] > x.zero, y.zero + math.floor(1e-30 / float(y.scale) + 0.5), y.zero)
    assert run_program(program, stored)["y"].tolist() == want.tolist()


def test_an_output_that_is_an_input_is_refused():
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 4)}, outputs=("y", "x"))
    with pytest.raises(HwcompError, match="output 'x'"):
        lower(quantized(proto)[0])


def test_same_graph_same_program():
    hashes = {lower(quantized(conv_net(), input_ranges={"x": (-1.0, 1.0)})[0]).program.sha256() for _ in range(2)}
    assert len(hashes) == 1
