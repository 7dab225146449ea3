"""Monotone functions of single elements, in a row: what stands between two dot products of a network of few bits.

A step works on float32 arrays along one channel axis. Conv and Dense carry the steps behind them (`attrs.steps`), the
operator Steps carries those that have no dot product in front; lowering bisects the whole row into integer thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwcomp.types import QType

BIPOLAR = QType(1, True, "bipolar", (1.0,))  # what Sign gives

# Source: qonnx.custom_op.general.quant, resolve_rounding_mode.
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}


@dataclass(frozen=True)
class BatchNorm:
    """(x - mean) * scale / sqrt(var + epsilon) + bias; its constants are scale, bias, mean, var [channels]."""

    epsilon: float
    constants = 4

    def apply(self, x, scale, bias, mean, var):
        return (x - mean) * (scale / np.sqrt(var + np.float32(self.epsilon))) + bias

    def affine(self, scale, bias, mean, var) -> tuple[np.ndarray, np.ndarray]:
        """float64 (gain, shift)."""
        scale, bias, mean, var = (v.astype(np.float64) for v in (scale, bias, mean, var))
        gain = scale / np.sqrt(var + self.epsilon)
        return gain, bias - mean * gain


@dataclass(frozen=True)
class Sum:
    """x + c; its constant is c [channels]."""

    constants = 1

    def apply(self, x, c):
        return x + c

    def affine(self, c) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(len(c)), c.astype(np.float64)


@dataclass(frozen=True)
class Ratio:
    """x / c; its constant is c [channels]."""

    constants = 1

    def apply(self, x, c):
        return x / c

    def affine(self, c) -> tuple[np.ndarray, np.ndarray]:
        return 1 / c.astype(np.float64), np.zeros(len(c))


@dataclass(frozen=True)
class Limit:
    """clip(x, lo, hi); None: no limit on that side."""

    lo: float | None
    hi: float | None
    constants = 0

    def apply(self, x):
        return x if self.lo is None and self.hi is None else np.clip(x, self.lo, self.hi)


@dataclass(frozen=True)
class Grid:
    """x counts as n = round(x / scale + zero), in parts of 2^shift: QONNX's Trunc rounds twice."""

    scale: float
    zero: int
    shift: int


@dataclass(frozen=True)
class Quantizer:
    """The real value of the nearest integer: (round(clip(x / scale + zero)) - zero) * scale, QONNX's order of operations.

    `qtype` has one scale. bipolar: +scale where x >= 0, else -scale. `grid`: n / 2^shift stands for x / scale + zero.
    """

    qtype: QType
    rounding: str = "ROUND"
    grid: Grid | None = None
    constants = 0

    def integers(self, x: np.ndarray) -> np.ndarray:
        """Stored integers, in the float type of x."""
        q, grid = self.qtype, self.grid
        if grid is not None:
            scaled = np.rint(x / np.float32(grid.scale) + np.float32(grid.zero)) / np.float32(2.0**grid.shift)
        else:
            scaled = x / np.float32(q.scale[0]) + np.float32(q.zero)
        if q.scheme == "bipolar":
            return np.where(scaled >= 0, np.float32(1), np.float32(-1))
        return ROUNDINGS[self.rounding](np.clip(scaled, *map(np.float32, q.limits)))

    def apply(self, x):
        return (self.integers(x) - np.float32(self.qtype.zero)) * np.float32(self.qtype.scale[0])


@dataclass(frozen=True)
class Ladder(Quantizer):
    """The real value of least + #{i : x >= T_i}, in `count` thresholds; its constants are T_0.. T_(count - 1) [channels],
    rising. Steps of a bipolar type are 2.
    """

    count: int = 1
    least: int = 0

    @property
    def constants(self) -> int:
        return self.count

    def integers(self, x: np.ndarray, *thresholds: np.ndarray) -> np.ndarray:
        met = sum((x >= t).astype(x.dtype) for t in thresholds)
        return met * x.dtype.type(2 if self.qtype.scheme == "bipolar" else 1) + x.dtype.type(self.least)

    def apply(self, x, *thresholds):
        return self.integers(x, *thresholds) * np.float32(self.qtype.scale[0])


Step = BatchNorm | Sum | Ratio | Limit | Quantizer


def run(steps: Sequence[Step], x: np.ndarray, constants: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """All steps on float32 x, whose channels are on `axis`; `constants` are those of all steps, in order."""
    shape = [1] * x.ndim
    shape[axis] = -1
    for step, given in _with_constants(steps, constants):
        x = step.apply(x, *(c.reshape(shape) for c in given))
    return x


def affine(steps: Sequence[Step], constants: Sequence[np.ndarray], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 (gain, shift) [channels] of the steps that are affine: all in front of the first Limit or Quantizer."""
    gain, shift = np.ones(channels), np.zeros(channels)
    for step, given in _with_constants(steps, constants):
        if isinstance(step, Limit | Quantizer):
            break
        g, s = step.affine(*given)
        gain, shift = gain * g, shift * g + s
    return gain, shift


def falling(steps: Sequence[Step], constants: Sequence[np.ndarray], channels: int) -> np.ndarray:
    """bool [channels]: whether the function falls. Limits and quantizers never turn it."""
    sign = np.ones(channels)
    for step, given in _with_constants(steps, constants):
        if isinstance(step, BatchNorm | Sum | Ratio):
            sign = sign * np.where(step.affine(*given)[0] < 0, -1, 1)
    return sign < 0


def _with_constants(steps: Sequence[Step], constants: Sequence[np.ndarray]):
    at = 0
    for step in steps:
        yield step, constants[at : at + step.constants]
        at += step.constants


def quantizer(steps: Sequence[Step]) -> Quantizer | None:
    """The last step, where it is one that gives integers."""
    return steps[-1] if steps and isinstance(steps[-1], Quantizer) else None


def interval(steps: Sequence[Step], constants: Sequence[np.ndarray], x: tuple[float, float]) -> tuple[float, float]:
    """Provable real range behind the steps."""
    if (last := quantizer(steps)) is not None:
        q = last.qtype
        lo, hi = ((v - q.zero) * float(q.scale[0]) for v in q.limits)
        return lo, hi
    low, high = (np.full(max((len(c) for c in constants), default=1), end) for end in x)
    for step, given in _with_constants(steps, constants):
        if isinstance(step, Limit):
            low, high = (np.clip(v, step.lo, step.hi) if (step.lo, step.hi) != (None, None) else v for v in (low, high))
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            gain, shift = step.affine(*given)
            ends = np.where(gain == 0, 0.0, gain * low) + shift, np.where(gain == 0, 0.0, gain * high) + shift
        slack = 2.0**-20 * (np.abs(ends[0]) + np.abs(ends[1]) + np.abs(shift))
        slack = np.where(np.isfinite(slack), slack, 0.0)
        low, high = np.minimum(*ends) - slack, np.maximum(*ends) + slack
    return float(low.min()), float(high.max())
