"""Calibration: run the float graph on the user's samples and choose the real range of every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import ModelError, UsageError, shown
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph, origin_of
from hwcomp.passes.analyze_ranges import input_range
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize.observers import METHODS, Histogram, choose_range
from hwcomp.quantize.schemes import scheme
from hwcomp.registry import OPS, graph_pass

NO_DATA = "NO CALIBRATION DATA: RANGES COME FROM RANDOM INPUTS, ACCURACY WILL BE POOR. Give --calibration DATA.npz with real samples."
# Elements of one tensor that a batch may hold: bounds memory for any network.
_BATCH_ELEMENTS = 1 << 24


@graph_pass
@dataclass(frozen=True)
class Calibrate(Pass):
    """Without data: `samples` random ones, uniform in the input range, from `seed` (the compile warns in capitals).

    `method`: one of hwcomp.quantize.observers.METHODS; auto is mse for dfp, whose ranges grow by factors of two, so that
    a few clipped values can buy a bit, and minmax for the other schemes.
    """

    name: ClassVar[str] = "calibrate"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True
    samples: int = 64
    seed: int = 0
    method: str = "auto"
    percentile: float = 99.99

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check()
        if all(t.qtype is not None for t in graph.tensors.values() if not t.is_constant and t.dtype == "float"):
            return graph  # the model states all types
        if ctx.calibration is None:
            ctx.warn(NO_DATA)
        kind = scheme(ctx.quant)
        method = self.method if self.method != "auto" else "mse" if kind.kind == "dfp" else "minmax"
        data = ctx.calibration if ctx.calibration is not None else self._random(graph, ctx)
        observed: dict[str, tuple[float, float]] = {}

        def see(name: str, value: np.ndarray) -> None:
            lo, hi = float(value.min()), float(value.max())
            if not np.isfinite([lo, hi]).all():
                raise _overflow(graph, name)
            old = observed.get(name, (lo, hi))
            observed[name] = (min(lo, old[0]), max(hi, old[1]))

        total = _watch(graph, ctx, data, see, "calibrating")
        if method != "minmax":
            histograms = {n: Histogram.empty(*r) for n, r in observed.items()}
            _watch(graph, ctx, data, lambda name, value: histograms[name].add(value), "histograms")
            for name, histogram in histograms.items():
                observed[name] = choose_range(histogram, method, kind.bits, self.percentile, kind.symmetric)
        for name in graph.inputs:
            observed[name] = input_range(graph, name, ctx)
        ctx.observed.update({n: _within(r, graph.tensors[n].range) for n, r in observed.items()})
        for node in graph.nodes:
            for name in filter(None, OPS[node.op].stored_alike(node)):
                given, (lo, hi) = graph.tensors[name], ctx.observed[node.outputs[0]]
                ends = (given.data.min(), given.data.max()) if given.is_constant else ctx.observed[name]
                ctx.observed[node.outputs[0]] = min(lo, float(ends[0])), max(hi, float(ends[1]))
        ctx.note(self.name, f"{total} samples, {method}")
        return graph

    def _check(self) -> None:
        if self.samples < 1 or self.seed < 0:
            raise UsageError("pass calibrate needs samples of 1 or more and a seed of 0 or more")
        if self.method not in ("auto", *METHODS):
            why = f"unknown calibration method '{shown(self.method)}'"
            raise UsageError(why, fix=f"choose auto, {', '.join(METHODS)}")
        if not 50 <= self.percentile <= 100:
            raise UsageError(f"calibrate.percentile={self.percentile:g}", fix="50 to 100 percent can be kept")

    def _random(self, graph: Graph, ctx: PassContext) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        data = {}
        for name in graph.inputs:
            lo, hi = input_range(graph, name, ctx)
            shape = graph.tensors[name].shape
            shape = (self.samples, *(shape[1:] if graph.batched else shape))
            data[name] = rng.uniform(lo, hi, shape).astype(np.float32)
        return data


def _watch(graph: Graph, ctx: PassContext, data: dict[str, np.ndarray], see, what: str) -> int:
    """Run the float graph on all samples; `see` gets every float tensor of every batch. Returns the number of samples."""
    total = len(next(iter(data.values())))
    largest = max(int(np.prod(t.shape)) for t in graph.tensors.values() if not t.is_constant)
    step = max(1, min(total, 64, _BATCH_ELEMENTS // max(largest, 1)))
    for start in range(0, total, step):
        batch = {n: a[start : start + step] for n, a in data.items()}
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
            run_float(graph, batch, observe=lambda name, v: see(name, v) if v.dtype.kind == "f" else None)
        ctx.progress(what, min(start + step, total), total)
    return total


def _overflow(graph: Graph, name: str) -> ModelError:
    node = graph.producer(name)
    return ModelError(
        f"tensor '{shown(name)}' overflows float32", node=origin_of(node) if node else None,
        why="it is infinite or not a number on a calibration sample", fix="check the weights and the range of the inputs",
    )  # fmt: skip


def _within(seen: tuple[float, float], provable: tuple[float, float] | None) -> tuple[float, float]:
    if provable is None:
        return seen
    return min(max(seen[0], provable[0]), provable[1]), min(max(seen[1], provable[0]), provable[1])
