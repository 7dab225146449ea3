"""LSTM and GRU in integers: one multiplier per gate and row, two tables, states in steps of 2^-15.

Source: docs/numerics.md, "LSTM and GRU".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.lower import bounds
from sw_ref.program import Edge, Layout
from sw_ref.recurrent import ARGUMENT, GATE, LIMIT, STEP_BITS

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_ONE = 1 << GATE
_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_DEEPEST = 40  # shift of a pre-activation: 2^-51 is finer than what a float32 model says
_ROOM = 2.0**62
_MOST_STATE = (1 << 31) - 1
_MOST_INNER = 2.0**31


@functools.cache
def table(name: str) -> np.ndarray:
    """int64 [1025]: 2^15 * sigmoid or tanh at -16, -16 + 1/32, .., 16, to the nearest; tanh inside +-(2^15 - 1)."""
    found = []
    for i in range((2 * LIMIT >> STEP_BITS) + 1):
        at = Decimal((i << STEP_BITS) - LIMIT) / (1 << ARGUMENT)
        power = _EXACT.exp(-at if name == "sigmoid" else -2 * at)
        share = _EXACT.divide(Decimal(1), 1 + power)
        value = share if name == "sigmoid" else 2 * share - 1
        found.append(int((value * _ONE).to_integral_value(ROUND_HALF_EVEN)))
    most = _ONE if name == "sigmoid" else _ONE - 1
    return np.clip(np.array(found, np.int64), -most, most)


@dataclass(frozen=True)
class _Record:
    """clamp((a * multiplier + offset) >> shift, lo, hi) for one a."""

    multiplier: int
    offset: int
    shift: int
    lo: int
    hi: int

    def __call__(self, a: int) -> int:
        return min(max((a * self.multiplier + self.offset) >> self.shift, self.lo), self.hi)

    def params(self) -> dict[str, int]:
        return {n: getattr(self, n) for n in ("multiplier", "offset", "shift", "lo", "hi")}


def _record(gain: float, zero_in: int, zero_out: int, ends: tuple[int, int], lo: int, hi: int) -> _Record:
    """gain * (a - zero_in) + zero_out for a in `ends`, rounded, ties up, as finely as int64 allows up to 30 bits."""
    most = max(abs(e - zero_in) for e in ends) + abs(zero_in) + 1
    shift = 46
    while shift > 0 and (gain * 2.0**shift >= 2.0**31 or (gain * most + abs(zero_out) + 1) * 2.0**shift >= _ROOM):
        shift -= 1
    m = min(int(np.rint(gain * 2.0**shift)), (1 << 31) - 1)
    return _Record(m, (zero_out << shift) - zero_in * m + ((1 << shift) >> 1), shift, lo, hi)


def recurrent(ctx: LowerContext, node: Node) -> None:
    """An LSTM or GRU node on integer weights [directions * rows, ...] -> a kernel; inputs as hwcomp.ops._recurrent says."""
    a, y = node.attrs, node.outputs[0]
    x = ctx.in_order(node.inputs[0], node, Layout.row_major(ctx.edges[node.inputs[0]].shape))
    data = {i: ctx.in_order(n, node, Layout.row_major(ctx.edges[n].shape)) for i, n in _computed(ctx, node)}
    hidden = data.get(4)  # the hidden states, where the cell states are asked for
    qy = ctx.qtype(y, node)
    qh = ctx.qtype(hidden.name) if hidden is not None else qy
    span = _ONE if node.op == "GRU" else _ONE * _ONE
    start = 0.0 if node.op == "LSTM" else _largest(ctx, node, 5, data)
    reach = max(span, int(np.ceil(start * _ONE)) + 1)
    out = _record(1 / (span * qh.scale[0]), 0, qh.zero, (-reach, reach), qh.lo, qh.hi)
    h_lo, h_hi = (out(-reach), out(reach)) if hidden is None else (hidden.lo, hidden.hi)
    params, constants = _states(ctx, node, data, qh)
    if node.op == "LSTM":
        h_lo, h_hi = _widened((h_lo, h_hi), params, constants)
    params |= {
        "input": x.size // a.length, "hidden": a.hidden, "steps": a.length, "directions": list(a.directions),
        "shape": list(ctx.sample_shape(y)),
    }  # fmt: skip
    constants |= _gates(ctx, node, x, (h_lo, h_hi), qh, params)
    if hidden is not None:
        most = _largest(ctx, node, 6, data) * _ONE + a.length * _ONE + 1
        out = _record(1 / (_ONE * qy.scale[0]), 0, qy.zero, (-int(most), int(most)), qy.lo, qy.hi)
        h_lo, h_hi = out(-int(most)), out(int(most))
    elif node.op == "LSTM":
        h_lo, h_hi = out(-reach), out(reach)
    params["requantize"] = out.params()
    if node.op == "LSTM":
        params["output"] = "hidden" if hidden is None else "cell"
    else:
        params["linear_before_reset"] = a.linear_before_reset
    ctx.add_edge(y, h_lo, h_hi, Layout.row_major(ctx.sample_shape(y)))
    ctx.add_kernel(node.op.lower(), node, params, constants)


def _computed(ctx: LowerContext, node: Node) -> list[tuple[int, str]]:
    return [(i, n) for i, n in enumerate(node.inputs) if i > 3 and n and not ctx.graph.tensors[n].is_constant]


def _largest(ctx: LowerContext, node: Node, index: int, data: dict[int, Edge]) -> float:
    """Of the magnitudes of a first state."""
    if index in data:
        e = data[index]
        return max(abs(e.lo - e.zero), abs(e.hi - e.zero)) * float(e.scale)
    name = node.inputs[index] if index < len(node.inputs) else ""
    return float(np.abs(ctx.graph.tensors[name].data).max(initial=0.0)) if name else 0.0


def _states(ctx: LowerContext, node: Node, data: dict[int, Edge], qh) -> tuple[dict, dict]:
    """(params, constants) of the first states: records of those that are inputs, integers of the others."""
    a = node.attrs
    params, constants = {"initial": []}, {}
    for name, index in (("h", 5), ("c", 6))[: 2 if node.op == "LSTM" else 1]:
        most = _largest(ctx, node, index, data)
        in_steps = name == "c" or node.op == "GRU"  # of 2^-15; the hidden state of an LSTM is stored as its output is
        if in_steps and (most + a.length) * _ONE >= _MOST_STATE:
            raise UnsupportedError(
                f"{node.op} over {a.length} steps from a state of {most:g} can't be compiled", node=origin_of(node),
                why="its state may leave 32 bits in steps of 2^-15",
            )  # fmt: skip
        if index in data:
            e = data[index]
            if in_steps:
                limit = int(np.ceil(most * _ONE)) + 1
                made = _record(float(e.scale) * _ONE, e.zero, 0, (e.lo, e.hi), -limit, limit)
            else:
                made = _record(float(e.scale) / qh.scale[0], e.zero, qh.zero, (e.lo, e.hi), qh.lo, qh.hi)
            params["initial"].append(name)
            params[f"{name}_requantize"] = made.params()
            continue
        given = node.inputs[index] if index < len(node.inputs) else ""
        real = ctx.graph.tensors[given].data.astype(np.float64) if given else np.zeros(1)
        real = np.broadcast_to(real.ravel() if real.size > 1 else real.reshape(1), len(a.directions) * a.hidden)
        whole = np.rint(real * _ONE) if in_steps else np.clip(np.rint(real / qh.scale[0]) + qh.zero, qh.lo, qh.hi)
        constants[name] = whole.astype(np.int64).reshape(len(a.directions), a.hidden)
    return params, constants


def _widened(ends: tuple[int, int], params: dict, constants: dict) -> tuple[int, int]:
    """The range of the hidden states with the first one."""
    if "h" in constants:
        return min(ends[0], int(constants["h"].min())), max(ends[1], int(constants["h"].max()))
    record = params["h_requantize"]
    return record["lo"], record["hi"]


def _gates(ctx: LowerContext, node: Node, x: Edge, h: tuple[int, int], qh, params: dict) -> dict[str, np.ndarray]:
    """Weights, multipliers and offsets [directions, rows, ...] of the pre-activations, and the tables; sets `shift`."""
    a, gru = node.attrs, node.op == "GRU"
    tensors = [ctx.graph.tensors[n] for n in node.inputs[1:3]]
    weight, back = (t.data.astype(np.int64) for t in tensors)
    gains = [
        s * t.qtype.scales().astype(np.float64) * (1 << ARGUMENT)
        for s, t in zip((float(x.scale), float(np.float32(qh.scale[0]))), tensors, strict=True)
    ]
    rows = len(weight)
    bias = np.zeros((2, rows))
    if node.inputs[3]:
        given = ctx.graph.tensors[node.inputs[3]].data.astype(np.float64)
        bias = given.reshape(len(a.directions), 2, -1).transpose(1, 0, 2).reshape(2, rows)
    bias = bias * (1 << ARGUMENT)
    none = np.zeros(rows, np.int64)
    limits = bounds.of_dot(weight, none, x.lo, x.hi), bounds.of_dot(back, none, *h)
    params["acc_bits"] = bits = max(2, *(b.bits for b in limits))
    if bits > 53:
        raise UnsupportedError(
            f"the accumulators of {node.op} need {bits} bits",
            node=origin_of(node),
            fix="use fewer bits or a smaller layer",
        )
    sums = [np.abs(v).sum(axis=1) * 1.0 for v in (weight, back)]
    most = [max(abs(x.lo), abs(x.hi)) + abs(x.zero), max(abs(h[0]), abs(h[1])) + abs(qh.zero)]
    total = sum(s * m * g for s, m, g in zip(sums, most, gains, strict=True)) + np.abs(bias).sum(axis=0) + 1
    shift = _DEEPEST
    while shift > 1 and (total.max() * 2.0**shift >= _ROOM or max(g.max() for g in gains) * 2.0**shift >= 2.0**31):
        shift -= 1
    if total.max() * 2.0**shift >= _ROOM or total.max() >= _MOST_INNER:
        raise UnsupportedError(
            f"a gate of {node.op} reaches {total.max() / (1 << ARGUMENT):g}", node=origin_of(node),
            why="its sum does not fit 64 bits", fix="check the weights and the range of the input",
        )  # fmt: skip
    params["shift"] = shift
    m, n = (np.rint(np.ldexp(g, shift)).astype(np.int64) for g in gains)
    half = np.int64(1) << (shift - 1)
    own = np.rint(np.ldexp(bias, shift)).astype(np.int64)
    first = own[0] - x.zero * weight.sum(axis=1) * m
    second = own[1] - qh.zero * back.sum(axis=1) * n
    shape = (len(a.directions), -1)
    per = rows // len(a.directions)
    constants = {
        "weight": weight.reshape(*shape, weight.shape[1]).reshape(len(a.directions), per, -1),
        "recurrent": back.reshape(len(a.directions), per, -1), "multiplier": m.reshape(shape),
        "recurrent_multiplier": n.reshape(shape), "sigmoid": table("sigmoid"), "tanh": table("tanh"),
    }  # fmt: skip
    offset = (first + second + half).reshape(shape)
    if gru and a.linear_before_reset:
        last = slice(2 * a.hidden, None)
        offset[:, last] = (first + half).reshape(shape)[:, last]
        constants["recurrent_offset"] = (second + half).reshape(shape)[:, last].copy()
    return constants | {"offset": offset}
