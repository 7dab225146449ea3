"""L4 of tables and products: a wrong entry, factor or zero point is caught; the functions that judge are right themselves."""

from dataclasses import replace

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.export.qdq import export
from hwcomp.lower.build import lower
from hwcomp.ops.erf import erf
from hwcomp.registry import OPS
from hwcomp.verify import _functions, teacher
from hwcomp.verify.engine import Built
from sw_ref.program import Program
from tests.models import model, quantized
from tests.nets import net
from tests.products import stress

NODES = [
    ("Sigmoid", ["x"], ["g"], {}), ("GlobalAveragePool", ["g"], ["m"], {}), ("Mul", ["x", "m"], ["h"], {}),
    ("Tanh", ["h"], ["y"], {}),
]  # fmt: skip


@pytest.fixture
def product(tmp_path):
    graph, _ = quantized(model(NODES, {"x": (1, 3, 5, 5)}), input_ranges={"x": (-2.0, 3.0)})
    program = lower(graph).program
    (tmp_path / teacher.MODEL).write_bytes(export(graph, program, "net"))
    return Built(tmp_path, {}, program)


def check(product):
    return teacher.teacher_forced(product, samples.random_stored(product.program, 100))


def entry(kernel):
    table = kernel.constants["table"].copy()
    table[kernel.params["first"] + 300] += 1
    return replace(kernel, constants={"table": table})


WRONG = {
    "entry": ("lut", entry),
    "multiplier": (
        "mul", lambda k: replace(k, constants={**k.constants, "multiplier": k.constants["multiplier"] * 201 // 200})
    ),
    "zero": ("mul", lambda k: replace(k, params={**k.params, "zeros": [z + 1 for z in k.params["zeros"]]})),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_kernel_is_caught(product, what):
    assert check(product).passed
    kind, change = WRONG[what]
    kernels = list(product.program.kernels)
    index = next(i for i, k in enumerate(kernels) if k.kind == kind)
    kernels[index] = change(kernels[index])
    old = product.program
    report = check(replace(product, program=Program(old.inputs, old.outputs, old.edges, tuple(kernels))))
    bad = [c for c in report.layers if not c.passed]
    assert {c.tensor for c in bad} == {kernels[index].outputs[0]}
    assert all(c.first.exact is not None for c in bad)


ATTRS = {"alpha": 0.75, "beta": 0.25, "gamma": 1.5}


@pytest.mark.parametrize("name", _functions.NAMES)
def test_two_implementations_agree(name):
    """The one by the math library, which judges, and the one by NumPy, which makes the tables."""
    op = OPS[name]
    f, _ = _functions.function(name, ATTRS)
    x = np.linspace(-9, 9, 3001)
    x = x[(x > op.domain[0]) & (np.abs(x) > 1e-3)]
    read = type("Node", (), {"attr": type("Attr", (), {"real": staticmethod(lambda n, default=0.0: ATTRS[n])})})
    want = op.function(x, op.read(read))
    np.testing.assert_allclose([f(float(v)) for v in x], want, rtol=1e-12, atol=1e-15)


def test_the_error_function():
    import math

    x = np.concatenate([np.linspace(-7, 7, 4001), [1e-300, -1e-12, 40.0, -np.inf]])
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=2e-15, atol=0)
    assert erf(np.float32([0.5])).dtype == np.float32


@pytest.mark.parametrize(("name", "x", "most"), [("Log", 0.0, -600), ("Exp", 1e4, 1e299), ("Reciprocal", 0.0, 1e299)])
def test_poles_are_very_large(name, x, most):
    f, _ = _functions.function(name, {})
    assert f(x) / most >= 1
    assert np.isfinite(f(x))


@pytest.mark.parametrize("seed", range(300, 324))
def test_random_networks(seed, tmp_path):
    c = net(seed)
    graph, _ = quantized(
        c.proto, input_ranges=dict.fromkeys(c.inputs, c.interval), passes={"calibrate": {"samples": 8}}
    )
    lowered = lower(graph)
    (tmp_path / teacher.MODEL).write_bytes(export(lowered.graph, lowered.program, "net"))
    report = teacher.teacher_forced(Built(tmp_path, {}, lowered.program), stress(lowered.program))
    assert report.passed, [c for c in report.layers if not c.passed]
