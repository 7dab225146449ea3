"""L0: LSTM and GRU against the text of docs/program.md in Python's integers, their tables against the real functions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.lower.recurrent import table
from sw_ref import numerics as nm
from sw_ref import recurrent
from sw_ref.interp import run
from tests.program_factory import samples
from tests.random_programs import sequence_program


def test_shift_up_sends_ties_up():
    assert nm.shift_up([-3, -2, -1, 0, 1, 2, 3, 6], 1).tolist() == [-1, -1, 0, 0, 1, 1, 2, 3]


@given(st.lists(st.integers(-40000, 40000), min_size=3, max_size=5), st.integers(1, 8), st.data())
def test_interpolate_is_the_straight_line(entries, bits, data):
    x = data.draw(st.integers(0, ((len(entries) - 1) << bits) - 1))
    n, part = divmod(x, 1 << bits)
    exact = (entries[n] << bits) + (entries[n + 1] - entries[n]) * part
    assert int(nm.interpolate(x, entries, bits)) == math.floor(exact / 2**bits + 0.5)


@pytest.mark.parametrize(("name", "function", "bound"), [
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 1.4), ("tanh", np.tanh, 4.1),
])  # fmt: skip
def test_every_argument_of_the_tables(name, function, bound):
    a = np.arange(-(1 << 15), 1 << 15)
    got = recurrent.activation(a, table(name))
    away = np.abs(got - function(a / 2.0**11) * 2.0**15).max()
    assert bound - 0.6 < away <= bound
    assert (np.diff(got) >= 0).all()
    assert (
        recurrent.activation(a * 40, table(name)) == got[np.clip(a * 40, -(1 << 15), (1 << 15) - 1) + (1 << 15)]
    ).all()


def by_hand(kernel, x, states):
    """One sample, as docs/program.md says it; x [steps][input], `states` lists in the order of the inputs."""
    p, c = kernel.params, {n: v.tolist() for n, v in kernel.constants.items()}
    hidden, given_states = p["hidden"], list(states)
    ready = given_states.pop(0) if p.get("output") == "cell" else None
    firsts = {n: given_states.pop(0) for n in p["initial"]}

    def single(rq, a):
        return min(max((a * rq["multiplier"] + rq["offset"]) >> rq["shift"], rq["lo"]), rq["hi"])

    def curve(at, name):
        inside = min(max(at, -(1 << 15)), (1 << 15) - 1) + (1 << 15)
        n, t = inside >> 6, c[name]
        return t[n] + (((t[n + 1] - t[n]) * (inside % 64) + 32) >> 6)

    def half(v, s=15):
        return (v + (1 << (s - 1))) >> s

    def first(name, d):
        if name in firsts:
            return [single(p[f"{name}_requantize"], v) for v in firsts[name][d]]
        return list(c[name][d])

    out = [[[0] * hidden for _ in p["directions"]] for _ in range(p["steps"])]
    cells = []
    for d, way in enumerate(p["directions"]):

        def terms(r, t, h, d=d):
            return (
                c["multiplier"][d][r] * sum(w * v for w, v in zip(c["weight"][d][r], x[t], strict=True)),
                c["recurrent_multiplier"][d][r] * sum(w * v for w, v in zip(c["recurrent"][d][r], h, strict=True)),
            )

        def gate(r, t, h, name, d=d):
            return curve((sum(terms(r, t, h)) + c["offset"][d][r]) >> p["shift"], name)

        h = first("h", d)
        if kernel.kind == "gru":
            state, h = h, [single(p["requantize"], v) for v in h]
        else:
            cell = first("c", d)
        for t in range(p["steps"]) if way == "forward" else reversed(range(p["steps"])):
            if kernel.kind == "lstm":
                i, o, f, g = (
                    [gate(n * hidden + j, t, h, "tanh" if n == 3 else "sigmoid") for j in range(hidden)]
                    for n in range(4)
                )
                cell = [half(f[j] * cell[j] + i[j] * g[j]) for j in range(hidden)]
                made = [single(p["requantize"], o[j] * curve(half(cell[j], 4), "tanh")) for j in range(hidden)]
                h = made if ready is None else ready[t][d]
            else:
                z, r = ([gate(n * hidden + j, t, h, "sigmoid") for j in range(hidden)] for n in range(2))
                reset = [single(p["requantize"], half(r[j] * state[j])) for j in range(hidden)]
                g = []
                for j in range(hidden):
                    row = 2 * hidden + j
                    if p["linear_before_reset"]:
                        of_x, of_h = terms(row, t, h)
                        inner = (of_h + c["recurrent_offset"][d][j]) >> p["shift"]
                        g.append(curve(((of_x + c["offset"][d][row]) >> p["shift"]) + half(r[j] * inner), "tanh"))
                    else:
                        g.append(gate(row, t, reset, "tanh"))
                state = [half(((1 << 15) - z[j]) * g[j] + z[j] * state[j]) for j in range(hidden)]
                h = [single(p["requantize"], v) for v in state]
            out[t][d] = h
        if ready is not None:
            cells.append([single(p["requantize"], v) for v in cell])
    return out if ready is None else cells


@pytest.mark.parametrize("seed", range(40))
def test_kernels_equal_the_text(seed):
    program = sequence_program(seed)
    seen = {}
    run(program, samples(program, 3, seed), seen.__setitem__)
    for kernel in program.kernels:
        if kernel.kind not in ("lstm", "gru"):
            continue
        p, (x, *rest) = kernel.params, (seen[n] for n in kernel.inputs)
        shape = [(p["steps"], len(p["directions"]), p["hidden"])] if p.get("output") == "cell" else []
        shape += [(len(p["directions"]), p["hidden"])] * len(p["initial"])
        for n in range(len(x)):
            states = [s[n].reshape(size).tolist() for s, size in zip(rest, shape, strict=True)]
            want = by_hand(kernel, x[n].reshape(p["steps"], -1).tolist(), states)
            assert seen[kernel.outputs[0]][n].reshape(np.shape(want)).tolist() == want


def test_the_sequences_have_both_kinds_in_every_form():
    kernels = [k for seed in range(40) for k in sequence_program(seed).kernels if k.kind in ("lstm", "gru")]
    forms = {(k.kind, k.params.get("output"), k.params.get("linear_before_reset")) for k in kernels}
    assert forms == {("lstm", "hidden", None), ("lstm", "cell", None), ("gru", None, True), ("gru", None, False)}
    assert {len(k.params["initial"]) for k in kernels} == {0, 1, 2}
    assert {tuple(k.params["directions"]) for k in kernels} == {("forward",), ("reverse",), ("forward", "reverse")}
