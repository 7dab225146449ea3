"""L4 of recurrent layers, step by step: what is right passes within a bound that is not wide, what is wrong is found."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp.export.qdq import export
from hwcomp.lower.build import lower
from hwcomp.registry import OPS
from hwcomp.samples import random_stored
from hwcomp.verify import _cells, teacher
from hwcomp.verify.engine import Built
from sw_ref.program import Program
from tests.models import model, quantized, values

T, C, H = 7, 5, 6
KINDS = {"lstm": ("LSTM", 4, {}), "gru": ("GRU", 3, {}), "linear": ("GRU", 3, {"linear_before_reset": 1})}


def net(kind, states=(), outputs=("y",), direction="bidirectional"):
    op, gates, attrs = KINDS[kind]
    d = 2 if direction == "bidirectional" else 1
    held = {
        "w": values("w", d, gates * H, C, scale=2.0), "r": values("r", d, gates * H, H, scale=1.5),
        "b": values("b", d, 2 * gates * H),
    }  # fmt: skip
    node = (op, ["x", "w", "r", "b", "", *states], list(outputs), {"hidden_size": H, "direction": direction, **attrs})
    return model(
        [node], {"x": (T, 1, C), **dict.fromkeys(states, (d, 1, H))}, held, [o for o in outputs if o], opset=14
    )


def compiled(proto, folder, quant="int8"):
    graph, _ = quantized(proto, input_ranges={"x": (-2.0, 2.0)}, quant=quant)
    lowered = lower(graph)
    (folder / teacher.MODEL).write_bytes(export(lowered.graph, lowered.program, "net"))
    return Built(folder, {"options": {}}, lowered.program)


def checked(product, program=None):
    """The checks of the recurrent layers of `program`, against the model of `product`."""
    product = product if program is None else replace(product, program=program)
    report = teacher.teacher_forced(product, random_stored(product.program, 60))
    return [c for c in report.layers if c.kind in teacher.STEPWISE]


@pytest.mark.parametrize("quant", ["int8", "int16"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_within_its_bound(kind, quant, tmp_path):
    states = ("h", "c") if kind == "lstm" else ("h",)
    outputs = ("y", "", "d") if kind == "lstm" else ("y",)
    checks = checked(compiled(net(kind, states, outputs), tmp_path, quant))
    assert {c.tensor for c in checks} == {o for o in outputs if o}
    assert all(c.passed and c.unexplained == 0 for c in checks), checks
    assert all(c.outputs == 60 * (T if c.tensor == "y" else 1) * 2 * H for c in checks)
    assert max(c.share for c in checks) > 0.1  # the bound is no more than ten times what happens


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_one_direction(direction, tmp_path):
    assert all(c.passed for c in checked(compiled(net("lstm", direction=direction), tmp_path)))


def changed(program, name, change) -> Program:
    """The Program with another constant in its first recurrent kernel."""
    kernels = list(program.kernels)
    at = next(i for i, k in enumerate(kernels) if k.kind in teacher.STEPWISE)
    constant = change(kernels[at].constants[name].astype(np.int64).copy())
    kernels[at] = replace(kernels[at], constants={**kernels[at].constants, name: constant})
    return replace(program, kernels=tuple(kernels))


def one(where, by):
    def change(a):
        a[where] += by(a[where])
        return a

    return change


WRONG = {
    "weight": ("weight", one((1, 2, 3), lambda w: -2 * w + 5)),
    "recurrent weight": ("recurrent", one((0, 7, 1), lambda w: -2 * w + 5)),
    "multiplier": ("multiplier", one((0, 4), lambda m: m // 20)),
    "offset": ("offset", one((1, 3), lambda c: c // 4 + 1)),
    "tanh": ("tanh", one(slice(500, 530), lambda t: t // 16 + 64)),
    "sigmoid": ("sigmoid", one(slice(505, 520), lambda t: 256)),
    "directions": ("weight", lambda w: w[::-1].copy()),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("kind", ["lstm", "linear"])
def test_a_wrong_program_is_found(kind, what, tmp_path):
    product = compiled(net(kind), tmp_path)
    checks = checked(product, changed(product.program, *WRONG[what]))
    assert not any(c.passed for c in checks)
    assert all(c.unexplained and c.first.exact is not None for c in checks)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_wrong_rounding_of_the_output_is_found(kind, tmp_path):
    product = compiled(net(kind), tmp_path)
    (kernel,) = (k for k in product.program.kernels if k.kind in teacher.STEPWISE)
    record = kernel.params["requantize"]
    record = {**record, "offset": record["offset"] - (1 << record["shift"]) // 2}  # down, not to the nearest
    wrong = replace(kernel, params={**kernel.params, "requantize": record})
    kernels = tuple(wrong if k is kernel else k for k in product.program.kernels)
    assert not any(c.passed for c in checked(product, replace(product.program, kernels=kernels)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_value_is_that_of_the_operator(kind):
    """Behind its own hidden states, without any rounding, the cell is what the operator evaluates."""
    op, _, attrs = KINDS[kind]
    (node,) = (n for n in quantized(net(kind, ("h",)), input_ranges={"x": (-2.0, 2.0)})[0].nodes if n.op == op)
    rng = np.random.default_rng(1)
    d, rows = 2, KINDS[kind][1] * H
    x, h = rng.normal(size=(4, T, C)), rng.normal(size=(4, d, H))
    w, r, b = (rng.normal(size=s) for s in ((d, rows, C), (d, rows, H), (d, 2, rows)))
    (want,) = OPS[op].evaluate(node, [x, w, r, b, None, h, *([None] if op == "LSTM" else [])])
    want = want.reshape(4, T, d, H)
    layer = _cells.Layer(op.lower(), node.attrs.directions, w, r, b, bool(attrs))
    y, _ = layer.behind(x, want, h, np.zeros_like(h))
    assert np.abs(y.value - want).max() < 1e-12
    assert 0 < y.error.max() < 1e-2
