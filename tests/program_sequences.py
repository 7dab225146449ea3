"""Kernels of sequences for the Builder of random Programs: LSTM, GRU, products of two matrices, normalized rows."""

from __future__ import annotations

import math

from hwcomp.lower.recurrent import table
from sw_ref.program import Layout

ARGUMENT = 1 << 15  # the largest pre-activation


class Sequences:
    def recurrent(
        self, kind="lstm", hidden=5, directions=("forward",), output="hidden", bits=8, signed=True, weight_bits=8,
        states=(), linear=False, name=None,
    ):  # fmt: skip
        """`last` [steps, input] -> hidden states, or with `output` "cell" (`last` is then the pair (x, hidden states)).

        `states`: edges of the first states, "h" then "c".
        """
        rng, gates, d = self.rng, {"lstm": 4, "gru": 3}[kind], len(directions)
        inputs = [self.last] if output == "hidden" else list(self.last)
        x = self.edges[inputs[0]]
        steps, size = x.shape[0], math.prod(x.shape[1:])
        shape = (steps, d, hidden) if output == "hidden" else (d, hidden)
        out = self.edge(shape, bits, signed, layout=Layout.row_major(shape), name=name)
        h = out if output == "hidden" else self.edges[inputs[1]]
        top = (1 << (weight_bits - 1)) - 1
        weight = rng.integers(-top, top + 1, (d, gates * hidden, size))
        back = rng.integers(-top, top + 1, (d, gates * hidden, hidden))
        reach = [top * n * max(abs(e.lo), abs(e.hi), 1) for n, e in ((size, x), (hidden, h))]
        shift = 24
        m, n = (rng.integers(1, max(2, (ARGUMENT << shift) // r), (d, gates * hidden)) for r in reach)
        offset = rng.integers(-(ARGUMENT << shift), ARGUMENT << shift, (d, gates * hidden))
        span = 1 << (30 if kind == "lstm" and output == "hidden" else 17 if output == "cell" else 15)
        params = {
            "input": size, "hidden": hidden, "steps": steps, "directions": list(directions), "shape": list(shape),
            "acc_bits": max(reach).bit_length() + 1, "shift": shift, "initial": ["h", "c"][: len(states)],
            "requantize": self.single(span, out.lo, out.hi),
        }  # fmt: skip
        constants = {
            "weight": weight, "recurrent": back, "multiplier": m, "recurrent_multiplier": n, "offset": offset,
            "sigmoid": table("sigmoid"), "tanh": table("tanh"),
        }  # fmt: skip
        limit = 1 << 16
        for state, edge in zip("hc", states, strict=False):
            e, inside = self.edges[edge], kind == "lstm" and state == "h"
            ends = (h.lo, h.hi) if inside else (-limit, limit)
            params[f"{state}_requantize"] = self.single(max(abs(e.lo), abs(e.hi), 1), *ends)
        if "h" not in params["initial"]:
            ends = (h.lo, h.hi) if kind == "lstm" else (-limit, limit)
            constants["h"] = rng.integers(*ends, (d, hidden), endpoint=True)
        if kind == "gru":
            params["linear_before_reset"] = linear
            if linear:
                constants["recurrent_offset"] = rng.integers(-(ARGUMENT << shift), ARGUMENT << shift, (d, hidden))
        else:
            params["output"] = output
            if "c" not in params["initial"]:
                constants["c"] = rng.integers(-limit, limit, (d, hidden), endpoint=True)
        return self.add(kind, out, params, constants, (*inputs, *states))

    def single(self, reach: int, lo: int, hi: int) -> dict[str, int]:
        """A record of single numbers that spreads +-reach over lo..hi, both ends cut now and then."""
        m = int(self.rng.integers(1 << 12, 1 << 16))
        shift = max(0, m.bit_length() + reach.bit_length() - max(hi - lo, 1).bit_length())
        offset = int((lo + hi + 1) // 2) << shift
        return {"multiplier": m, "offset": offset + ((1 << shift) >> 1), "shift": shift, "lo": lo, "hi": hi}

    def matmul(self, other, bits=8, signed=True, form=None, mb=20, name=None, **how):
        """`last` [..., M, K] times `other` [..., K, N]."""
        a, b = self.x, self.edges[other]
        shape = (*a.shape[:-1], b.shape[-1])
        out = self.edge(shape, bits, signed, layout=Layout.row_major(shape), name=name, **how)
        zeros = [int(self.rng.integers(e.lo, e.hi + 1)) for e in (a, b)]
        ends = [(p - zeros[0]) * (q - zeros[1]) * a.shape[-1] for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
        acc_lo, acc_hi = min(0, *ends), max(0, *ends)
        record, constants = self.record(acc_lo, acc_hi, out, 1, form, mb)
        acc_bits = max(acc_hi.bit_length(), (~acc_lo).bit_length(), 1) + 1
        params = {"zeros": zeros, "acc_bits": acc_bits, "acc_lo": acc_lo, "acc_hi": acc_hi, "requantize": record}
        return self.add("matmul", out, params, constants, (a.name, b.name))

    def layernorm(self, size=None, fraction=20, epsilon=7, unit=22, per_place=True, bits=8, signed=True, name=None):
        """Rows of `size` elements, or of the last axis."""
        x = self.x
        size = size or x.shape[-1]
        out = self.edge(x.shape, bits, signed, layout=x.layout, name=name)
        record, constants = self.record(-(1 << unit), 1 << unit, out, size if per_place else 1, "affine", 20, True)
        params = {"size": size, "bits": unit, "fraction": fraction, "epsilon": epsilon, "requantize": record}
        return self.add("layernorm", out, params, constants)


def random_sequence(b, draw, acts):
    """A network over a sequence: one to four of these kernels behind each other -> Builder."""
    rng = b.rng
    steps, size = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    b.input((steps, size), **small(acts), layout=Layout.row_major((steps, size)))
    for _ in range(int(rng.integers(1, 5))):
        kind = draw("lstm", "gru", "matmul", "layernorm", "softmax")
        x = b.x
        if kind in ("lstm", "gru"):
            way = draw(("forward",), ("reverse",), ("forward", "reverse"))
            hidden, d = int(rng.integers(1, 8)), len(way)
            states = []
            if rng.random() < 0.4:
                for _ in range(2 if kind == "lstm" else 1):
                    b.input((d, hidden), **small(acts), layout=Layout.row_major((d, hidden)))
                    states.append(b.last)
                b.at(x.name)
            how = {"hidden": hidden, "directions": way, "states": states, "weight_bits": draw(8, 8, 12)}
            b.recurrent(kind, **how, **small(acts), linear=bool(rng.random() < 0.5))
            if kind == "lstm" and rng.random() < 0.3:
                y = b.last
                b.last = (x.name, y)
                b.recurrent(kind, **how, **small(acts), output="cell")
                b.at(y)
            b.reshape((steps, d * hidden))
        elif kind == "matmul":
            n = int(rng.integers(1, 6))
            shape = (x.shape[1], n)
            b.input(shape, **small(acts), layout=draw(Layout.row_major(shape), Layout(shape, (1, 0))))
            other = b.last
            b.at(x.name).matmul(other, **small(acts), mb=draw(8, 16, 24))
        elif kind == "layernorm":
            whole = rng.random() < 0.3 and x.size > 1
            b.layernorm(x.size if whole else None, per_place=bool(rng.random() < 0.7), **small(acts))
        else:
            b.softmax((1,), scale=float(2.0 ** rng.integers(4, 8) / (x.hi - x.lo + 1)))
    ends = [n for n in b.edges if not any(n in k.inputs for k in b.kernels)]
    return b.program(ends)


def small(acts) -> dict:
    """A type of at most 16 bits."""
    how = acts()
    return {**how, "bits": min(how["bits"], 16)}
