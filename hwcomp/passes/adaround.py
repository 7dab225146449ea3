"""Adaptive rounding: weights go up or down so that each layer's output error on calibration data is least.

Source: Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020 (equation 20 without
the activation, asymmetric reconstruction: the float output is aimed at from the inputs that the quantized layers in
front really give). The search is in hwcomp/quantize/rounding.py. The bias counts as one more weight, of an input that is
always 1, and as it is nearly continuous it takes the mean of the error whatever the weights do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.graph import Graph
from hwcomp.ops._window import taps
from hwcomp.passes._layerwise import Layer, correct
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize.rounding import damped, round_adaptively
from hwcomp.registry import graph_pass

_MULTIPLICATIONS = 1 << 33  # for the second moments of one layer; more input windows than that are sampled
_CHUNK = 1 << 22  # window elements in memory at once


@graph_pass
@dataclass(frozen=True)
class Adaround(Pass):
    """`samples` of the calibration data, spread evenly; at most `sweeps` of flips over a layer's weights."""

    name: ClassVar[str] = "adaround"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    samples: int = 512
    sweeps: int = 20

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if self.sweeps < 1:
            raise UsageError(f"adaround.sweeps={self.sweeps}", fix="1 or more are needed")

        def rounded(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
            m = moments(layer)
            u = (layer.weight / layer.rows(layer.scale)).reshape(m.cross.shape)
            cross = m.cross / layer.scale.reshape(*m.cross.shape[:2], 1)
            q = round_adaptively(u, damped(m.gram), cross, layer.limit, self.sweeps)
            weight = q.reshape(layer.weight.shape)
            real = weight * layer.rows(layer.scale) - layer.weight
            shift = m.residual - (m.mean @ real.reshape(m.cross.shape).transpose(0, 2, 1)).ravel()
            bias = layer.bias - layer.qbias * layer.step
            return weight, layer.with_error(bias + shift)

        return correct(graph, ctx, self.name, self.samples, rounded)


@dataclass(frozen=True)
class Moments:
    """Statistics of a dot product's input windows xq [P, K] in G groups, and of what the float layer says beyond
    weight . xq, r = y - (weight . xq + bias) [P, M].

    gram [G, K, K]: covariance of xq; cross [G, M/G, K]: of r with xq; mean [G, 1, K] of xq; residual [M]: mean of r.
    All float64.
    """

    gram: np.ndarray
    cross: np.ndarray
    mean: np.ndarray
    residual: np.ndarray


def moments(layer: Layer) -> Moments:
    groups = layer.node.attrs.groups if layer.node.op == "Conv" else 1
    m, k = len(layer.weight), layer.weight[0].size
    beyond = layer.output(layer.x, layer.weight, layer.bias) - layer.output(layer.xq, layer.weight, layer.bias)
    if layer.node.op == "Conv":
        beyond = beyond.reshape(len(beyond), groups, m // groups, -1)
    else:
        beyond = beyond.reshape(1, -1, 1, m).transpose(0, 2, 3, 1)
    step = -(-beyond.size * k * k // (m // groups * _MULTIPLICATIONS))
    second, cross = np.zeros((groups, k, k)), np.zeros((groups, m // groups, k))
    first, residual, count = np.zeros((groups, k)), np.zeros((groups, m // groups)), 0
    per = max(1, _CHUNK // (groups * k * beyond.shape[3]))
    for start in range(0, len(beyond), per):
        x, r = (a[..., start % step :: step] for a in (_windows(layer, start, per), beyond[start : start + per]))
        second += np.matmul(x, x.swapaxes(2, 3)).sum(axis=0, dtype=np.float64)
        cross += np.matmul(r, x.swapaxes(2, 3)).sum(axis=0, dtype=np.float64)
        first += x.sum(axis=(0, 3), dtype=np.float64)
        residual += r.sum(axis=(0, 3), dtype=np.float64)
        count += x.shape[0] * x.shape[3]
    mean, rest = first / count, residual / count
    gram = second / count - mean[:, :, None] * mean[:, None, :]
    return Moments(gram, cross / count - rest[:, :, None] * mean[:, None, :], mean[:, None, :], rest.ravel())


def _windows(layer: Layer, start: int, count: int) -> np.ndarray:
    """float32 [samples, G, K, windows] of xq, for `count` samples; a Dense layer's samples are its windows."""
    if layer.node.op == "Dense":
        return layer.xq.reshape(-1, layer.weight.shape[1]).T[None, None]
    a, (kh, kw) = layer.node.attrs, layer.weight.shape[2:]
    top, left, bottom, right = a.pads
    x = np.pad(layer.xq[start : start + count], ((0, 0), (0, 0), (top, bottom), (left, right)))
    x = x.reshape(len(x), a.groups, -1, *x.shape[2:])
    high, wide = ((x.shape[3 + i] - (n - 1) * a.dilations[i] - 1) // a.strides[i] + 1 for i, n in enumerate((kh, kw)))
    out = np.empty((*x.shape[:3], kh, kw, high, wide), np.float32)
    for i in range(kh):
        line = taps(x, 3, i, high, a.strides[0], a.dilations[0])
        for j in range(kw):
            out[:, :, :, i, j] = taps(line, 4, j, wide, a.strides[1], a.dilations[1])
    return out.reshape(len(x), a.groups, -1, high * wide)
