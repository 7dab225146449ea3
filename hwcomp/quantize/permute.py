"""The order of channels in which vectors of weights take the fewest bits: the determinant of their covariance is least.

The distortion of a vector quantizer at a given rate grows with that determinant (Gersho, "Asymptotically optimal block
quantization", 1979). The search is that of Martinez et al., "Permute, Quantize, and Fine-tune", CVPR 2021: channels of like
variance get the same place in their vectors, which makes the product of the variances small (Hadamard's bound); then pairs
change places wherever that lowers the determinant, from several starts near the best. A start of our own beside it: vectors of
channels that are most alike, which pairs that change places don't find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_TRIES, _MOST = 30, 3000  # pairs per channel, and at most
_SHAKES = 2  # more starts
_SHAKEN = 0.1  # of the channels change places for that
_SMALL = 1e-6  # of the mean variance: what no channel is below


@dataclass(frozen=True)
class Layer:
    """`second` [C, C], `first` [C]: mean products and means of channels, over everything but channels; vectors of `size`
    neighbours; `weight`: how many vectors there are."""

    second: np.ndarray
    first: np.ndarray
    size: int
    weight: float

    @classmethod
    def of(cls, channels: np.ndarray, size: int) -> Layer:
        """Of the weights [C, n] that meet each channel."""
        n = channels.shape[1]
        return cls(channels @ channels.T / n, channels.mean(axis=1), size, channels.size / size)

    def cost(self, order: np.ndarray) -> float:
        """`weight` * log det of the covariance of the vectors when place i holds channel order[i]."""
        cut = order.reshape(-1, self.size)
        mean = self.first[cut].mean(axis=0)
        covariance = self.second[cut[:, :, None], cut[:, None, :]].mean(axis=0) - np.outer(mean, mean)
        least = _SMALL * np.trace(self.second) / len(self.second) or 1.0
        return self.weight * float(np.linalg.slogdet(covariance + least * np.eye(self.size))[1])


Cost = Callable[
    [np.ndarray], float
]  # of the members in a new order: entry i is the member that takes the place of member i


def searched(size: int, alike: np.ndarray, cost: Cost, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: the order of members with the least cost found; the given one where none is better.

    `alike` float64 [n, n]: the mean products of their weights. `size` of the vectors that they lie in.
    """
    count = len(alike)
    best = np.arange(count)
    least = cost(best)
    starts = [best]
    if count % size == 0:  # else they don't fill whole vectors
        by_variance = np.argsort(np.diagonal(alike), kind="stable").reshape(size, -1).T.ravel()
        starts += [by_variance, _together(alike, size)]
    for turn in range(len(starts) + _SHAKES):
        now = starts[turn].copy() if turn < len(starts) else _shaken(best, rng)
        now, value = _descended(now, cost, rng)
        if value < least:
            best, least = now, value
    return best


def _together(alike: np.ndarray, size: int) -> np.ndarray:
    """Vectors of a strongest member and those that are most like it."""
    power = np.sqrt(np.maximum(np.diagonal(alike), 0))
    left, order = np.ones(len(alike), bool), []
    like = alike / np.maximum(power, 1e-300)  # by how much of each column's deviation
    while left.any():
        group = [int(np.where(left, power, -1).argmax())]
        left[group] = False
        for _ in range(size - 1):
            group.append(int(np.where(left, like[group].sum(axis=0), -np.inf).argmax()))
            left[group] = False
        order += group
    return np.array(order, np.int64)


def _shaken(order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order = order.copy()
    some = rng.choice(len(order), max(2, int(_SHAKEN * len(order))), replace=False)
    order[some] = order[rng.permutation(some)]
    return order


def _descended(order: np.ndarray, cost: Cost, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    value = cost(order)
    for a, b in rng.integers(0, len(order), (min(_TRIES * len(order), _MOST), 2)):
        order[[a, b]] = order[[b, a]]
        tried = cost(order)
        if tried < value:
            value = tried
        else:
            order[[a, b]] = order[[b, a]]
    return order, value
