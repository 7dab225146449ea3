"""The exact value of LSTM and GRU layers behind given hidden states, in float64, and how far a computation may be from it.

What the Program may be wrong by is what docs/numerics.md says of its tables, sums and states ("LSTM and GRU"); for a float
computation it is float noise. Both add up over the steps in the states that are not given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_UNIT = 2.0**-15  # of gates and states


@dataclass(frozen=True)
class Noise:
    """What one step adds: to an argument of a function, to a sum as a share of its terms, to a sigmoid, to a tanh, and to
    a product of these or a state.
    """

    argument: float
    share: float
    sigmoid: float
    tanh: float
    product: float


PROGRAM = Noise(2.0**-12, 2.0**-22, 1.4 * _UNIT, 4.1 * _UNIT, _UNIT / 2)
# Functions of onnxruntime are rational approximations, wrong by a few units of float32.
FLOAT = Noise(0.0, 2.0**-20, 2.0**-20, 2.0**-20, 2.0**-22)


@dataclass(frozen=True)
class Bounded:
    """Reals, and what is computed instead of them is at most `error` (of the same shape, or one number) away."""

    value: np.ndarray
    error: np.ndarray | float = 0.0

    def __add__(self, other: Bounded) -> Bounded:
        return Bounded(self.value + other.value, self.error + other.error)

    def __mul__(self, other: Bounded) -> Bounded:
        crossed = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        return Bounded(self.value * other.value, crossed)

    def off(self, by: np.ndarray | float) -> Bounded:
        return Bounded(self.value, self.error + by)

    def rest(self) -> Bounded:
        return Bounded(1 - self.value, self.error)

    def dot(self, rows: np.ndarray, share: float) -> Bounded:
        """[samples, n] with [rows, n]."""
        reach = np.abs(self.value) @ np.abs(rows).T
        error = np.broadcast_to(self.error, self.value.shape) @ np.abs(rows).T
        return Bounded(self.value @ rows.T, error + share * reach)

    def sigmoid(self, noise: Noise) -> Bounded:
        """The slope at the value, and half of the largest second derivative, bound what an error becomes."""
        y = 0.5 * np.tanh(0.5 * self.value) + 0.5
        return Bounded(y, y * (1 - y) * self.error + 0.05 * np.square(self.error) + noise.sigmoid)

    def tanh(self, noise: Noise) -> Bounded:
        y = np.tanh(self.value)
        return Bounded(y, (1 - y * y) * self.error + 0.385 * np.square(self.error) + noise.tanh)


@dataclass(frozen=True)
class Stored:
    """The integers that hold a real."""

    scale: float
    zero: int
    lo: int
    hi: int

    def __call__(self, x: Bounded) -> Bounded:
        """Rounded, ties up: wrong by whole steps, where x may lie on the other side of a tie."""
        at, doubt = (
            x.value / self.scale + self.zero + 0.5,
            x.error / self.scale + 2.0**-20 * np.abs(x.value / self.scale),
        )
        q, least, most = (np.clip(np.floor(v), self.lo, self.hi) for v in (at, at - doubt, at + doubt))
        return Bounded((q - self.zero) * self.scale, np.maximum(most - q, q - least) * self.scale)


@dataclass(frozen=True)
class Layer:
    """`kind` "lstm" or "gru"; `w`, `r` [directions, rows, ...], `b` [directions, 2, rows], in the order of ONNX's gates.

    `stored`: the Program computes it, with hidden states of that type; None: a float operator does, step by step.
    """

    kind: str
    directions: tuple[str, ...]
    w: np.ndarray
    r: np.ndarray
    b: np.ndarray
    linear: bool = False
    stored: Stored | None = None

    def behind(self, x: np.ndarray, hidden: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[Bounded, Bounded]:
        """Hidden states [samples, steps, directions, hidden] and last states [samples, directions, hidden].

        x [samples, steps, input]; `hidden`: what a step leaves for the products of the next; h, c: the first states. A
        GRU of the Program carries its own state beside that, a float operator has no other.
        """
        noise = PROGRAM if self.stored else FLOAT
        y, last = np.empty((2, *hidden.shape)), np.empty((2, *h.shape))
        cell = self._lstm if self.kind == "lstm" else self._gru
        for d, direction in enumerate(self.directions):
            first = Bounded(h[:, d].astype(np.float64), noise.product * (self.kind == "gru"))
            seen = self.stored(first) if self.stored else first
            state = first if self.kind == "gru" else Bounded(c[:, d].astype(np.float64), noise.product)
            for t in range(x.shape[1]) if direction == "forward" else range(x.shape[1])[::-1]:
                found, state = cell(Bounded(x[:, t]), seen, state, d, noise)
                y[:, :, t, d] = found.value, np.broadcast_to(found.error, found.value.shape)
                seen = Bounded(hidden[:, t, d])
                state = seen if self.kind == "gru" and not self.stored else state
            last[:, :, d] = state.value, np.broadcast_to(state.error, state.value.shape)
        return Bounded(*y), Bounded(*last)

    def _parts(self, d: int) -> Callable[[int], slice]:
        n = self.r.shape[2]
        return lambda i: slice(i * n, (i + 1) * n)

    def _lstm(self, x: Bounded, seen: Bounded, c: Bounded, d: int, noise: Noise) -> tuple[Bounded, Bounded]:
        total = x.dot(self.w[d], noise.share) + seen.dot(self.r[d], noise.share) + Bounded(self.b[d].sum(axis=0))
        total, part = total.off(noise.argument), self._parts(d)
        i, o, f, g = (Bounded(total.value[:, part(k)], total.error[:, part(k)]) for k in range(4))
        i, o, f, g = i.sigmoid(noise), o.sigmoid(noise), f.sigmoid(noise), g.tanh(noise)
        c = f * c + i * g
        c = c.off(noise.product + noise.share * np.abs(c.value))
        return o * c.off(noise.argument).tanh(noise), c

    def _gru(self, x: Bounded, seen: Bounded, s: Bounded, d: int, noise: Noise) -> tuple[Bounded, Bounded]:
        part, (own, back) = self._parts(d), self.b[d]

        def given(k: int) -> Bounded:
            return x.dot(self.w[d, part(k)], noise.share) + Bounded(own[part(k)])

        def held(k: int, h: Bounded) -> Bounded:
            return h.dot(self.r[d, part(k)], noise.share) + Bounded(back[part(k)])

        z, reset = ((given(k) + held(k, seen)).off(noise.argument).sigmoid(noise) for k in (0, 1))
        if self.linear:
            inner = reset * held(2, seen).off(noise.argument)
            g = given(2).off(noise.argument) + inner.off(noise.argument)
        else:
            kept = (reset * s).off(noise.product)
            g = (given(2) + held(2, self.stored(kept) if self.stored else kept)).off(noise.argument)
        s = z.rest() * g.tanh(noise) + z * s
        s = s.off(noise.product + noise.share * np.abs(s.value))
        return s, s
