"""Calibration methods: from the distribution of a tensor's values to the real range that its integers shall span.

minmax keeps all values; percentile cuts both tails; mse minimises the squared error of the quantized values; kl is the
entropy method of TensorRT (S. Migacz, "8-bit Inference with TensorRT", GTC 2017): the clipped and quantized histogram
shall lose the least information against the clipped one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

METHODS = ("minmax", "percentile", "mse", "kl")
BINS = 2048
_MSE_STEPS = 64  # candidates per side: ranges from 1/64 of the observed one up to all of it
_KL_LEVELS = 128  # quantized bins of the entropy method
_KL_FIRST = 128


@dataclass
class Histogram:
    """Counts of a tensor's values in BINS equal bins over [lo, hi], which both passes over the data share."""

    lo: float
    hi: float
    counts: np.ndarray

    @classmethod
    def empty(cls, lo: float, hi: float) -> Histogram:
        return cls(lo, hi, np.zeros(BINS, np.int64))

    def add(self, values: np.ndarray) -> None:
        if self.hi > self.lo:
            self.counts += np.histogram(values, bins=BINS, range=(self.lo, self.hi))[0]

    @property
    def edges(self) -> np.ndarray:
        """float64 [BINS + 1]."""
        return np.linspace(self.lo, self.hi, BINS + 1)

    @property
    def centers(self) -> np.ndarray:
        edges = self.edges
        return (edges[:-1] + edges[1:]) / 2


def choose_range(h: Histogram, method: str, bits: int, percentile: float, symmetric: bool) -> tuple[float, float]:
    """The real (lo, hi) to quantize, inside the observed range. `percentile`: percent of the values to keep."""
    if method == "minmax" or h.hi <= h.lo or not h.counts.any():
        return h.lo, h.hi
    if method == "percentile":
        return _percentile(h, percentile)
    return _mse(h, bits, symmetric) if method == "mse" else _kl(h)


def _percentile(h: Histogram, percentile: float) -> tuple[float, float]:
    tail = h.counts.sum() * (1 - percentile / 100) / 2
    edges, total = h.edges, np.cumsum(h.counts)
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    return float(edges[min(first, BINS - 1)]), float(edges[min(last, BINS - 1) + 1])


def _mse(h: Histogram, bits: int, symmetric: bool) -> tuple[float, float]:
    """Least sum of squared errors over the bin centres, first over both sides together, then over each alone."""
    centers, weight = h.centers, h.counts.astype(np.float64)
    levels = (1 << bits) - 1

    def loss(lo: float, hi: float) -> float:
        lo, hi = min(lo, 0.0), max(hi, 0.0)
        if symmetric:
            hi = max(-lo, hi)
            lo = -hi
        scale = (hi - lo) / levels
        if scale <= 0:
            return float((weight * centers**2).sum())
        q = np.rint((np.clip(centers, lo, hi) - lo) / scale) * scale + lo
        return float((weight * (q - centers) ** 2).sum())

    parts = np.arange(1, _MSE_STEPS + 1) / _MSE_STEPS
    best = min(parts, key=lambda p: loss(h.lo * p, h.hi * p))
    lo, hi = h.lo * best, h.hi * best
    lo = min((h.lo * p for p in parts), key=lambda v: loss(v, hi))
    hi = min((h.hi * p for p in parts), key=lambda v: loss(lo, v))
    return lo, hi


def _kl(h: Histogram) -> tuple[float, float]:
    """The entropy method on magnitudes; each side of zero is then cut at the same magnitude."""
    most = max(abs(h.lo), abs(h.hi))
    counts, _ = np.histogram(np.abs(h.centers), bins=BINS, range=(0.0, most), weights=h.counts.astype(np.float64))
    best, cut = np.inf, BINS
    for i in range(_KL_FIRST, BINS + 1, 8):
        reference = counts[:i].copy()
        reference[-1] += counts[i:].sum()
        divergence = _divergence(reference, counts[:i])
        if divergence < best:
            best, cut = divergence, i
    limit = most * cut / BINS
    return max(h.lo, -limit), min(h.hi, limit)


def _divergence(reference: np.ndarray, source: np.ndarray) -> float:
    """Kullback-Leibler divergence of `reference` from `source` merged to _KL_LEVELS bins and spread out again."""
    index = np.minimum(np.arange(len(source)) * _KL_LEVELS // len(source), _KL_LEVELS - 1)
    used = source > 0
    sums = np.bincount(index, weights=source, minlength=_KL_LEVELS)
    places = np.bincount(index, weights=used, minlength=_KL_LEVELS)
    spread = np.where(used, (sums / np.maximum(places, 1))[index], 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-30)
    held = p > 0
    return float((p[held] * np.log(p[held] / np.maximum(q[held], 1e-12))).sum())
