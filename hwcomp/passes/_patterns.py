"""Which weights of a dot product go: units of some weights each, and the ones that are worth least."""

from __future__ import annotations

import re

import numpy as np

from hwcomp.errors import UsageError, shown

AMOUNTS = ("weight", "vector", "kernel", "block")


def sizes(text: str, sign: str, what: str) -> tuple[int, int]:
    """Two positive numbers with a sign between them."""
    found = re.fullmatch(rf"([1-9]\d{{0,3}}){sign}([1-9]\d{{0,3}})", text)
    if not found:
        raise UsageError(f"'{shown(text)}' is not {what}", fix=f"give two numbers, as in 2{sign}4")
    return int(found[1]), int(found[2])


def units(kind: str, shape: tuple[int, ...], block: tuple[int, int]) -> np.ndarray | None:
    """int64 [G, rows, taps, channels]: the number of the unit that each weight belongs to, from 0 on; None where weights of
    `shape` [G, rows, kernel rows, kernel columns, channels] have no such units.
    """
    groups, rows, high, wide, channels = shape
    g, m, y, x, c = np.indices(shape, sparse=True)
    if kind in ("vector", "kernel") and high * wide == 1:
        return None
    if kind == "weight":
        key = (((g * rows + m) * high + y) * wide + x) * channels + c
    elif kind == "vector":
        key = ((g * rows + m) * high + y) * channels + c + 0 * x
    elif kind == "kernel":
        key = (g * rows + m) * channels + c + 0 * (y + x)
    else:
        down, across = -(-rows // block[0]), -(-channels // block[1])
        key = (((g * down + m // block[0]) * high + y) * wide + x) * across + c // block[1]
    return np.broadcast_to(key, shape).reshape(groups, rows, high * wide, channels)


def worth(score: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """float64 [units]: the mean score of the weights of each."""
    flat = unit.ravel()
    return np.bincount(flat, score.ravel()) / np.bincount(flat)


def n_of_m(score: np.ndarray, n: int, m: int, shared: int) -> np.ndarray:
    """bool [G, rows, taps, channels]: of every `m` channels the `n` that are worth most, the same for `shared` rows."""
    groups, rows, taps, channels = score.shape
    down = -(-rows // shared)
    padded = np.zeros((groups, down * shared, taps, channels))
    padded[:, :rows] = score
    together = padded.reshape(groups, down, shared, taps, channels // m, m).sum(axis=2)
    rank = np.argsort(np.argsort(-together, axis=-1, kind="stable"), axis=-1, kind="stable")
    kept = (rank < n).reshape(groups, down, 1, taps, channels)
    return np.repeat(kept, shared, axis=2).reshape(padded.shape)[:, :rows]


def refitted(target: np.ndarray, gram: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """float64 [G, M, K]: of all weights that are zero where `kept` is not, those with the least (w - target) gram (w - target)^T.

    target, kept [G, M, K]; gram float64 [G, K, K], positive definite. Rows with the same pattern are solved together.
    """
    made = np.zeros_like(target)
    for group, (rows, second) in enumerate(zip(kept, gram, strict=True)):
        wanted = target[group] @ second
        patterns, index = np.unique(rows, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            at, of = np.flatnonzero(pattern), np.flatnonzero(index.ravel() == number)
            if len(at):
                made[group][np.ix_(of, at)] = np.linalg.solve(second[np.ix_(at, at)], wanted[np.ix_(of, at)].T).T
    return made
