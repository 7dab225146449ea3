"""Calibration methods: from the distribution of a tensor's values to the real range that its integers shall span.

minmax keeps all values; percentile cuts both tails; mse minimises the squared error of the quantized values; kl is the
entropy method of TensorRT (S. Migacz, "8-bit Inference with TensorRT", GTC 2017): the clipped and quantized histogram
shall lose the least information against the clipped one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.quantize.schemes import least_error_power

METHODS = ("minmax", "percentile", "mse", "kl")
BINS = 2048
_KL_CUT = 0.05  # most of what the entropy method may cut off
_MSE_STEPS = 64  # candidates per side: ranges from 1/64 of the observed one up to all of it


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
    return _mse(h, bits, symmetric) if method == "mse" else _kl(h, bits, symmetric)


def _percentile(h: Histogram, percentile: float) -> tuple[float, float]:
    tail = h.counts.sum() * (1 - percentile / 100) / 2
    edges, total = h.edges, np.cumsum(h.counts)
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    return float(edges[min(first, BINS - 1)]), float(edges[min(last, BINS - 1) + 1])


def _mse(h: Histogram, bits: int, symmetric: bool) -> tuple[float, float]:
    """Least sum of squared errors over the bin centres. A power of two is the scale of symmetric types; else first over
    both sides together, then over each alone."""
    centers, weight = h.centers, h.counts.astype(np.float64)
    if symmetric:
        scale = least_error_power(centers, weight, bits)
        limit = ((1 << (bits - 1)) - 1) * scale
        return max(h.lo, -limit), min(h.hi, limit)
    levels = (1 << bits) - 1

    def loss(lo: float, hi: float) -> float:
        lo, hi = min(lo, 0.0), max(hi, 0.0)
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


def _kl(h: Histogram, bits: int, symmetric: bool) -> tuple[float, float]:
    """The entropy method on magnitudes; each side of zero is then cut at the same magnitude.

    Zeros are left out: every type holds them exactly, and behind a ReLU they would outweigh all else.
    """
    lo, hi = min(h.lo, 0.0), max(h.hi, 0.0)
    most = max(-lo, hi)
    levels = round(((1 << bits) - 1) * (0.5 if symmetric else most / (hi - lo)))
    edges, centers, values = np.linspace(0.0, most, BINS + 1), np.abs(h.centers), h.counts.astype(np.float64)
    width = (h.hi - h.lo) / BINS
    values[centers <= width / 2] = 0
    counts, _ = np.histogram(centers, bins=edges, weights=values)
    best, cut = np.inf, BINS
    inside, least = counts.cumsum(), (1 - _KL_CUT) * counts.sum()
    for i in range(levels, BINS + 1, 8):
        if inside[i - 1] < least:  # all in the last bin is no divergence, but no distribution any more either
            continue
        reference = counts[:i].copy()
        reference[-1] += counts[i:].sum()
        divergence = _divergence(reference, counts[:i], levels)
        if divergence < best:
            best, cut = divergence, i
    limit = most * cut / BINS
    return max(h.lo, -limit), min(h.hi, limit)


def _divergence(reference: np.ndarray, source: np.ndarray, levels: int) -> float:
    """Kullback-Leibler divergence of `reference` from `source` merged to `levels` bins and spread out again."""
    index = np.arange(len(source)) * levels // len(source)
    used = source > 0
    sums = np.bincount(index, weights=source, minlength=levels)
    places = np.bincount(index, weights=used, minlength=levels)
    spread = np.where(used, (sums / np.maximum(places, 1))[index], 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-30)
    held = p > 0
    return float((p[held] * np.log(p[held] / np.maximum(q[held], 1e-12))).sum())
