"""Interval arithmetic on reals: float64, rounded outwards, infinite ends allowed (0 times infinity is 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwcomp.graph import Graph
    from hwcomp.ops.base import Interval
    from hwcomp.types import Node

EVERYTHING: Interval = (-np.inf, np.inf)


def of_input(node: Node, index: int, given: list[Interval | None], graph: Graph) -> Interval:
    """Interval of input `index`: of its data where it is constant, else the given one, else everything."""
    name = node.inputs[index]
    tensor = graph.tensors.get(name)
    if tensor is not None and tensor.is_constant:
        return float(tensor.data.min()), float(tensor.data.max())
    return given[index] if index < len(given) and given[index] is not None else EVERYTHING


def scaled(factor: np.ndarray, end: float) -> np.ndarray:
    """factor * end, where 0 * inf is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(factor == 0, 0.0, np.asarray(factor, np.float64) * end)


def outward(lo, hi, slack) -> Interval:
    """(min lo - slack, max hi + slack), one float64 further; `slack` bounds the rounding error made so far."""
    with np.errstate(invalid="ignore", over="ignore"):
        least, most = np.min(lo - slack), np.max(hi + slack)
    least = -np.inf if np.isnan(least) else least
    most = np.inf if np.isnan(most) else most
    return float(np.nextafter(least, -np.inf)), float(np.nextafter(most, np.inf))


def linear(weight: np.ndarray, bias: np.ndarray | None, x: Interval) -> Interval:
    """Hull over the rows of weight [M, K] of {w . x + b}: every element of x varies in the interval by itself."""
    positive = np.maximum(weight, 0).sum(1, dtype=np.float64)
    negative = np.minimum(weight, 0).sum(1, dtype=np.float64)
    b = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    low = scaled(positive, x[0]) + scaled(negative, x[1]) + b
    high = scaled(positive, x[1]) + scaled(negative, x[0]) + b
    largest = max(abs(x[0]), abs(x[1]))
    # A sum of K products in float64 is off by at most about K * 2^-53 of the sum of magnitudes.
    slack = (scaled(positive - negative, largest) + np.abs(b)) * (weight.shape[1] + 4) * 2.0**-52
    return outward(low, high, np.where(np.isfinite(slack), slack, 0.0))


def clamped(x: Interval, clamp: tuple[float | None, float | None] | None) -> Interval:
    """Interval of clip(x, lo, hi); an end that is None does not clip."""
    lo, hi = clamp or (None, None)
    ends = [e if lo is None else max(e, lo) for e in x]
    low, high = (e if hi is None else min(e, hi) for e in ends)
    return low, high
