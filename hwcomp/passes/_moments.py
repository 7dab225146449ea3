"""Second moments of a dot product's inputs, and of what they leave of the float layer's results: what rounding aims at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hwcomp.ops._window import taps
from hwcomp.passes.base import weight_and_bias
from hwcomp.registry import OPS
from hwcomp.types import Node, Tensor

_MULTIPLICATIONS = 1 << 33  # for the second moments of one layer; more input windows than that are sampled
_CHUNK = 1 << 22  # window elements in memory at once
_FAR = 100.0  # times the variance: squares of means that are taken off first


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


class FloatLayer(NamedTuple):
    """A dot product as the float graph has it. `node` has no clamp; `weight`, `bias`: float64, zeros for no bias; `x`: its inputs
    float32 [samples, *shape], `xq`: those that it gets instead; `y`: what it gives on `x`."""

    node: Node
    weight: np.ndarray
    bias: np.ndarray
    x: np.ndarray
    xq: np.ndarray
    y: np.ndarray

    @property
    def moments(self) -> Moments:
        return moments(self.node, self.y, self.xq, self.weight, self.bias)


def float_layer(node: Node, tensors: dict[str, Tensor], x: np.ndarray, xq: np.ndarray) -> FloatLayer:
    weight, bias = weight_and_bias(node, tensors)
    plain = node.with_(attrs=replace(node.attrs, clamp=None))
    if node.op == "Conv":  # a graph without a batch axis has samples of batches
        x, xq = (a.reshape(-1, *a.shape[-3:]) for a in (x, xq))
    y = OPS[node.op].evaluate(plain, [x, weight.astype(np.float32), bias.astype(np.float32)])[0]
    return FloatLayer(plain, weight, bias, x, xq, y)


def moments(node: Node, y: np.ndarray, xq: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Moments:
    """`node`: the dot product on `xq` float32 [samples, *shape], without a clamp; `y`: what the float layer gives there."""
    groups = node.attrs.groups if node.op == "Conv" else 1
    m, k = len(weight), weight[0].size
    beyond = y - OPS[node.op].evaluate(node, [xq, weight.astype(np.float32), bias.astype(np.float32)])[0]
    if node.op == "Conv":
        beyond = beyond.reshape(len(beyond), groups, m // groups, -1)
    else:
        beyond = beyond.reshape(1, -1, 1, m).transpose(0, 2, 3, 1)
    step = -(-beyond.size * k * k // (m // groups * _MULTIPLICATIONS))
    second, cross = np.zeros((groups, k, k)), np.zeros((groups, m // groups, k))
    first, residual, count = np.zeros((groups, k)), np.zeros((groups, m // groups)), 0
    away = None
    per = max(1, _CHUNK // (groups * k * beyond.shape[3]))
    for start in range(0, len(beyond), per):
        seen = windows(node, xq[start : start + per] if node.op == "Conv" else xq, weight.shape)
        x, r = (a[..., start % step :: step] for a in (seen, beyond[start : start + per]))
        away = _far(x) if away is None else away
        x = x - away[..., None] if away.any() else x
        second += np.matmul(x, x.swapaxes(2, 3)).sum(axis=0, dtype=np.float64)
        cross += np.matmul(r, x.swapaxes(2, 3)).sum(axis=0, dtype=np.float64)
        first += x.sum(axis=(0, 3), dtype=np.float64)
        residual += r.sum(axis=(0, 3), dtype=np.float64)
        count += x.shape[0] * x.shape[3]
    mean, rest = first / count, residual / count
    gram = second / count - mean[:, :, None] * mean[:, None, :]
    return Moments(gram, cross / count - rest[:, :, None] * mean[:, None, :], (mean + away)[:, None, :], rest.ravel())


def _far(x: np.ndarray) -> np.ndarray:
    """float32 [G, K]: the means of windows [samples, G, K, windows] that are far larger than the deviations, else 0. Sums of float32
    products would lose the variance of these inputs, so their distance from here is summed."""
    mean = x.mean(axis=(0, 3), dtype=np.float64)
    far = mean**2 > _FAR * x.var(axis=(0, 3), dtype=np.float64)
    return np.where(far, mean, 0.0).astype(np.float32)


def windows(node: Node, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [samples, G, K, windows] of x, for weights of `shape`; a Dense layer's samples are its windows."""
    if node.op == "Dense":
        return x.reshape(-1, shape[1]).T[None, None]
    a, (kh, kw) = node.attrs, shape[2:]
    top, left, bottom, right = a.pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=x.dtype.type(a.pad_value))
    x = x.reshape(len(x), a.groups, -1, *x.shape[2:])
    high, wide = ((x.shape[3 + i] - (n - 1) * a.dilations[i] - 1) // a.strides[i] + 1 for i, n in enumerate((kh, kw)))
    out = np.empty((*x.shape[:3], kh, kw, high, wide), np.float32)
    for i in range(kh):
        line = taps(x, 3, i, high, a.strides[0], a.dilations[0])
        for j in range(kw):
            out[:, :, :, i, j] = taps(line, 4, j, wide, a.strides[1], a.dilations[1])
    return out.reshape(len(x), a.groups, -1, high * wide)
