"""Bias correction: the mean of every channel is what the float network's is, behind uncorrected and corrected layers."""

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.samples import to_stored
from hwcomp.verify.reference import run_program
from tests.models import model, quantized, values

ON = {"bias_correction": {"enabled": True}}
NETS = {
    "two convolutions": (
        [("Conv", ["x", "w", "k"], ["a"], {"pads": [1, 1, 1, 1]}), ("Relu", ["a"], ["b"], {}), ("Conv", ["b", "v"], ["y"], {})],
        {"w": values("bw", 8, 4, 3, 3), "k": values("bk", 8), "v": values("bv", 6, 8, 3, 3)},
    ),
    "depthwise": (
        [("Conv", ["x", "w", "k"], ["a"], {"group": 4, "strides": [2, 2]}), ("Conv", ["a", "v"], ["y"], {})],
        {"w": values("dw", 4, 1, 3, 3), "k": values("dk", 4), "v": values("dv", 6, 4, 1, 1)},
    ),
    "dense": (
        [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "w", "k"], ["a"], {}), ("Relu", ["a"], ["b"], {}),
         ("Gemm", ["b", "v"], ["y"], {})],
        {"w": values("ew", 144, 9), "k": values("ek", 9), "v": values("ev", 9, 5)},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(3).uniform(0, 1, (64, 4, 6, 6)).astype(np.float32)


def mean_error(proto, x, passes, quant="dfp6"):
    """|mean error| per channel of the output, in the Program itself; and one step of the output."""
    graph, ctx = quantized(proto, quant=quant, calibration={"x": x}, passes=passes)
    program = lower(graph).program
    have = program.edges["y"].to_real(run_program(program, to_stored(program, {"x": x}))["y"]).astype(np.float64)
    error = have - run_float(ctx.float_graph, {"x": x})["y"]
    return np.abs(error.mean(axis=tuple(a for a in range(error.ndim) if a != 1))), float(program.edges["y"].scale)


@pytest.mark.parametrize("name", NETS)
def test_the_mean_error_goes(x, name):
    nodes, constants = NETS[name]
    proto = model(nodes, {"x": (1, 4, 6, 6)}, constants)
    (before, _), (after, step) = mean_error(proto, x, {}), mean_error(proto, x, ON)
    assert after.max() < 0.35 * before.max(), (before, after)
    assert after.max() < 0.5 * step


def test_weights_stay_and_only_biases_move(x):
    nodes, constants = NETS["two convolutions"]
    proto = model(nodes, {"x": (1, 4, 6, 6)}, constants)
    plain, moved = (quantized(proto, calibration={"x": x}, passes=p)[0] for p in ({}, ON))
    for a, b in zip(plain.nodes, moved.nodes, strict=True):
        assert np.array_equal(plain.tensors[a.inputs[1]].data, moved.tensors[b.inputs[1]].data)
        assert not np.array_equal(plain.tensors[a.inputs[2]].data, moved.tensors[b.inputs[2]].data)


def test_nothing_to_correct_changes_nothing(x):
    """Weights and inputs that integers hold exactly."""
    nodes = [("Conv", ["x", "w", "k"], ["y"], {})]
    constants = {"w": np.rint(values("iw", 6, 4, 3, 3) * 8) / 8, "k": np.zeros(6, np.float32)}
    data = np.rint(x * 16) / 16
    proto = model(nodes, {"x": (1, 4, 6, 6)}, constants)
    graphs = [quantized(proto, quant="fixed:Q2.5", calibration={"x": data}, passes=p)[0] for p in ({}, ON)]
    biases = [g.tensors[g.nodes[0].inputs[2]].data for g in graphs]
    assert biases[0].tolist() == biases[1].tolist() == [0] * 6


def test_options_are_checked(x):
    proto = model(NETS["dense"][0], {"x": (1, 4, 6, 6)}, NETS["dense"][1])
    with pytest.raises(UsageError, match=r"bias_correction\.samples=0"):
        quantized(proto, calibration={"x": x}, passes={"bias_correction": {"enabled": True, "samples": 0}})
    with pytest.raises(UsageError, match="bias_correction needs calibration data"):
        quantized(proto, passes=ON)
