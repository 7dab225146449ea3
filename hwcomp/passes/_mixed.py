"""Mixed precision: how sensitive the outputs are to each layer's weights, measured, and what each layer gets."""

from __future__ import annotations

import numpy as np

from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated
from hwcomp.passes.base import PassContext, constant
from hwcomp.quantize.few_weights import BITS
from hwcomp.types import Node

_CHOICES = ("int8", "int4", "int3", "int2", "binary-weights")  # fewer bits to the right


def choose(
    graph: Graph, ctx: PassContext, dots: list[Node], found: Compensated, loss: float, samples: int
) -> dict[str, str]:
    """Scheme by node name: starting from int8, the step that saves most bits per loss, as long as the measured error of the
    outputs stays below `loss` of their energy and no decision that is clear in float changes more often than that.
    """
    data = {n: a[:samples] for n, a in calibration(graph, ctx, samples).items()}
    wanted = _outputs(graph, data)
    weights = {n.name: {k: _dequantized(graph, n, *found.weights(n, k)) for k in _CHOICES} for n in dots}
    sizes = {n.name: graph.tensors[n.inputs[1]].data.size for n in dots}

    def error(chosen: dict[str, str]) -> float:
        tensors = dict(graph.tensors)
        nodes = {n.name: n for n in graph.nodes}
        for node in dots:
            w, b = (constant(tensors, f"{node.name}__trial", v).name for v in weights[node.name][chosen[node.name]])
            nodes[node.name] = node.with_(inputs=(node.inputs[0], w, b))
        have = _outputs(graph.rebuilt(nodes.values(), tensors), data)
        noise = sum(float(((have[n] - wanted[n]) ** 2).sum()) for n in wanted)
        return noise / max(sum(float((wanted[n] ** 2).sum()) for n in wanted), 1e-30)

    chosen = {n.name: "int8" for n in dots}
    alone = {(n.name, k): error({**chosen, n.name: k}) for n in dots for k in _CHOICES[1:]}
    for node in dots:
        measured = ", ".join(f"{k} {alone[node.name, k]:.2g}" for k in _CHOICES[1:])
        ctx.note("few_bits", f"sensitivity of {node.op} '{node.name}' ({sizes[node.name]} weights): {measured}")
    refused: set[tuple[str, str]] = set()
    while True:
        steps = []
        for name, now in chosen.items():
            for kind in _CHOICES[_CHOICES.index(now) + 1 :]:
                if (name, kind) not in refused:
                    saved = sizes[name] * (BITS[now] - BITS[kind])
                    more = alone[name, kind] - (alone[name, now] if now != "int8" else 0.0)
                    steps.append((max(more, 0.0) / saved, name, kind))
        if not steps:
            break
        _, name, kind = min(steps)
        trial = {**chosen, name: kind}
        if error(trial) <= loss:
            chosen = trial
        else:
            refused.add((name, kind))
    ctx.note(
        "few_bits", f"auto: error of the outputs {error(chosen):.2g} of their energy, at most {loss:g} was allowed"
    )
    return chosen


def calibration(graph: Graph, ctx: PassContext, count: int) -> dict[str, np.ndarray]:
    """The user's samples, or random ones in the observed ranges of the inputs."""
    if ctx.calibration is not None:
        return ctx.calibration
    rng = np.random.default_rng(0)
    shapes = {n: graph.tensors[n].shape[1:] if graph.batched else graph.tensors[n].shape for n in graph.inputs}
    return {n: rng.uniform(*ctx.observed[n], (count, *s)).astype(np.float32) for n, s in shapes.items()}


def _dequantized(graph: Graph, node: Node, q: np.ndarray, scales: np.ndarray, shift: np.ndarray):
    """(weight, bias) in float."""
    weight = (q * scales.astype(np.float64)[:, None]).astype(np.float32)
    bias = graph.tensors[node.inputs[2]].data if node.inputs[2] else 0.0
    return weight.reshape(graph.tensors[node.inputs[1]].shape), (bias + shift).astype(np.float32)


def _outputs(graph: Graph, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Real outputs on all samples, centred, so that a constant counts for nothing; indices are left out."""
    size, parts = batch_size(graph), []
    for start in range(0, len(next(iter(data.values()))), size):
        parts.append(run_float(graph, {n: a[start : start + size] for n, a in data.items()}))
    whole = {n: np.concatenate([p[n] for p in parts]).astype(np.float64) for n in graph.outputs}
    return {n: a - a.mean(axis=0) for n, a in whole.items() if graph.tensors[n].dtype == "float"}
