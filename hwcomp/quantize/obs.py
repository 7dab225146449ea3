"""Pruning of single weights for the layer's output: what goes is chosen by its saliency, what stays takes over its part.

The saliency of a weight w_k is w_k^2 / [G^-1]_kk with the second moments G of the inputs: the least error of the output when it
becomes zero and all others answer (Hassibi and Stork, "Optimal Brain Surgeon", NIPS 1992; Frantar and Alistarh, "Optimal Brain
Compression", NeurIPS 2022). Weights go in stages; after each the others are fitted again by coordinate descent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_BLOCK = 32  # coordinates between two updates of the whole gradient
_STAGES = 6
_SWEEPS = 4
_LAST = 20  # sweeps when all have gone that go
_STILL = 1e-3  # of the weights: fewer that moved in a sweep end the descent

Choice = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def descend(w: np.ndarray, target: np.ndarray, gram: np.ndarray, choose: Choice, sweeps: int) -> np.ndarray:
    """float64 [G, M, K]: each coordinate of `w` in turn takes what `choose` makes of its optimum, at most `sweeps` times.

    What is lowered is (w - target) gram (w - target)^T, gram float64 [G, K, K]. choose(optimum [G, M], curvature [G, 1], k).
    """
    w = w.copy()
    energy = np.diagonal(gram, axis1=1, axis2=2)[:, None, :]
    for _ in range(sweeps):
        moved, gradient = 0, (w - target) @ gram
        for first in range(0, w.shape[2], _BLOCK):
            part = slice(first, first + _BLOCK)
            local, near, old = gradient[:, :, part].copy(), gram[:, part, part], w[:, :, part].copy()
            for k in range(local.shape[2]):
                now, curvature = w[:, :, first + k], energy[:, :, first + k]
                new = choose(now - local[:, :, k] / curvature, curvature, first + k)
                step = new - now
                rows = np.nonzero(step)
                if len(rows[0]):
                    moved += len(rows[0])
                    w[:, :, first + k] = new
                    local[rows] += step[rows][:, None] * near[rows[0], k]
            gradient += (w[:, :, part] - old) @ gram[:, part]
        if moved < _STILL * w.size:
            break
    return w


def pruned(target: np.ndarray, gram: np.ndarray, fraction: float, keep: np.ndarray | None = None) -> np.ndarray:
    """float64 [G, M, K] near `target` in the metric `gram`, positive definite, with `fraction` of the weights zero.

    `keep` (bool, of the same shape): the others are zero already, and stay so; they count.
    """
    keep = np.ones(target.shape, bool) if keep is None else keep
    inverse = np.diagonal(np.linalg.inv(gram), axis1=1, axis2=2)[:, None, :]
    w = fitted_where(target * keep, target, gram, keep)
    for stage in range(1, _STAGES + 1):
        part = fraction * (
            1 - (1 - stage / _STAGES) ** 3
        )  # cubic schedule: Zhu and Gupta, "To prune, or not to prune", 2017
        gone = round(part * w.size)
        if gone <= np.count_nonzero(~keep):
            continue
        saliency = np.where(keep, w * w / inverse, -1.0).ravel()
        keep = keep.copy()
        keep.ravel()[np.argsort(saliency, kind="stable")[:gone]] = False
        w = fitted_where(w * keep, target, gram, keep)
    return fitted_where(w, target, gram, keep, _LAST)


def fitted_where(
    w: np.ndarray, target: np.ndarray, gram: np.ndarray, keep: np.ndarray, sweeps: int = _SWEEPS
) -> np.ndarray:
    """`w` with the weights that are kept moved towards the least error; the others are zero."""
    return w if keep.all() else descend(w, target, gram, lambda v, _, k: np.where(keep[:, :, k], v, 0.0), sweeps)
