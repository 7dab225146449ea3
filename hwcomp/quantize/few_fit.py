"""Few-bit weights of a layer for its output on calibration data, not for each weight: integers and scales together.

With the second moments G of the inputs, the mean squared output error of a channel is (s q - w) G (s q - w)^T. It is lowered
in turn over the integers q and the scale s: nearest-plane rounding with error feedback (Frantar et al., "GPTQ", ICLR 2023),
then cyclic coordinate descent over all levels (Behdin et al., "QuantEase", 2023), each followed by the s of least squares.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwcomp.quantize.few_weights import few, nearest_level

_BLOCK = 64  # coordinates between two updates of the whole gradient
_STARTS = (1.0, 0.75, 1.35)  # scales to start from, in parts of the one that fits the weights themselves


def fitted(
    target: np.ndarray, gram: np.ndarray, kind: str, sweeps: int, kept: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(int64 q [G, M, K], float32 scales [G, M] > 0) of scheme `kind`, near float64 `target` [G, M, K] in the metric
    `gram` float64 [G, K, K], positive definite; never farther than the scheme's plain integers are.
    Zero where bool `kept` [G, M, K] is not, for schemes that have a zero."""
    groups, m, k = target.shape
    plain, scales = (a.reshape(groups, m, *a.shape[1:]) for a in few(target.reshape(-1, k), kind))
    plain, scales = plain.astype(np.float64), scales.astype(np.float64)
    kept = np.ones(target.shape, bool) if kept is None else kept
    plain, level = plain * kept, nearest_level(kind)
    best, size = plain, scales
    loss = distance(best, size, target, gram)
    for part in _STARTS:
        q = _nearest_plane(target / (scales * part)[..., None], gram, level, kept)
        s = _scale(q, scales * part, target, gram)
        best, size, loss = _better((best, size, loss), (q, s, distance(q, s, target, gram)))
    q, s = _descend(best, size, target, gram, level, sweeps, kept)
    best, size, _ = _better((best, size, loss), (q, s, distance(q, s, target, gram)))
    return best.astype(np.int64), size.astype(np.float32)


def _better(old: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """(q, scale, loss) of each channel, from the one with less loss."""
    less = new[2] < old[2]
    return np.where(less[..., None], new[0], old[0]), np.where(less, new[1], old[1]), np.where(less, new[2], old[2])


def distance(q: np.ndarray, s: np.ndarray, target: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """float64 [G, M]: the form above."""
    d = q * s[..., None] - target
    return ((d @ gram) * d).sum(axis=2)


def _scale(q: np.ndarray, old: np.ndarray, target: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """The scale of least squares; `old` where that is not positive."""
    weighted = q @ gram
    power = (weighted * q).sum(axis=2)
    found = (weighted * target).sum(axis=2) / np.where(power > 0, power, 1.0)
    return np.where((power > 0) & (found > 0), found, old)


def _nearest_plane(
    u: np.ndarray, gram: np.ndarray, level: Callable[[np.ndarray], np.ndarray], kept: np.ndarray
) -> np.ndarray:
    """Coordinates with most energy first; each is rounded where the errors of those before it put its optimum."""
    order = np.argsort(gram[:, range(gram.shape[1]), range(gram.shape[1])], axis=1, kind="stable")
    there = np.broadcast_to(order[:, None, :], u.shape)
    gram = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2)
    u, kept = np.take_along_axis(u, there, 2), np.take_along_axis(kept, there, 2)
    upper = np.linalg.cholesky(gram).transpose(0, 2, 1)
    upper = upper / np.diagonal(upper, axis1=1, axis2=2)[:, :, None]
    away, q = np.zeros_like(u), np.empty_like(u)
    for k in range(u.shape[2] - 1, -1, -1):
        q[:, :, k] = level(u[:, :, k] - (away[:, :, k + 1 :] @ upper[:, k, k + 1 :, None])[:, :, 0]) * kept[:, :, k]
        away[:, :, k] = q[:, :, k] - u[:, :, k]
    return np.take_along_axis(q, np.broadcast_to(np.argsort(order, axis=1)[:, None, :], q.shape), 2)


def _descend(q, s, target, gram, level, sweeps, kept) -> tuple[np.ndarray, np.ndarray]:
    """Every coordinate in turn takes its best level, the scale between sweeps, at most `sweeps` times."""
    q, s = q.copy(), _scale(q, s, target, gram)
    energy = np.diagonal(gram, axis1=1, axis2=2)[:, None, :]
    for _ in range(sweeps):
        before = q.copy()
        gradient = (q - target / s[..., None]) @ gram
        for first in range(0, q.shape[2], _BLOCK):
            part = slice(first, first + _BLOCK)
            local, near, old = gradient[:, :, part].copy(), gram[:, part, part], q[:, :, part].copy()
            for k in range(local.shape[2]):
                now = q[:, :, first + k]
                step = level(now - local[:, :, k] / energy[:, :, first + k]) * kept[:, :, first + k] - now
                if step.any():
                    q[:, :, first + k] += step
                    local += step[:, :, None] * near[:, k, None, :]
            gradient += (q[:, :, part] - old) @ gram[:, part]
        s = _scale(q, s, target, gram)
        if (q == before).all():
            break
    return q, s
