"""The order of channels in which vectors of weights take the fewest bits: the determinant of their covariance is least.

The distortion of a vector quantizer at a given rate grows with that determinant (Gersho, "Asymptotically optimal block
quantization", 1979). The search is that of Martinez et al., "Permute, Quantize, and Fine-tune", CVPR 2021: channels of like
variance get the same place in their vectors, which makes the product of the variances small (Hadamard's bound); then pairs
change places wherever that lowers the determinant, from several starts near the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_TRIES = 30  # pairs per channel
_STARTS = 4
_SHAKEN = 0.1  # of the channels change places between two starts
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


Cost = Callable[[np.ndarray], float]  # of the members in a new order: entry i is the member that takes the place of member i


def searched(count: int, size: int, energy: np.ndarray, cost: Cost, rng: np.random.Generator) -> np.ndarray:
    """int64 [count]: the order of members with the least cost found; the given one where none is better.

    `energy` [count]: their variances. `size` of the vectors that most of them lie in.
    """
    start = np.arange(count)
    if count % size == 0:  # places 0, size, 2 size .. hold the least varying ones, and so on
        start = np.argsort(energy, kind="stable").reshape(size, -1).T.ravel()
    best = min((np.arange(count), start), key=cost)
    least = cost(best)
    for turn in range(_STARTS):
        now = best.copy()
        if turn:
            some = rng.choice(count, max(2, int(_SHAKEN * count)), replace=False)
            now[some] = now[rng.permutation(some)]
        now, value = _descended(now, cost, rng)
        if value < least:
            best, least = now, value
    return best


def _descended(order: np.ndarray, cost: Cost, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    value = cost(order)
    for a, b in rng.integers(0, len(order), (_TRIES * len(order), 2)):
        order[[a, b]] = order[[b, a]]
        tried = cost(order)
        if tried < value:
            value = tried
        else:
            order[[a, b]] = order[[b, a]]
    return order, value
