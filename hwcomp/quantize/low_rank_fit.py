"""A convolution's or dense layer's weights as a chain of smaller ones, nearest in the metric of the outputs.

Weights W [M, K] act on windows of (C, KH, KW) = K elements with covariance G; what is lost is tr((W - W') G (W - W')^T) of
tr(W G W^T). The first layer of a chain works on a part of the window and is shared over its other positions:

    svd       C x KH x KW -> r, then 1 x 1       Zhang et al., "Accelerating Very Deep Convolutional Networks", TPAMI 2015
    rows      KH x 1 -> r, then 1 x KW           Jaderberg et al., "Speeding up Convolutional Neural Networks", BMVC 2014
    columns   1 x KW -> r, then KH x 1
    channels  1 x 1 -> r, then KH x KW
    tucker    1 x 1 -> r, KH x KW -> s, 1 x 1    Kim et al., "Compression of Deep CNNs", ICLR 2016 (Tucker-2, HOOI)

svd has a closed form (Chen et al., "DRONE", NeurIPS 2021). The others alternate: all behind the first layer is the (reduced
rank) regression of the outputs, the first layer solves its normal equations by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Axes of the window (C, KH, KW) that the first layer sees.
FORMS = {"svd": (0, 1, 2), "rows": (0, 1), "columns": (0, 2), "channels": (0,), "tucker": (0,)}
_SWEEPS = 3
_STEPS = 6  # of conjugate gradients
_RANKS = 12  # first ranks of tucker that are tried
_NOISE = 1e-8  # of the variance: what float64 loses where the rank is full

Price = Callable[[tuple[int, ...]], float]  # what a chain of these ranks costs


@dataclass(frozen=True)
class Chain:
    """`first` [r, A] for the A window elements that it sees; `behind` [M, B, r], or [s, B, r] with `last` [M, s], for the B
    others. float64. `kept`: part of the outputs' variance."""

    first: np.ndarray
    behind: np.ndarray
    last: np.ndarray | None
    kept: float


class LowRank:
    """Chains for weights `rows` [M, K], K = prod(window), on windows of covariance `gram` [K, K], positive definite."""

    def __init__(self, rows: np.ndarray, gram: np.ndarray, window: tuple[int, ...]):
        self._window, self._rows, self._gram = window, rows, gram
        self._parts: dict[tuple[int, ...], _Part] = {}

    def least(self, form: str, energy: float, price: Price, near: bool = False) -> tuple[int, ...] | None:
        """The cheapest ranks that keep `energy`; `near`: as the start of the iterations says. None: no ranks do."""
        part = self._part(form)
        energy *= 1 - _NOISE
        if form == "tucker":
            return part.least_pair(energy, price, near)
        rank = _bisected(lambda r: part.kept(r) >= energy, 1, part.most)
        if rank is not None and form != "svd" and not near:
            rank = _bisected(lambda r: part.refined(r).kept >= energy, 1, rank) or rank
        return None if rank is None else (rank,)

    def at(self, form: str, ranks: tuple[int, ...]) -> Chain:
        part = self._part(form)
        return part.start(*ranks) if form == "svd" else part.refined(*ranks)

    def _part(self, form: str) -> _Part:
        axes = FORMS[form]
        if axes not in self._parts:
            self._parts[axes] = _Part(self._rows, self._gram, order(self._window, form))
        return self._parts[axes]


def order(window: tuple[int, ...], form: str) -> np.ndarray:
    """int64 [B, A]: the window elements by what the first layer is shared over, and what it sees."""
    seen = FORMS[form][: len(window)]
    places = np.arange(np.prod(window)).reshape(window)
    rest = tuple(a for a in range(len(window)) if a not in seen)
    return places.transpose(*rest, *seen).reshape(-1, int(np.prod([window[a] for a in seen])))


class _Part:
    """One way to part the window: B positions of A elements each."""

    def __init__(self, rows: np.ndarray, gram: np.ndarray, places: np.ndarray):
        (b, a), flat = places.shape, places.ravel()
        self._rows, self._gram = rows[:, flat], gram[np.ix_(flat, flat)]
        self._b, self._a, self.most = b, a, min(a, b * len(rows))
        self._aim = self._rows @ self._gram
        self._energy = max(float((self._aim * self._rows).sum()), 1e-300)
        self._kept: dict[int, float] = {}
        self._spectra: dict[int, np.ndarray] = {}

    @cached_property
    def _basis(self) -> np.ndarray:
        """[most, A]: first layers, the more important row in front, as if positions did not depend on each other."""
        blocks = self._gram.reshape(self._b, self._a, self._b, self._a)
        mean = np.einsum("bibj->ij", blocks) / self._b
        return factors(self._rows.reshape(-1, self._a), mean)[: self.most]

    @cached_property
    def _projected(self) -> tuple[np.ndarray, np.ndarray]:
        return self._seen(self._basis)

    def _seen(self, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(covariance [B, r, B, r] of what a first layer gives, covariance [M, B, r] of it and the outputs)."""
        b, a = self._b, self._a
        left = self._gram.reshape(-1, a) @ first.T
        both = left.reshape(b, a, b, -1).transpose(0, 2, 3, 1) @ first.T
        return both.transpose(0, 3, 1, 2), (self._aim.reshape(-1, a) @ first.T).reshape(len(self._rows), b, -1)

    def start(self, rank: int, behind: int | None = None) -> Chain:
        both, cross = self._projected
        return self._regressed(self._basis[:rank], both[:, :rank, :, :rank], cross[:, :, :rank], behind)

    def refined(self, rank: int, behind: int | None = None) -> Chain:
        best = self.start(rank, behind)
        if rank == self._a and behind is None:
            return best
        for _ in range(_SWEEPS):
            first = self._descended(best)
            chain = self._regressed(first, *self._seen(first), behind)
            if chain.kept <= best.kept:
                break
            best = chain
        return best

    def _regressed(self, first: np.ndarray, both: np.ndarray, cross: np.ndarray, rank: int | None) -> Chain:
        """The best layers behind `first`."""
        shape, n = cross.shape, cross[0].size
        lower = _cholesky(both.reshape(n, n))
        scaled = np.linalg.solve(lower, cross.reshape(len(cross), n).T).T
        if rank is None:
            behind = np.linalg.solve(lower.T, scaled.T).T.reshape(shape)
            return Chain(first, behind, None, float((scaled * scaled).sum()) / self._energy)
        u, s, vt = np.linalg.svd(scaled, full_matrices=False)
        core = np.linalg.solve(lower.T, vt[:rank].T).T.reshape(-1, *shape[1:])
        return Chain(first, core, u[:, :rank] * s[:rank], float((s[:rank] ** 2).sum()) / self._energy)

    def kept(self, rank: int) -> float:
        """By the start of the iterations, for many ranks in turn."""
        if rank not in self._kept:
            self._kept[rank] = self.start(rank).kept
        return self._kept[rank]

    def _spectrum(self, rank: int) -> np.ndarray:
        """Part of the variance that is kept by the rank of what lies behind a first layer of `rank`."""
        if rank not in self._spectra:
            both, cross = self._projected
            n = self._b * rank
            lower = _cholesky(both[:, :rank, :, :rank].reshape(n, n))
            singular = np.linalg.svd(np.linalg.solve(lower, cross[:, :, :rank].reshape(-1, n).T), compute_uv=False)
            self._spectra[rank] = np.cumsum(singular**2) / self._energy
        return self._spectra[rank]

    def least_pair(self, energy: float, price: Price, near: bool) -> tuple[int, int] | None:
        found = []
        for rank in np.unique(np.linspace(1, self.most, _RANKS).astype(int)).tolist():
            if self.kept(rank) >= energy and (kept := self._spectrum(rank))[-1] >= energy:
                pair = (rank, int(np.searchsorted(kept, energy)) + 1)
                found.append((price(pair), *pair))
        if not found:
            return None
        _, first, behind = min(found)
        if not near:
            behind = _bisected(lambda s: self.refined(first, s).kept >= energy, 1, behind) or behind
            first = _bisected(lambda r: self.refined(r, behind).kept >= energy, 1, first) or first
        return first, behind

    def _descended(self, chain: Chain) -> np.ndarray:
        """The first layer [r, A] of a chain, some steps of conjugate gradients nearer to its best for what is behind it."""
        m, b, a = len(self._rows), self._b, self._a
        behind = chain.behind if chain.last is None else np.tensordot(chain.last, chain.behind, 1)  # [M, B, r]
        flat = behind.reshape(m * b, -1)

        def normal(first: np.ndarray) -> np.ndarray:
            return flat.T @ ((flat @ first).reshape(m, b * a) @ self._gram).reshape(m * b, a)

        blocks = self._gram.reshape(b, a, b, a)
        outer = np.linalg.inv(_regular(flat.T @ flat))
        inner = np.linalg.inv(_regular(np.einsum("bibj->ij", blocks) / b))
        first = chain.first.copy()
        rest = flat.T @ self._aim.reshape(m * b, a) - normal(first)
        near = outer @ rest @ inner
        way, size = near.copy(), float((rest * near).sum())
        for _ in range(_STEPS):
            image = normal(way)
            bend = float((way * image).sum())
            if size <= 0 or bend <= 0:
                break
            first += size / bend * way
            rest -= size / bend * image
            near = outer @ rest @ inner
            size, before = float((rest * near).sum()), size
            way = near + size / before * way
        return first


def factors(rows: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """float64 [min(M, K), K], for weights [M, K] on inputs of covariance `gram` [K, K]: any r first rows span the part of the
    inputs that tells most of the outputs, and give values of variance 1 that do not depend on each other."""
    lower = np.linalg.cholesky(gram)
    _, _, vt = np.linalg.svd(rows @ lower, full_matrices=False)
    return np.linalg.solve(lower.T, vt.T).T


def _bisected(good: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least number from `low` to `high` for which `good` holds, if it holds for the larger ones."""
    if not good(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle + 1, high)
    return high


def _regular(gram: np.ndarray) -> np.ndarray:
    """With a trace of the identity, so that it can be inverted whatever it is."""
    mean = np.trace(gram) / len(gram)
    return gram + 1e-9 * (mean if mean > 0 else 1.0) * np.eye(len(gram))


def _cholesky(gram: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(_regular(gram))
