"""LSTM with its default activations. Source: ONNX operator specification, LSTM (versions 7, 14 and 22)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._recurrent import Recurrent
from hwcomp.registry import op


def sigmoid(x: np.ndarray) -> np.ndarray:
    """In the precision of x."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


@op("LSTM")
class LSTM(Recurrent):
    """i, o, f = sigmoid(W x + R h + b), g = tanh(..); c = f*c + i*g; h = o*tanh(c)."""

    kernels = ("lstm",)
    gates = 4
    activations = ("Sigmoid", "Tanh", "Tanh")

    def step(self, x, h, c, w, r, b, attrs):
        i, o, f, g = np.split(x @ w.T + h @ r.T + b.sum(axis=0), 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def export(self, node, writer):
        return writer.recurrent(node)

    def cases(self):
        yield from sequences("LSTM", self.gates)
        last = [
            ("LSTM", ["x", "w", "r", "", "", "h", "c"], ["", "hn", "cn"], {"hidden_size": 3}),
            ("Concat", ["hn", "cn"], ["y"], {"axis": 2}),
        ]
        shapes = {"x": (1, 1, 5), "h": (1, 1, 3), "c": (1, 1, 3)}
        yield case("LSTM one step with its states", last, shapes, weights("LSTM one", 1, 4, 5, 3, bias=False), opset=14)


def weights(label: str, directions: int, gates: int, size: int, hidden: int, *, bias: bool = True):
    """W, R and B of a case."""
    found = {
        "w": random(f"{label} w", directions, gates * hidden, size),
        "r": random(f"{label} r", directions, gates * hidden, hidden),
    }
    return found | ({"b": random(f"{label} b", directions, 2 * gates * hidden, scale=0.5)} if bias else {})


def sequences(kind: str, gates: int, **attrs):
    """The cases that both operators have."""
    there = ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]})
    run = (kind, ["t", "w", "r", "b"], ["s"], {"hidden_size": 4, **attrs})
    back = [("Squeeze", ["s", "one"], ["u"], {}), ("Transpose", ["u"], ["y"], {"perm": [1, 0, 2]})]
    one = {"one": np.array([1])}
    label = f"{kind} {' '.join(attrs)}".strip()
    yield case(label, [there, run, *back], {"x": ("N", 6, 3)}, weights(label, 1, gates, 3, 4) | one, opset=14)
    turned = [there, (kind, ["t", "w", "r"], ["", "l"], {"hidden_size": 5, "direction": "reverse", **attrs})]
    turned.append(("Squeeze", ["l", "zero"], ["y"], {}))
    held = weights(f"{label} back", 1, gates, 2, 5, bias=False) | {"zero": np.array([0])}
    yield case(f"{label} reverse, last state", turned, {"x": (1, 4, 2)}, held, opset=13)
    both = (kind, ["t", "w", "r", "b", "", "h"], ["s", "l"], {"hidden_size": 3, "direction": "bidirectional", **attrs})
    joined = [
        ("Transpose", ["s"], ["u"], {"perm": [2, 0, 1, 3]}), ("Reshape", ["u", "shape"], ["v"], {}),
        ("Transpose", ["l"], ["m"], {"perm": [1, 0, 2]}), ("Flatten", ["m"], ["n"], {}),
        ("Gemm", ["v", "g"], ["y"], {}),
    ]  # fmt: skip
    held = weights(f"{label} both", 2, gates, 4, 3) | {"h": random(f"{label} h", 2, 1, 3), "shape": np.array([-1, 30])}
    held["g"] = random(f"{label} g", 30, 3)
    nodes = [there, both, *(j for j in joined if j[1][0] not in ("l", "m"))]
    yield case(f"{label} bidirectional", nodes, {"x": (1, 5, 4)}, held, opset=22)
    batch = (kind, ["x", "w", "r", "b"], ["y"], {"hidden_size": 2, "layout": 1, **attrs})
    yield case(f"{label} batch first", [batch], {"x": ("N", 3, 4)}, weights(f"{label} first", 1, gates, 4, 2), opset=14)
