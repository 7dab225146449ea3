"""Rounding weights up or down so that a layer's output, not each weight, is as close as possible.

For one output channel the mean squared output error is a quadratic form in its weights' rounding errors (Nagel et al.,
"Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020). That paper relaxes the choice and descends by
gradients; here it is searched directly: nearest-plane rounding with error feedback (Babai 1986; Frantar et al., "GPTQ",
ICLR 2023, does the same for weights), then cyclic coordinate descent over single flips until none helps.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 64  # coordinates between two updates of the whole gradient
_DAMPING = 0.01  # of the mean of the diagonal: holds what the data say nothing about near the float weight


def damped(gram: np.ndarray) -> np.ndarray:
    """float64 [G, K, K] with a multiple of the identity added that makes it positive definite."""
    mean = np.trace(gram, axis1=1, axis2=2) / gram.shape[1]
    return gram + (_DAMPING * np.where(mean > 0, mean, 1.0))[:, None, None] * np.eye(gram.shape[1])


def round_adaptively(
    u: np.ndarray, gram: np.ndarray, moment: np.ndarray, limit: int, sweeps: int
) -> np.ndarray:  # fmt: skip
    """int64 [G, M, K]: floor or ceil of `u` (weights in steps), within +-limit, with little error
    (q-u) gram (q-u)^T - 2 (q-u) moment^T per channel; never more than rounding to nearest has.

    gram float64 [G, K, K], positive definite; moment float64 [G, M, K]: what the inputs' own errors ask for.
    """
    low = np.clip(np.floor(u), -limit, limit)
    high = np.clip(np.ceil(u), -limit, limit)
    best = np.clip(np.rint(u), low, high)
    loss = error(best, u, gram, moment)
    for start in (best.copy(), _nearest_plane(u, gram, moment, low, high)):
        found = _descend(start, u, gram, moment, low, high, sweeps)
        now = error(found, u, gram, moment)
        better = now < loss
        best, loss = np.where(better[..., None], found, best), np.where(better, now, loss)
    return best.astype(np.int64)


def error(q: np.ndarray, u: np.ndarray, gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """float64 [G, M]: the form above."""
    d = q - u
    return ((d @ gram - 2 * moment) * d).sum(axis=2)


def _nearest_plane(u, gram, moment, low, high) -> np.ndarray:
    """Coordinates with most energy first; each is rounded where the errors of those before it put its optimum."""
    order = np.argsort(gram[:, range(gram.shape[1]), range(gram.shape[1])], axis=1, kind="stable")
    there = order[:, None, :]
    gram = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), there, 2)
    u, moment, low, high = (np.take_along_axis(a, np.broadcast_to(there, a.shape), 2) for a in (u, moment, low, high))
    upper = np.linalg.cholesky(gram).transpose(0, 2, 1)
    free = u + np.linalg.solve(gram, moment.transpose(0, 2, 1)).transpose(0, 2, 1)  # optimum of real weights
    upper = upper / np.diagonal(upper, axis1=1, axis2=2)[:, :, None]
    away = np.zeros_like(u)
    q = np.empty_like(u)
    for k in range(u.shape[2] - 1, -1, -1):
        aim = free[:, :, k] - (away[:, :, k + 1 :] @ upper[:, k, k + 1 :, None])[:, :, 0]
        q[:, :, k] = np.clip(np.rint(aim), low[:, :, k], high[:, :, k])
        away[:, :, k] = q[:, :, k] - free[:, :, k]
    back = np.argsort(order, axis=1)[:, None, :]
    return np.take_along_axis(q, np.broadcast_to(back, q.shape), 2)


def _descend(q, u, gram, moment, low, high, sweeps) -> np.ndarray:
    """Flip single weights while that lowers the error; at most `sweeps` times over all of them."""
    gradient = (q - u) @ gram - moment
    energy = np.diagonal(gram, axis1=1, axis2=2)
    for _ in range(sweeps):
        flips = 0
        for first in range(0, u.shape[2], _BLOCK):
            part = slice(first, first + _BLOCK)
            local, before = gradient[:, :, part].copy(), q[:, :, part].copy()
            near = gram[:, part, part]
            for k in range(local.shape[2]):
                at = first + k
                step = low[:, :, at] + high[:, :, at] - 2 * q[:, :, at]  # +-1 to the other choice, 0 without one
                gain = 2 * step * local[:, :, k] + step * step * energy[:, None, at]
                step = np.where(gain < -1e-12 * energy[:, None, at], step, 0.0)
                if step.any():
                    flips += 1
                    q[:, :, at] += step
                    local += step[:, :, None] * near[:, k, None, :]
            gradient += (q[:, :, part] - before) @ gram[:, part]
        if not flips:
            break
    return q
