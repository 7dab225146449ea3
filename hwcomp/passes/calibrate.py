"""Calibration: run the float graph on the user's samples and keep the least and the largest value of every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import ModelError, UsageError, shown
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph, origin_of
from hwcomp.passes.analyze_ranges import input_range
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import graph_pass

# Elements of one tensor that a batch may hold: bounds memory for any network.
_BATCH_ELEMENTS = 1 << 24


@graph_pass
@dataclass(frozen=True)
class Calibrate(Pass):
    """Without data: `samples` random ones, uniform in the input range, from `seed` (the compile warns in capitals)."""

    name: ClassVar[str] = "calibrate"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True
    samples: int = 64
    seed: int = 0

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if self.samples < 1 or self.seed < 0:
            raise UsageError("pass calibrate needs samples of 1 or more and a seed of 0 or more")
        data = ctx.calibration if ctx.calibration is not None else self._random(graph, ctx)
        total = len(next(iter(data.values())))
        largest = max(int(np.prod(t.shape)) for t in graph.tensors.values() if not t.is_constant)
        step = max(1, min(total, 64, _BATCH_ELEMENTS // max(largest, 1)))
        observed: dict[str, tuple[float, float]] = {}

        def see(name: str, value: np.ndarray) -> None:
            if value.dtype.kind == "f":
                lo, hi = float(value.min()), float(value.max())
                if not np.isfinite([lo, hi]).all():
                    raise _overflow(graph, name)
                old = observed.get(name, (lo, hi))
                observed[name] = (min(lo, old[0]), max(hi, old[1]))

        for start in range(0, total, step):
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
                run_float(graph, {n: a[start : start + step] for n, a in data.items()}, observe=see)
            ctx.progress("calibrating", min(start + step, total), total)
        for name in graph.inputs:
            observed[name] = input_range(name, ctx)
        ctx.observed.update({n: _within(r, graph.tensors[n].range) for n, r in observed.items()})
        ctx.note(self.name, f"{total} samples, minmax")
        return graph

    def _random(self, graph: Graph, ctx: PassContext) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        data = {}
        for name in graph.inputs:
            lo, hi = input_range(name, ctx)
            shape = graph.tensors[name].shape
            shape = (self.samples, *(shape[1:] if graph.batched else shape))
            data[name] = rng.uniform(lo, hi, shape).astype(np.float32)
        return data


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
