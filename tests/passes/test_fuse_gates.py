"""x times a function of x: which products become one operator, and which do not."""

import numpy as np
import pytest

from tests.models import model

X = {"x": (1, 2, 5, 5)}
HARD = ("HardSigmoid", ["x"], ["g"], {"alpha": 0.16666667163372040, "beta": 0.5})
GATES = {
    "HardSwish": [HARD],
    "Swish": [("Sigmoid", ["x"], ["g"], {})],
    "Mish": [("Softplus", ["x"], ["s"], {}), ("Tanh", ["s"], ["g"], {})],
}


@pytest.mark.parametrize("order", [["x", "g"], ["g", "x"]], ids=["x first", "gate first"])
@pytest.mark.parametrize("op", GATES)
def test_one_operator(run, op, order):
    out = run(model([*GATES[op], ("Mul", order, ["y"], {})], X), "fuse_gates")
    assert out.ops == [op]
    assert out.change((-7.0, 7.0)) == 0
    node = out.node(op)
    assert node.inputs == ("x",)
    assert sorted(node.origin) == sorted(o for n in out.before.nodes for o in n.origin)
    assert op in out.notes[0]


def test_the_line_keeps_its_slope(run):
    nodes = [("HardSigmoid", ["x"], ["g"], {"alpha": -0.5, "beta": 0.25}), ("Mul", ["x", "g"], ["y"], {})]
    out = run(model(nodes, X), "fuse_gates")
    assert (out.node("HardSwish").attrs.alpha, out.node("HardSwish").attrs.beta) == (-0.5, 0.25)
    assert out.change((-7.0, 7.0)) == 0


def test_behind_an_activation_the_clip_stays(run):
    nodes = [HARD, ("Mul", ["x", "g"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    out = run(model(nodes, X), "fuse_gates", "fuse_activation")
    assert out.ops == ["HardSwish", "Clip"]
    assert out.change((-7.0, 7.0)) == 0


OTHERS = {
    "another tensor": ([("Sigmoid", ["z"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})], ("y",)),
    "the gate has a reader": ([HARD, ("Mul", ["x", "g"], ["y"], {}), ("Relu", ["g"], ["z2"], {})], ("y", "z2")),
    "the gate is an output": ([HARD, ("Mul", ["x", "g"], ["y"], {})], ("y", "g")),
    "another function": ([("Tanh", ["x"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})], ("y",)),
    "Softplus of another": (
        [("Softplus", ["z"], ["s"], {}), ("Tanh", ["s"], ["g"], {}), ("Mul", ["x", "g"], ["y"], {})], ("y",),
    ),
    "the gate of the gate": ([("Sigmoid", ["x"], ["g"], {}), ("Mul", ["g", "g"], ["y"], {})], ("y",)),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_other_products_stay(run, what):
    nodes, outputs = OTHERS[what]
    shapes = {**X, **({"z": X["x"]} if any("z" in n[1] for n in nodes) else {})}
    out = run(model(nodes, shapes, {}, outputs), "fuse_gates")
    assert out.ops == [n.op for n in out.before.nodes]
    assert out.notes == []


def test_a_clamped_product_stays(run):
    nodes = [HARD, ("Mul", ["x", "g"], ["h"], {}), ("Clip", ["h", "lo"], ["y"], {})]
    out = run(model(nodes, X, {"lo": np.float32(0.5)}), "fuse_activation", "fuse_gates")
    assert out.ops == ["HardSigmoid", "Mul"]
