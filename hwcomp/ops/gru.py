"""GRU with its default activations. Source: ONNX operator specification, GRU (versions 7, 14 and 22)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._recurrent import Recurrent
from hwcomp.ops.lstm import sequences, sigmoid
from hwcomp.registry import op


@op("GRU")
class GRU(Recurrent):
    """z, r = sigmoid(W x + R h + b), g = tanh(Wh x + Rh (r*h) + ..), or r * (Rh h + ..) in it; h = (1 - z)*g + z*h."""

    kernels = ("gru",)
    gates = 3
    activations = ("Sigmoid", "Tanh")

    def step(self, x, h, c, w, r, b, attrs):
        n = attrs.hidden
        given, held = x @ w.T + b[0], h @ r[: 2 * n].T + b[1, : 2 * n]
        z, reset = (sigmoid(given[:, part] + held[:, part]) for part in (slice(0, n), slice(n, 2 * n)))
        if attrs.linear_before_reset:
            inner = reset * (h @ r[2 * n :].T + b[1, 2 * n :])
        else:
            inner = (reset * c) @ r[2 * n :].T + b[1, 2 * n :]
        g = np.tanh(given[:, 2 * n :] + inner)
        state = (1 - z) * g + z * c
        return state, state

    def export(self, node, writer):
        return writer.recurrent(node)

    def cases(self):
        yield from sequences("GRU", self.gates)
        yield from sequences("GRU", self.gates, linear_before_reset=1)
