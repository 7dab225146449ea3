"""Runs a Graph in float32: the yardstick of the passes, and the float engine where onnxruntime can't load a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.registry import OPS

if TYPE_CHECKING:
    from hwcomp.graph import Graph

# Elements of the largest tensor of one batch, where the caller leaves the choice to `batch_size`.
_BATCH_ELEMENTS = 1 << 24

Observer = Callable[[str, np.ndarray], None]


def batch_size(graph: Graph) -> int:
    """How many samples to run at once so that no tensor takes more than 64 MiB (at least 1)."""
    largest = max(math.prod(t.shape) for t in graph.tensors.values() if not t.is_constant)
    return max(1, _BATCH_ELEMENTS // largest)


def run_float(graph: Graph, inputs: dict[str, np.ndarray], observe: Observer | None = None) -> dict[str, np.ndarray]:
    """Outputs by name, for arrays [N, *shape of a sample] by input name; N is alike for all.

    The shape of a sample leaves out the batch axis where the graph has one. `observe(name, array)` sees each
    non-constant tensor, inputs included, as [N, *shape of a sample], in order of execution. UsageError where an array
    is missing or has the wrong shape.
    """
    checked = _checked(graph, inputs)
    with np.errstate(all="ignore"):  # what must be finite is looked at by the caller, who names the tensor
        return _run_checked(graph, checked, observe)


def _run_checked(graph: Graph, checked: dict[str, np.ndarray], observe: Observer | None) -> dict[str, np.ndarray]:
    if graph.batched:
        return _run(graph, checked, observe)
    # Without a batch axis the operators take one sample at a time.
    rows = [{name: array[i] for name, array in checked.items()} for i in range(len(next(iter(checked.values()))))]
    seen: dict[str, list[np.ndarray]] = {}
    results = [_run(graph, row, (lambda n, a: seen.setdefault(n, []).append(a)) if observe else None) for row in rows]
    for name, arrays in seen.items():
        observe(name, np.stack(arrays))
    return {name: np.stack([r[name] for r in results]) for name in graph.outputs}


def _checked(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {}
    for name in graph.inputs:
        sample = graph.tensors[name].shape[1 if graph.batched else 0 :]
        if name not in inputs:
            raise UsageError(f"no data for input '{shown(name)}'")
        array = np.asarray(inputs[name])
        if array.ndim == 0 or array.shape[1:] != sample or len(array) == 0:
            why = f"a sample axis and {list(sample)} are needed, the array is {list(array.shape)}"
            raise UsageError(f"data for input '{shown(name)}' has the wrong shape", why=why)
        arrays[name] = array.astype(np.float32, copy=False)
    if len({len(a) for a in arrays.values()}) != 1:
        raise UsageError("the inputs have different numbers of samples")
    return arrays


def _run(graph: Graph, inputs: dict[str, np.ndarray], observe: Observer | None) -> dict[str, np.ndarray]:
    values = dict(inputs)
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    if observe:
        for name, array in inputs.items():
            observe(name, array)
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            given = [_value(graph, values, name) for name in node.inputs]
            for name, array in zip(node.outputs, OPS[node.op].evaluate(node, given), strict=True):
                values[name] = array
                if observe:
                    observe(name, array)
            for name in (*node.inputs, *node.outputs):
                if last_use.get(name, i) == i and name not in graph.outputs:
                    values.pop(name, None)
    return {name: values[name] for name in graph.outputs}


def _value(graph: Graph, values: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    if not name:
        return None
    return graph.tensors[name].data if graph.tensors[name].is_constant else values[name]
