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
from hwcomp.passes._layerwise import Layer, correct
from hwcomp.passes._moments import moments
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize.rounding import damped, round_adaptively
from hwcomp.registry import graph_pass


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
            y = layer.output(layer.x, layer.weight, layer.bias)
            m = moments(layer.node, y, layer.xq, layer.weight, layer.bias)
            u = (layer.weight / layer.rows(layer.scale)).reshape(m.cross.shape)
            cross = m.cross / layer.scale.reshape(*m.cross.shape[:2], 1)
            q = layer.q.reshape(u.shape)
            if not layer.chosen:
                q = round_adaptively(u, damped(m.gram), cross, layer.limit, self.sweeps)
            weight = q.reshape(layer.weight.shape)
            real = weight * layer.rows(layer.scale) - layer.weight
            shift = m.residual - (m.mean @ real.reshape(m.cross.shape).transpose(0, 2, 1)).ravel()
            bias = layer.bias - layer.qbias * layer.step
            return weight, layer.with_error(bias + shift)

        return correct(graph, ctx, self.name, self.samples, rounded)
