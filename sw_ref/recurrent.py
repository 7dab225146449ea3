"""LSTM and GRU: kernels with a state. Normative, as numerics.py is; docs/program.md says what the constants are.

Pre-activations are integers in steps of 2**-11 inside [-16, 16), gates, candidates and states in steps of 2**-15.
"""

from __future__ import annotations

import numpy as np

from sw_ref import numerics as nm
from sw_ref.program import Kernel

ARGUMENT, GATE = 11, 15  # fraction bits of what goes into a table, and of what comes out and of the states
LIMIT = 1 << 15  # a pre-activation lies in [-LIMIT, LIMIT)
STEP_BITS = 6  # of an argument between two entries of a table: 1,025 entries


def activation(a, table):
    """Sigmoid or tanh of clamped pre-activations, from its table."""
    return nm.interpolate(np.clip(a, -LIMIT, LIMIT - 1) + LIMIT, table, STEP_BITS)


def _state(kernel: Kernel, name: str, given: np.ndarray | None, samples: int):
    """A state in front of the first step, [samples, directions, hidden]: of an input, by its record, or a constant."""
    if given is None:
        return np.repeat(kernel.constants[name].astype(np.int64)[None], samples, axis=0)
    rq = kernel.params[f"{name}_requantize"]
    q = given.reshape(samples, *kernel.constants["weight"].shape[:1], -1)
    return nm.requantize_affine(q, rq["multiplier"], rq["offset"], rq["shift"], rq["lo"], rq["hi"])


class _Cell:
    """One direction: dot products with its rows of the constants, as pre-activations."""

    def __init__(self, kernel: Kernel, direction: int):
        self.params = kernel.params
        self.c = {n: v[direction].astype(np.int64) for n, v in kernel.constants.items() if v.ndim > 1}
        self.tables = kernel.constants["sigmoid"], kernel.constants["tanh"]

    def of_input(self, x):
        """Terms of the input for all steps: [samples, steps, rows]."""
        return nm.exact_matmul(x, self.c["weight"], self.params["acc_bits"]) * self.c["multiplier"]

    def of_hidden(self, h, rows: slice):
        """Terms of the hidden state: [samples, rows]."""
        acc = nm.exact_matmul(h, self.c["recurrent"][rows], self.params["acc_bits"])
        return acc * self.c["recurrent_multiplier"][rows]

    def gate(self, total, rows: slice, table: int):
        """total + offset, shifted and looked up."""
        return activation((total + self.c["offset"][rows]) >> self.params["shift"], self.tables[table])


def _requantized(kernel: Kernel, value):
    rq = kernel.params["requantize"]
    return nm.requantize_affine(value, rq["multiplier"], rq["offset"], rq["shift"], rq["lo"], rq["hi"])


def _order(params: dict, direction: int) -> range:
    steps = params["steps"]
    return range(steps - 1, -1, -1) if params["directions"][direction] == "reverse" else range(steps)


def lstm(kernel: Kernel, x: np.ndarray, *states: np.ndarray) -> np.ndarray:
    """x [N, steps, input] -> hidden states [N, steps, directions, hidden], both with axes of 1 anywhere.

    `output` "cell": reads the hidden states too (its second input) and gives the last cell states [N, directions, hidden].
    """
    p, samples, hidden = kernel.params, len(x), kernel.params["hidden"]
    given = list(states)
    ready = given.pop(0).reshape(samples, p["steps"], -1, hidden) if p["output"] == "cell" else None
    firsts = {
        name: _state(kernel, name, given.pop(0) if name in p["initial"] else None, samples) for name in ("h", "c")
    }
    x = x.reshape(samples, p["steps"], -1)
    parts = [slice(i * hidden, (i + 1) * hidden) for i in range(4)]
    y = np.empty((samples, p["steps"], len(p["directions"]), hidden), np.int64)
    cells = np.empty((samples, len(p["directions"]), hidden), np.int64)
    for d in range(len(p["directions"])):
        cell = _Cell(kernel, d)
        terms, h, c = cell.of_input(x), firsts["h"][:, d], firsts["c"][:, d]
        for t in _order(p, d):
            total = terms[:, t] + cell.of_hidden(h, slice(None))
            i, o, f, g = (cell.gate(total[:, r], r, n) for r, n in zip(parts, (0, 0, 0, 1), strict=True))
            c = nm.shift_up(f * c + i * g, GATE)
            squashed = activation(nm.shift_up(c, GATE - ARGUMENT), cell.tables[1])
            h = _requantized(kernel, o * squashed) if ready is None else ready[:, t, d].astype(np.int64)
            y[:, t, d] = h
        cells[:, d] = c
    return (y if ready is None else _requantized(kernel, cells)).reshape(samples, *p["shape"])


def gru(kernel: Kernel, x: np.ndarray, *states: np.ndarray) -> np.ndarray:
    """x [N, steps, input] -> hidden states [N, steps, directions, hidden], both with axes of 1 anywhere."""
    p, samples, hidden = kernel.params, len(x), kernel.params["hidden"]
    first = _state(kernel, "h", states[0] if p["initial"] else None, samples)
    x = x.reshape(samples, p["steps"], -1)
    rows_z, rows_r, rows_h = (slice(i * hidden, (i + 1) * hidden) for i in range(3))
    y = np.empty((samples, p["steps"], len(p["directions"]), hidden), np.int64)
    for d in range(len(p["directions"])):
        cell = _Cell(kernel, d)
        terms, state = cell.of_input(x), first[:, d]
        h = _requantized(kernel, state)
        for t in _order(p, d):
            z, r = (cell.gate(terms[:, t, rows] + cell.of_hidden(h, rows), rows, 0) for rows in (rows_z, rows_r))
            if p["linear_before_reset"]:
                inner = (cell.of_hidden(h, rows_h) + cell.c["recurrent_offset"]) >> p["shift"]
                outer = (terms[:, t, rows_h] + cell.c["offset"][rows_h]) >> p["shift"]
                g = activation(outer + nm.shift_up(r * inner, GATE), cell.tables[1])
            else:
                reset = _requantized(kernel, nm.shift_up(r * state, GATE))
                g = cell.gate(terms[:, t, rows_h] + cell.of_hidden(reset, rows_h), rows_h, 1)
            state = nm.shift_up(((1 << GATE) - z) * g + z * state, GATE)
            h = _requantized(kernel, state)
            y[:, t, d] = h
    return y.reshape(samples, *p["shape"])
