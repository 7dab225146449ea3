"""Programs whose weights are zero in patterns: what the plans of all targets are to recognise from the integers alone."""

import numpy as np

from hwcomp.backends import _c_kernels
from hwcomp.backends.c import CBackend
from hwcomp.plan import row_steps
from hwcomp.plan.weight_forms import Candidate, granted
from sw_ref.program import Program
from tests.program_factory import Builder


def blocks(rng, shape, rows: int, columns: int, density: float) -> np.ndarray:
    """bool [M, K]: `density` of its blocks, at least one."""
    down, across = -(-shape[0] // rows), -(-shape[1] // columns)
    kept = np.zeros(down * across, bool)
    kept[rng.permutation(kept.size)[: max(1, round(density * kept.size))]] = True
    return np.kron(kept.reshape(down, across), np.ones((rows, columns), bool))[: shape[0], : shape[1]]


def n_of_m(rng, shape, n: int, m: int, shared: int) -> np.ndarray:
    """bool [M, K]: `n` of every `m` columns, the same for `shared` rows."""
    kept = np.argsort(rng.random((shape[0] // shared, shape[1] // m, m)), axis=2) < n
    return np.repeat(kept.reshape(shape[0] // shared, -1), shared, axis=0)


PATTERNS = {
    "blocks": lambda rng, shape: blocks(rng, shape, 4, 4, 0.4),
    "2:4 shared": lambda rng, shape: (
        n_of_m(rng, shape, 2, 4, 4) if shape[1] % 4 == 0 else blocks(rng, shape, 4, 2, 0.5)
    ),
    "single": lambda rng, shape: blocks(rng, shape, 1, 1, 0.1),
    "rows": lambda rng, shape: blocks(rng, shape, 4, shape[1], 0.5),
}


def masked(rng, pattern: str, m: int, channels: int, kernel=(1, 1), low: int = -127) -> np.ndarray:
    """Weights [m, channels, *kernel] that are zero where the pattern of [m, kernel rows, columns, channels] says so."""
    kept = PATTERNS[pattern](rng, (m, channels * kernel[0] * kernel[1]))
    weight = np.where(kept, rng.integers(low, 128, kept.shape) | 1, 0)
    return weight.reshape(m, *kernel, channels).transpose(0, 3, 1, 2)


def chain(pattern: str, seed: int = 3, low: int = -127, signed: bool = True) -> Program:
    """Convolutions that fill columns in every way, one in groups, and dense layers, one over several rows' worth of features."""
    rng = np.random.default_rng(seed)
    b = Builder(rng).input((6, 9, 8), signed=signed)

    def conv(m, kernel, **how):
        channels = b.x.shape[0] // how.get("groups", 1)
        b.conv2d(m, kernel, weight=masked(rng, pattern, m, channels, kernel, low), **how)

    conv(8, (3, 3), pads=(1, 1, 1, 1))
    conv(16, (1, 1))
    conv(12, (3, 2), strides=(2, 1))
    conv(8, (3, 3), pads=(1, 0, 0, 1), groups=2, signed=False)
    conv(20, (2, 2), dilations=(1, 2))
    b.flatten()
    b.dense(16, weight=masked(rng, pattern, 16, b.x.size, low=low)[..., 0, 0])
    b.dense(9, weight=masked(rng, pattern if pattern != "2:4 shared" else "blocks", 9, 16, low=low)[..., 0, 0])
    return b.program()


def short_chain(pattern: str, seed: int = 4, signed: bool = True) -> Program:
    """Two convolutions, the second in groups, and a dense layer: every kind of engine that leaves beats out."""
    rng = np.random.default_rng(seed)
    b = Builder(rng).input((4, 5, 4), signed=signed)
    b.conv2d(8, (3, 3), pads=(1, 1, 1, 1), weight=masked(rng, pattern, 8, 4, (3, 3)))
    b.conv2d(8, (2, 3), strides=(1, 2), groups=2, weight=masked(rng, pattern, 8, 4, (2, 3)))
    b.flatten()
    return b.dense(8, weight=masked(rng, pattern, 8, b.x.size)[..., 0, 0]).program()


def planned(program: Program) -> float:
    """Instructions that the C plan expects of its dot products, in the forms that it chose with the scratch that it gave them."""
    total = 0.0
    for kernel, step in zip(program.kernels, CBackend().plan(program, {}).steps, strict=True):
        if kernel.kind not in ("conv2d", "dense") or kernel.params.get("groups", 1) > 1:
            continue
        rows, p = _c_kernels.rows_of(program, kernel), kernel.params
        count = program.edges[kernel.outputs[0]].size // len(rows)
        form = Candidate(step.weights, 0, row_steps.instructions(rows))
        copied = kernel.kind == "conv2d" and (
            any(p["pads"]) or kernel.constants["weight"].shape[1] * p["kernel"][1] % 4 != 0
        )
        total += granted(form, rows, count, step.scratch, copied)
    return total
