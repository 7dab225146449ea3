"""Engine `reference`: the NumPy interpreter of sw_ref."""

from __future__ import annotations

import numpy as np

from hwcomp.verify.engine import Built, Engine, Progress, RunResult
from sw_ref import interp
from sw_ref.program import Program

_BATCH_ELEMENTS = 1 << 24  # window elements per batch: bounds memory


class Reference(Engine):
    name = "reference"

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        return RunResult(run_program(built.program, inputs, taps, progress))


def run_program(
    program: Program, inputs: dict[str, np.ndarray], taps: bool = False, progress: Progress = lambda n: None
) -> dict[str, np.ndarray]:
    """Stored integers [samples, *shape] -> outputs, or every edge with `taps`, in execution order."""
    total = len(next(iter(inputs.values())))
    step = max(1, min(256, _BATCH_ELEMENTS // _widest(program)))
    wanted = list(program.edges) if taps else list(program.outputs)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, total, step):
        batch = {n: a[start : start + step] for n, a in inputs.items()}

        def see(name: str, value: np.ndarray) -> None:
            if name in parts:
                parts[name].append(value)

        interp.run(program, batch, see)
        progress(min(step, total - start))
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}


def _widest(program: Program) -> int:
    """Elements of the largest intermediate of one sample, the windows of a convolution included."""
    sizes = [e.size for e in program.edges.values()]
    for k in program.kernels:
        if k.kind == "conv2d":
            sizes.append(
                program.edges[k.outputs[0]].size // k.constants["weight"].shape[0] * k.constants["weight"][0].size
            )
    return max(sizes)
