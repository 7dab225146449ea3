"""Range analysis: the provable real interval of every tensor, from the ranges of the inputs, by interval arithmetic."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass

DEFAULT_RANGE = (0.0, 1.0)


def input_range(name: str, ctx: PassContext) -> tuple[float, float]:
    """All pixels, what the user said, else what the calibration data spans, else [0, 1]."""
    if name in ctx.input_types:
        return ctx.input_types[name].interval()
    if name in ctx.input_ranges:
        return ctx.input_ranges[name]
    if ctx.calibration is not None:
        data = ctx.calibration[name]
        return float(data.min()), float(data.max())
    return DEFAULT_RANGE


@graph_pass
class AnalyzeRanges(Pass):
    """Observed ranges are clipped to these, and a tensor whose interval is one point is reported as constant."""

    name: ClassVar[str] = "analyze_ranges"
    kind: ClassVar[str] = "exact"

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        tensors = dict(graph.tensors)
        ranges: dict[str, tuple[float, float]] = {n: input_range(n, ctx) for n in graph.inputs}
        for node in graph.nodes:
            inputs = [(ranges.get(n) or _constant_range(graph, n)) if n else None for n in node.inputs]
            ranges[node.outputs[0]] = OPS[node.op].interval(node, inputs, graph)
        for name, (lo, hi) in ranges.items():
            tensors[name] = tensors[name].with_(range=(float(lo), float(hi)))
            if lo == hi:
                ctx.note(self.name, f"'{name}' is always {lo:g}")
        return graph.with_(tensors=tensors)


def _constant_range(graph: Graph, name: str) -> tuple[float, float] | None:
    data = graph.tensors[name].data
    if data is None or not data.size or data.dtype.kind not in "fiu":
        return (-np.inf, np.inf)
    return float(data.min()), float(data.max())
