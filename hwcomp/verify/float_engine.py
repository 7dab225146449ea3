"""Engine `float`: the original model in onnxruntime, or in our float interpreter where onnxruntime can't load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwcomp.errors import WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.frontend.load import load_model
from hwcomp.types import Tensor
from hwcomp.verify.engine import Progress


def run_model(path: Path, inputs: dict[str, np.ndarray], progress: Progress = lambda n: None) -> dict[str, np.ndarray]:
    """Real samples [samples, *shape] -> real outputs [samples, *shape], one sample at a time where the batch is 1.

    A model that takes or gives integers gets and gives what stands for these reals.
    """
    import onnxruntime as ort

    graph = load_model(path).graph
    ort.set_default_logger_severity(4)
    try:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises its own unrelated types for whatever it can't load
        return _own(graph, inputs, progress)
    axes = dict(zip(graph.inputs, graph.input_axes or [0] * len(graph.inputs), strict=True))
    fixed = any(not graph.batched or s.shape[axes[s.name]] == 1 for s in session.get_inputs() if s.shape)
    total = len(next(iter(inputs.values())))
    step = 1 if fixed else 64
    parts: list[list[np.ndarray]] = []
    start = 0
    while start < total:
        batch = {n: _fed(graph.tensors[n], a[start : start + step]) for n, a in inputs.items()}
        feed = {n: np.moveaxis(a, 0, axes[n]) if graph.batched else a[0] for n, a in batch.items()}
        try:
            values = session.run(list(graph.outputs), feed)
        except Exception as error:
            if step == 1:
                why = (str(error).splitlines() or [""])[0]
                raise WorkFailed("onnxruntime can't run the model", why=why) from None
            step = 1  # a symbolic batch axis that only holds for one sample, as a Reshape to [1, K] leaves behind
            continue
        if graph.output_axes:
            values = [np.moveaxis(v, axis, 0) for v, axis in zip(values, graph.output_axes, strict=True)]
        parts.append(values if graph.batched else [v[None] for v in values])
        start += step
        progress(min(step, total - start + step))
    whole = {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(graph.outputs)}
    return {name: graph.tensors[name].qtype.real(a) if graph.tensors[name].stored else a for name, a in whole.items()}


def _fed(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """Real samples as the model takes them."""
    return tensor.qtype.integers(array) if tensor.stored else array.astype(np.float32)


def _own(graph, inputs: dict[str, np.ndarray], progress: Progress) -> dict[str, np.ndarray]:
    total = len(next(iter(inputs.values())))
    values = run_float(graph, {n: a.astype(np.float32) for n, a in inputs.items()})
    progress(total)
    return values
