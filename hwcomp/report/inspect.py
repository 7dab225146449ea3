"""What a model holds, before anything is compiled, and whether each target can compile it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp.driver import Watch, quantized_graph
from hwcomp.errors import HwcompError
from hwcomp.frontend.load import Model, load_model
from hwcomp.graph import Graph, origin_of
from hwcomp.lower.build import lower
from hwcomp.options import CompileOptions
from hwcomp.passes._stages import measured
from hwcomp.registry import BACKENDS, OPS
from hwcomp.report import energy, waterfall

SCHEMA = 1


def inspect_model(path: Path, logits: bool) -> dict[str, Any]:
    """JSON values. FLOPs are two per MAC plus one per other operation, as the literature counts."""
    model = load_model(path)
    graph = model.graph
    layers, held = [], measured("float", graph)
    for node in graph.nodes:
        cost = OPS[node.op].cost(node, graph)
        counts = held.layers.get(origin_of(node)) if cost.params else None
        layers.append(
            {
                "node": node.origin[0] if node.origin else node.name, "operator": node.op,
                "shape": list(graph.tensors[node.outputs[0]].shape), "parameters": cost.params, "macs": cost.macs,
                "operations": cost.ops, "forms": waterfall.as_they_are(*counts) if counts else None,
            }
        )  # fmt: skip
    parameters, macs = sum(n["parameters"] for n in layers), sum(n["macs"] for n in layers)
    flops = 2 * macs + sum(n["operations"] for n in layers)
    return {
        "schema": SCHEMA, "model_sha256": model.sha256, "opset": model.opset,
        "inputs": {n: list(graph.tensors[n].shape) for n in graph.inputs},
        "outputs": {n: list(graph.tensors[n].shape) for n in graph.outputs},
        "parameters": parameters, "macs": macs, "flops": flops,
        "forms": waterfall.as_they_are(held.weights, held.zeros),
        "float_bytes": 4 * parameters, "int8_bytes": parameters, "peak_live_elements": _peak(graph),
        "memory": {f: energy.of_graph(graph, b) for f, b in (("float32", 32), ("int8", 8))},
        "quantized": _stated(model), "layers": layers, "targets": _targets(model, logits),
    }  # fmt: skip


def _stated(model: Model) -> dict[str, Any] | None:
    """What a model that is already quantized states about its integers; None for a float model."""
    if not model.quantized:
        return None
    graph = model.graph
    types: dict[str, int] = {}
    for t in graph.tensors.values():
        if t.stored and not t.is_constant:
            types[t.stored] = types.get(t.stored, 0) + 1
    weights = [(n, graph.tensors[n.inputs[1]]) for n in graph.nodes if n.op in ("Conv", "Dense")]
    given = [(t.given, t.given.scale.reshape(len(t.given.scale), -1)) for _, t in weights if t.given is not None]
    return {
        "tensors": types, "weights": len(given), "per_channel": sum(len(np.unique(s)) > 1 for _, s in given),
        "float_weights": [n.origin[0] for n, t in weights if t.given is None],
    }  # fmt: skip


def _peak(graph: Graph) -> int:
    """Most elements that are alive at once when the nodes run in order."""
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs if name}
    last |= dict.fromkeys(graph.outputs, len(graph.nodes))
    alive = {n: math.prod(graph.tensors[n].shape) for n in graph.inputs}
    peak = sum(alive.values())
    for i, node in enumerate(graph.nodes):
        alive |= {n: math.prod(graph.tensors[n].shape) for n in node.outputs if n}
        peak = max(peak, sum(alive.values()))
        alive = {n: size for n, size in alive.items() if last.get(n, -1) > i}
    return peak


def _targets(model, logits: bool) -> dict[str, str | None]:
    """Target -> None where it can compile the model, else the reason."""
    options = CompileOptions(targets=tuple(BACKENDS), logits=logits, passes={"calibrate": {"samples": 1}})
    try:
        program = lower(quantized_graph(model, options, Watch())[0]).program
    except HwcompError as error:
        return dict.fromkeys(BACKENDS, str(error))
    reasons: dict[str, str | None] = {}
    for target in BACKENDS:
        try:
            BACKENDS[target].supports(program)
            reasons[target] = None
        except HwcompError as error:
            reasons[target] = str(error)
    return reasons
