"""Weights of a layer from one codebook, fitted to the layer's output and to the bits that their codes take.

The mean squared output error, sum (w - t) G (w - t)^T with the second moments G of the inputs, plus `rate` times the entropy of
the codes, is lowered in turn over the codes (cyclic coordinate descent over all levels, Behdin et al., "QuantEase", 2023), the
levels (least squares) and the lengths of the codes: entropy-constrained quantization (Chou, Lookabaugh and Gray, 1989) in the
metric of the output. Zero is always a level: what the rate makes zero is pruned, and the other weights take over what it did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.quantize.obs import descend

_ROUNDS = 10
_REFITS = 6  # rounds after which the levels are fitted
_RISING = 3  # rounds in which the rate rises to what it is
_SWEEPS = 3
_LONGEST = 20.0  # bits of a code that no weight has
_MOST = 127  # largest integer
_FITTED = 32  # levels at most that are fitted; more are as close as integers


@dataclass(frozen=True)
class Shared:
    """`weights` = `integers` int64 [G, M, K] * `scale`, a float32; `bits` of the codes, as their entropy says."""

    integers: np.ndarray
    scale: float
    bits: float

    @property
    def weights(self) -> np.ndarray:
        return self.integers * self.scale


def linear_levels(target: np.ndarray, count: int) -> np.ndarray:
    """float64 [count], ascending, spread evenly over the weights (Han et al., "Deep Compression", ICLR 2016); the nearest to 0
    is 0."""
    levels = np.linspace(target.min(), target.max(), count)
    levels[np.abs(levels).argmin()] = 0.0
    return levels


def shared(
    target: np.ndarray, gram: np.ndarray, count: int, rate: float = 0.0, start: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> Shared:  # fmt: skip
    """Codes into at most `count` levels for float64 `target` [G, M, K] in the metric `gram` [G, K, K], positive definite.

    `rate`: what a bit may cost in units of the error. `start`: weights to start from. `keep` (bool [G, M, K]): the others are
    zero.
    """
    keep = np.ones(target.shape, bool) if keep is None else keep
    w = target if start is None else start
    levels, length = linear_levels(w, count), np.zeros(count)
    rounds = _ROUNDS if count <= _FITTED or rate else 1
    for turn in range(rounds):
        w = _choose(w, target, gram, levels, rate * min(1.0, turn / _RISING) * length, keep)
        codes = _codes(w, levels)
        length = lengths(codes, count)
        if turn < _REFITS and count <= _FITTED:
            levels = _fitted(codes, levels, target, gram)
            w = levels[codes]
    unit = np.abs(levels).max() / _MOST or 1.0
    integers = np.rint(levels / unit)
    w = _choose(integers[codes] * unit, target, gram, integers * unit, rate * length, keep)
    codes = _codes(w, integers * unit)
    return Shared(integers[codes].astype(np.int64), float(np.float32(unit)), _entropy(integers[codes]))


def lengths(codes: np.ndarray, count: int) -> np.ndarray:
    """float64 [count]: bits of each code in an ideal entropy code."""
    part = np.bincount(codes.ravel(), minlength=count) / codes.size
    return np.minimum(-np.log2(np.maximum(part, 2.0**-60)), _LONGEST)


def _entropy(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / values.size)).sum())


def _choose(w, target, gram, levels, cost, keep) -> np.ndarray:
    """`w` on the levels: each weight on the one with the least error and cost."""
    order = np.argsort(levels, kind="stable")
    levels, cost = levels[order], cost[order]
    middle = (levels[1:] + levels[:-1]) / 2

    def nearest(v: np.ndarray, curvature: np.ndarray, k: int) -> np.ndarray:
        if not cost.any():
            return np.where(keep[:, :, k], levels[np.searchsorted(middle, v)], 0.0)
        price = curvature[..., None] * (v[..., None] - levels) ** 2 + cost
        return np.where(keep[:, :, k], levels[price.argmin(axis=2)], 0.0)

    return descend(w, target, gram, nearest, _SWEEPS)


def _codes(w: np.ndarray, levels: np.ndarray) -> np.ndarray:
    order = np.argsort(levels, kind="stable")
    return order[np.searchsorted((levels[order][1:] + levels[order][:-1]) / 2, w)]


def _fitted(codes, levels, target, gram) -> np.ndarray:
    """The levels of least squares for these codes; 0 stays, and what no weight has."""
    count = len(levels)
    matrix = np.zeros((count, count))
    for i in np.flatnonzero(levels):  # zeros weigh nothing
        weighted = (codes == i) @ gram
        matrix[i] = np.bincount(codes.ravel(), weights=weighted.ravel(), minlength=count)
    wanted = np.bincount(codes.ravel(), weights=(target @ gram).ravel(), minlength=count)
    free = np.diagonal(matrix) > 0
    found = levels.copy()
    ridge = 1e-9 * np.trace(matrix) / count * np.eye(count)
    found[free] = np.linalg.solve((matrix + ridge)[np.ix_(free, free)], wanted[free])
    return found
