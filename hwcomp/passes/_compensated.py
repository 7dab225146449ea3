"""Few-bit weights of a layer, rounded so that its output on calibration data, not each weight, is close to the float one.

The same search as adaround's (hwcomp/quantize/rounding.py), on the float inputs; then the scale of each channel and the mean
of its output are fitted again.
"""

from __future__ import annotations

import numpy as np

from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph
from hwcomp.passes.base import PassContext
from hwcomp.quantize.few_weights import few
from hwcomp.quantize.rounding import damped, round_adaptively
from hwcomp.types import Node
from sw_ref import numerics as nm

_LIMITS = {"ternary": 1, "int3": 3, "int4": 7}  # schemes whose rounding can be chosen
_WINDOWS = 1 << 13  # of an input that are looked at
_SWEEPS = 5


class Compensated:
    """`weights(node, kind)` -> (int64 q [M, K], float32 scales [M], float64 shift [M] of the bias)."""

    def __init__(self, graph: Graph, ctx: PassContext, dots: list[Node], samples: int):
        self._graph, self._found = graph, {}
        self._inputs = self._observed(ctx, dots, samples) if ctx.calibration is not None else {}

    def _observed(self, ctx: PassContext, dots: list[Node], samples: int) -> dict[str, np.ndarray]:
        """Float inputs of the dot products on some samples, by tensor."""
        seen: dict[str, list[np.ndarray]] = {n.inputs[0]: [] for n in dots}

        def see(name: str, value: np.ndarray) -> None:
            if name in seen:
                seen[name].append(value)

        data = {n: a[:samples] for n, a in ctx.calibration.items()}
        size = batch_size(self._graph)
        for start in range(0, len(next(iter(data.values()))), size):
            run_float(self._graph, {n: a[start : start + size] for n, a in data.items()}, see)
        return {n: np.concatenate(parts) for n, parts in seen.items()}

    def weights(self, node: Node, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        key = (node.name, kind)
        if key not in self._found:
            weight = self._graph.tensors[node.inputs[1]].data
            rows = weight.reshape(len(weight), -1).astype(np.float64)
            q, scales = few(rows, kind)
            shift = np.zeros(len(rows))
            if node.inputs[0] in self._inputs and kind != "int8":
                q, scales, shift = self._fitted(node, kind, rows, q, scales)
            self._found[key] = q, scales, shift
        return self._found[key]

    def _fitted(self, node: Node, kind: str, rows: np.ndarray, q: np.ndarray, scales: np.ndarray):
        x = self._windows(node)
        groups, k = len(x), rows.shape[1]
        mean = x.mean(axis=1)
        centred = x - mean[:, None]
        gram = damped(centred.transpose(0, 2, 1) @ centred / x.shape[1])
        w = rows.reshape(groups, -1, k)
        if kind in _LIMITS:
            u = w / scales.astype(np.float64).reshape(groups, -1, 1)
            q = round_adaptively(u, gram, np.zeros_like(u), _LIMITS[kind], _SWEEPS).reshape(q.shape)
        integers = q.reshape(w.shape).astype(np.float64)
        weighted = integers @ gram
        power = (weighted * integers).sum(axis=2)
        fitted = np.where(power > 0, (weighted * w).sum(axis=2) / np.where(power > 0, power, 1.0), 0.0).ravel()
        scales = np.where(fitted > 0, fitted, scales).astype(np.float32)
        away = w - integers * scales.astype(np.float64).reshape(groups, -1, 1)
        return q, scales, (away @ mean[:, :, None]).ravel()

    def _windows(self, node: Node) -> np.ndarray:
        """float64 [groups, windows, K]: what the rows of weights are multiplied by."""
        x, weight = self._inputs[node.inputs[0]], self._graph.tensors[node.inputs[1]].data
        if node.op == "Dense":
            found = x.reshape(1, -1, weight.shape[1])
        else:
            a, (_, per, kh, kw) = node.attrs, weight.shape
            few_samples = x[:: max(1, x.size * kh * kw // (1 << 26))]
            view = nm.windows2d(nm.pad2d(few_samples, a.pads, 0), (kh, kw), a.strides, a.dilations)
            view = view.reshape(len(few_samples), a.groups, per, *view.shape[2:]).transpose(1, 0, 3, 4, 2, 5, 6)
            found = view.reshape(a.groups, -1, per * kh * kw)
        return found[:, :: max(1, found.shape[1] // _WINDOWS)].astype(np.float64)
