"""Accuracy of a product beside the float model's, and where in the network the quantization noise comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwcomp import samples, tuning
from hwcomp.errors import UsageError, shown
from hwcomp.frontend.load import load_model
from hwcomp.graph import Graph
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.verify import engines
from hwcomp.verify.engine import Built, Progress
from hwcomp.verify.float_engine import run_model
from hwcomp.verify.noise import LayerNoise, layer_noise

_NOISE_SAMPLES = 256


@dataclass(frozen=True)
class Evaluation:
    """Fractions of samples; `accuracy` and `float_accuracy` are None without labels. `agreement`: same decision as float."""

    engine: str
    samples: int
    accuracy: float | None
    float_accuracy: float | None
    agreement: float
    # On the first 256 of the samples; none of a pruned network, whose tensors the model does not have.
    layers: tuple[LayerNoise, ...]

    @property
    def loss_points(self) -> float | None:
        """Accuracy lost against float, in percentage points."""
        return None if self.accuracy is None else 100 * (self.float_accuracy - self.accuracy)


def evaluate(
    built: Built, inputs: dict[str, np.ndarray], labels: np.ndarray | None = None, engine: str = "reference",
    progress_for: Callable[[str, int], Progress] = lambda name, total: lambda n: None,
) -> Evaluation:  # fmt: skip
    """`inputs`: real samples by input name. The decision is the largest element of the first output, or the index it holds."""
    program = built.program
    total = samples.count(inputs)
    if labels is not None and len(labels) != total:
        raise UsageError(f"{len(labels)} labels for {total} samples")
    stored = samples.to_stored(program, inputs, built.pixels)
    real = samples.to_real(program, inputs, built.pixels)
    out = program.outputs[0]
    is_index = (k := program.producer(out)) is not None and k.kind == "argmax"
    classes = program.edges[out].size
    if labels is not None and not is_index and not ((labels >= 0) & (labels < classes)).all():
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise UsageError(
            f"label {wrong} for {classes} classes", why=f"output '{shown(out)}' has {classes} elements",
            fix="number the classes from 0",
        )  # fmt: skip
    got = engines.engine(engine).run(built, stored, False, progress_for(engine, total)).values[out]
    want = run_model(built.dir / "model.onnx", real, progress_for("float", total))[out]
    mine, theirs = decisions(got, is_index), decisions(want, is_index)
    few = {n: a[:_NOISE_SAMPLES] for n, a in real.items()}
    return Evaluation(
        engine, total,
        None if labels is None else float((mine == labels).mean()),
        None if labels is None else float((theirs == labels).mean()),
        float((mine == theirs).mean()),
        () if "prune" in built.manifest["notes"] else layer_noise(fused_float_graph(built), program, few, built.pixels),
    )  # fmt: skip


def decisions(values: np.ndarray, is_index: bool) -> np.ndarray:
    """Per sample the position of the largest element, or the index that the tensor holds."""
    flat = values.reshape(len(values), -1)
    return flat[:, 0].astype(np.int64) if is_index else flat.argmax(axis=1)


def fused_float_graph(built: Built) -> Graph:
    """The model after the passes that came before `quantize` in this product's compile: the same tensor names.

    What zeros and chains of low rank lose is noise: they were chosen with data that nobody has here.
    """
    options = built.manifest["options"]
    passes = configured(options["passes"])
    before = passes[: [p.name for p in passes].index("quantize")]
    before = [p for p in before if p.name not in ("calibrate", "sparsify", "low_rank")]
    budget = options.get("pe_simd_budget")
    ctx = PassContext(
        logits=options["logits"], input_types=built.pixels, requantize=options.get("requantize", False),
        hardware=tuning.costs(budget), tuned=tuning.tuned(options.get("tune_for"), budget),
    )  # fmt: skip
    return run_passes(load_model(built.dir / "model.onnx").graph, ctx, before)
