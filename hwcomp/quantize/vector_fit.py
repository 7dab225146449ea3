"""Weights of a layer as vectors from codebooks, fitted to the layer's output.

A row of weights is cut into vectors of a few neighbours; each is a codeword, or the sum of one from each stage's codebook
(residual vector quantization). With several parts, each stretch of a row has codebooks of its own (product quantization).
The start is k-means in the metric of the block of the inputs' second moments G that a vector meets. Then the error of the output,
sum (w - t) G (w - t)^T with the whole of G, is lowered in turn over the codes (each vector answers for the errors of the others,
as in share_fit) and over the codewords (least squares by conjugate gradients). Annealed: noise on the codewords dies away from
round to round (stochastic relaxation, SR-C: Martinez et al., "Permute, Quantize, and Fine-tune", CVPR 2021, who anneal k-means on
the weights alone; here it acts on the rounds that see the output). Codeword 0 is zero, for what is pruned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sw_ref.vectors import decoded

_MOST = 127  # largest integer of a weight
_STEPS = 20  # of k-means
_ROUNDS = 8  # of codes and codewords
_QUIET = 2  # of these at the end, without noise
_SWEEPS = 2
_TURNS = 2  # over the stages of one vector
_SOLVE = 12  # steps of conjugate gradients
_BLOCK = 32  # columns between two updates of the whole gradient
_CHUNK = 1 << 22  # distances in memory at once
_RIDGE, _NEAR = 1e-9, 1e-6  # what makes the preconditioner positive definite


@dataclass(frozen=True)
class Shape:
    """`size` of a vector, `codewords` of a codebook, `parts` of a row, `stages` that are summed."""

    size: int
    codewords: int
    parts: int = 1
    stages: int = 1


@dataclass(frozen=True)
class Vectors:
    """Weights [G, M, K] = `scale` * the sums of codewords: `codebook` int64 [stages, parts, codewords, size], `codes` uint8
    [stages, G, M, K / size]."""

    codebook: np.ndarray
    codes: np.ndarray
    scale: float

    @property
    def integers(self) -> np.ndarray:
        """int64 [G, M, K]"""
        return decoded(self.codebook, self.codes)

    @property
    def weights(self) -> np.ndarray:
        return self.integers * self.scale


def fitted(target: np.ndarray, gram: np.ndarray, shape: Shape, noise: float = 0.1, seed: int = 0) -> Vectors:
    """Codes and codewords for float64 `target` [G, M, K] in the metric `gram` [G, K, K], positive definite.

    `shape.size` divides K, `shape.parts` divides K / size. `noise` on the codewords in the first round, in
    deviations of the weights; 0: none.
    """
    rng = np.random.default_rng(seed)
    fit = _Fit(target, gram, shape)
    book, codes = fit.start(rng)
    heat = noise * float(target.std())
    for turn in range(_ROUNDS):
        codes = fit.choose(book, codes)
        book = fit.refit(book, codes)
        if heat and turn < _ROUNDS - _QUIET:
            book[:, :, 1:] += heat * (1 - turn / (_ROUNDS - _QUIET)) * rng.normal(size=book[:, :, 1:].shape)
    reach = np.abs(book).max(axis=2).sum(axis=0).max()  # of any sum of codewords
    unit = float(np.float32(reach / _MOST)) or 1.0
    whole = np.clip(np.rint(book / unit), -_MOST, _MOST)
    spare = np.abs(whole).max(axis=2).sum(axis=0).max() - _MOST  # what rounding adds
    if spare > 0:
        unit = float(np.float32(reach / (_MOST - spare)))
        whole = np.rint(book / unit)
    codes = fit.choose(whole * unit, codes)
    return Vectors(whole.astype(np.int64), codes.astype(np.uint8), unit)


class _Fit:
    """One layer: `target`, `gram` as above; `blocks` [G, J, d, d] of gram, what the vectors at J places meet."""

    def __init__(self, target: np.ndarray, gram: np.ndarray, shape: Shape):
        self.target, self.gram, self.shape = target, gram, shape
        groups, self.rows, k = target.shape
        self.places, d = k // shape.size, shape.size
        cut = gram.reshape(groups, self.places, d, self.places, d)
        self.blocks = cut[:, range(self.places), :, range(self.places)].transpose(1, 0, 2, 3)
        self.part = np.arange(self.places) * shape.parts // self.places

    def cut(self, w: np.ndarray) -> np.ndarray:
        """[G, J, M, d] of [G, M, K]."""
        return w.reshape(*w.shape[:2], self.places, -1).swapaxes(1, 2)

    # --- k-means ----------------------------------------------------------------------------------------------------------

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(codebook, codes [stages, G, M, J]), stage by stage, part by part."""
        s, groups = self.shape, len(self.target)
        book = np.zeros((s.stages, s.parts, s.codewords, s.size))
        codes = np.zeros((s.stages, groups, self.rows, self.places), np.int64)
        left = self.cut(self.target).copy()
        for stage in range(s.stages):
            for part in range(s.parts):
                at = np.flatnonzero(self.part == part)
                words, found = _means(left[:, at], self.blocks[:, at], s.codewords, rng)
                book[stage, part], codes[stage][:, :, at] = words, found.swapaxes(1, 2)
                left[:, at] -= words[found]
        return book, codes

    # --- the whole metric -------------------------------------------------------------------------------------------------

    def choose(self, book: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The codes, each vector in turn on what is best beside the others."""
        d, codes = self.shape.size, codes.copy()
        cost = self._own_costs(book)
        step = max(1, _BLOCK // d)
        w = decoded(book, codes)
        for _ in range(_SWEEPS):
            gradient, moved = (w - self.target) @ self.gram, 0
            for first in range(0, self.places, step):
                last = min(first + step, self.places)
                some = slice(first * d, last * d)
                local, old = gradient[:, :, some].copy(), w[:, :, some].copy()
                near = self.gram[:, some, some]
                for j in range(first, last):
                    here = slice((j - first) * d, (j - first + 1) * d)
                    now = w[:, :, j * d : (j + 1) * d].copy()
                    block = self.blocks[:, j]
                    new = self._best(
                        book[:, self.part[j]], cost[:, :, j], codes[..., j], now, now @ block - local[:, :, here], block
                    )
                    change = new - now
                    if change.any():
                        moved += np.count_nonzero(change.any(axis=2))
                        w[:, :, j * d : (j + 1) * d] = new
                        local += change @ near[:, here]
                gradient += (w[:, :, some] - old) @ self.gram[:, some]
            if moved < 1e-3 * codes[0].size:
                break
        return codes

    def _own_costs(self, book: np.ndarray) -> np.ndarray:
        """[stages, G, J, codewords]: c B c of every codeword at every place."""
        return np.einsum("sjna,gjab,sjnb->sgjn", book[:, self.part], self.blocks, book[:, self.part], optimize=True)

    def _best(self, words, cost, codes, now, pull, block) -> np.ndarray:
        """The best vectors [G, M, d] at one place; `codes` [stages, G, M] become theirs.

        words [stages, N, d], cost [stages, G, N]; pull [G, M, d]: block times the optimum.
        """
        stages = len(words)
        for _ in range(_TURNS if stages > 1 else 1):
            for s in range(stages):
                rest = now - words[s][codes[s]]
                price = cost[s][:, None] - 2 * (pull - rest @ block) @ words[s].T
                codes[s] = price.argmin(axis=2)
                now = rest + words[s][codes[s]]
        return now

    def refit(self, book: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The codewords of least squares for these codes; codeword 0 stays, and what nothing uses."""
        weights = self._counts(codes)

        def project(w: np.ndarray) -> np.ndarray:
            return self._gathered(w @ self.gram, codes)

        spread = np.einsum("spngj,gjab->spnab", weights, self.blocks, optimize=True)
        damp = _RIDGE * np.trace(self.gram.sum(axis=0)) + _NEAR * np.trace(spread, axis1=3, axis2=4)
        spread += damp[..., None, None] * np.eye(self.shape.size)
        inverse = np.linalg.inv(spread)  # of what each codeword meets alone: the preconditioner
        x = book.copy()
        r = project(self.target - decoded(x, codes))
        z = np.einsum("spnab,spnb->spna", inverse, r)
        p, rz = z.copy(), float((r * z).sum())
        for _ in range(_SOLVE):
            if rz <= 0:
                break
            q = project(decoded(p, codes))
            size = float((p * q).sum())
            if size <= 0:
                break
            alpha = rz / size
            x, r = x + alpha * p, r - alpha * q
            z = np.einsum("spnab,spnb->spna", inverse, r)
            new = float((r * z).sum())
            p, rz = z + new / rz * p, new
        return x

    def _counts(self, codes: np.ndarray) -> np.ndarray:
        """[stages, parts, codewords, G, J]: how many vectors are each codeword at each place."""
        s, (groups, _, places) = self.shape, codes.shape[1:]
        at = np.arange(groups)[:, None, None] * places + np.arange(places)
        found = np.zeros((s.stages, s.parts, s.codewords, groups, places))
        for stage in range(s.stages):
            flat = (self.part * s.codewords + codes[stage]) * (groups * places) + at
            size = s.parts * s.codewords * groups * places
            found[stage] = np.bincount(flat.ravel(), minlength=size).reshape(found.shape[1:])
        return found

    def _gathered(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """[stages, parts, codewords, d]: the sums of `values` [G, M, K] over the vectors of each codeword, none for codeword 0."""
        s = self.shape
        rows = values.reshape(-1, s.size)
        found = np.empty((s.stages, s.parts * s.codewords, s.size))
        for stage in range(s.stages):
            flat = (self.part * s.codewords + codes[stage]).ravel()
            for a in range(s.size):
                found[stage, :, a] = np.bincount(flat, weights=rows[:, a], minlength=s.parts * s.codewords)
        found = found.reshape(s.stages, s.parts, s.codewords, s.size)
        found[:, :, 0] = 0
        return found


def _means(x: np.ndarray, blocks: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(codewords [count, d], codes [G, J, M]) of vectors x [G, J, M, d] in the metrics `blocks` [G, J, d, d]."""
    flat = x.reshape(-1, x.shape[3])
    words = flat[rng.choice(len(flat), count, replace=len(flat) < count)].copy()
    words[0] = 0
    pull = x @ blocks
    for _ in range(_STEPS):
        codes = _nearest(words, pull, blocks)
        words = _centres(words, codes, pull, blocks)
        if len(lost := np.flatnonzero(np.bincount(codes.ravel(), minlength=count)[1:] == 0) + 1):
            away = x - words[codes]
            worst = np.argsort(-((away @ blocks) * away).sum(axis=3).ravel(), kind="stable")[: len(lost)]
            words[lost[: len(worst)]] = flat[worst]
    return words, _nearest(words, pull, blocks)


def _nearest(words: np.ndarray, pull: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """int64 [G, J, M]: the codeword with the least (x - c) B (x - c), given pull = x B."""
    cost = np.einsum("na,gjab,nb->gjn", words, blocks, words, optimize=True)
    found = np.empty(pull.shape[:3], np.int64)
    step = max(1, _CHUNK // (len(words) * pull.shape[0] * pull.shape[2]))
    for first in range(0, pull.shape[1], step):
        some = slice(first, first + step)
        found[:, some] = (cost[:, some, None] - 2 * (pull[:, some] @ words.T)).argmin(axis=3)
    return found


def _centres(words: np.ndarray, codes: np.ndarray, pull: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The codewords of least squares for these codes; codeword 0 stays, and what no vector has."""
    count, d = words.shape
    groups, places = blocks.shape[:2]
    at = np.arange(groups * places).reshape(groups, places, 1)
    met = np.bincount((codes * (groups * places) + at).ravel(), minlength=count * groups * places)
    matrix = met.reshape(count, -1) @ blocks.reshape(groups * places, -1)
    matrix = matrix.reshape(count, d, d)
    wanted = np.stack(
        [np.bincount(codes.ravel(), weights=pull[..., a].ravel(), minlength=count) for a in range(d)], axis=1
    )
    used = met.reshape(count, -1).any(axis=1)
    used[0] = False
    found = words.copy()
    found[used] = np.linalg.solve(matrix[used], wanted[used][..., None])[..., 0]
    return found
