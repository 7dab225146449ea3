"""Bias correction: what quantization adds to the mean of a layer's output, per channel, is taken out of its bias.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2
(empirical form): E[y] - E[y~] from calibration data, layer by layer, each behind the corrected ones in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes._layerwise import Layer, correct
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass


@graph_pass
@dataclass(frozen=True)
class BiasCorrection(Pass):
    """`samples` of the calibration data, spread evenly over it."""

    name: ClassVar[str] = "bias_correction"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    samples: int = 512

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        def moved(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
            return layer.q, layer.with_error(mean_error(layer))

        return correct(graph, ctx, self.name, self.samples, moved)


def mean_error(layer: Layer) -> np.ndarray:
    """float64 [channels]: mean of the float output minus mean of the quantized one. A dot product is linear, so its mean
    output is its output for the mean input."""
    want = layer.output(_mean(layer.x), layer.weight, layer.bias)
    have = layer.output(_mean(layer.xq), layer.q * layer.rows(layer.scale), layer.qbias * layer.step)
    error = want.astype(np.float64) - have
    return error.mean(axis=(0, 2, 3)) if layer.node.op == "Conv" else error.reshape(-1, len(layer.bias)).mean(axis=0)


def _mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
