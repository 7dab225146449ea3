"""IN.npz and OUT.npz: real or stored samples to the integers of the Program, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hwcomp import npz
from hwcomp.errors import UsageError, shown
from hwcomp.pixels import Pixels
from sw_ref.program import Edge, Program

LABELS = "labels"
_NONE: Mapping[str, Pixels] = MappingProxyType({})


def read(path: Path | str, inputs: Collection[str]) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Arrays by name, and `labels` (int64 [samples]) if there are any and no input of the model is called so."""
    arrays = npz.load(path)
    labels = None if LABELS in inputs else arrays.pop(LABELS, None)
    return arrays, None if labels is None else checked_labels(labels)


def checked_labels(labels: np.ndarray) -> np.ndarray:
    """int64 [samples]."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UsageError("'labels' must be integers, one per sample")
    return labels.astype(np.int64)


def check_real(arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The arrays of the model's inputs, with the sample shape `shapes` says. A singleton batch axis may be given too."""
    checked = {}
    for name, shape in shapes.items():
        if name not in arrays:
            have = ", ".join(f"'{shown(n)}'" for n in list(arrays)[:5]) or "nothing"
            raise UsageError(
                f"the data has no array '{shown(name)}'", why=f"it has {have}", fix="name it as the model's input"
            )
        array = arrays[name]
        if array.ndim == len(shape) + 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.shape[1:] != shape or array.ndim != len(shape) + 1:
            raise UsageError(
                f"'{shown(name)}' has shape {array.shape}", why=f"the model takes samples of shape {shape}",
                fix="give it a leading sample axis",
            )  # fmt: skip
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(f"'{shown(name)}' holds NaN or infinity")
        if array.dtype.kind not in "fiu":
            raise UsageError(
                f"'{shown(name)}' is of type {array.dtype}", fix="give floats, or integers of the stored type"
            )
        checked[name] = array
    extra = sorted(set(arrays) - set(shapes))
    if extra:
        raise UsageError(f"the data has an array '{shown(extra[0])}' that is no input of the model")
    counts = {len(a) for a in checked.values()}
    if len(counts) > 1 or not counts or 0 in counts:
        raise UsageError("the inputs do not have the same, non-zero number of samples")
    return checked


def count(arrays: dict[str, np.ndarray]) -> int:
    """Number of samples, as the first array has them; for progress only, before anything is checked."""
    first = next(iter(arrays.values()), np.zeros(0))
    return len(first) if first.ndim else 0


def to_stored(
    program: Program, arrays: dict[str, np.ndarray], pixels: Mapping[str, Pixels] = _NONE
) -> dict[str, np.ndarray]:
    """Stored integers by input name. Floats are quantized; integers must have the stored type.

    `pixels`: the inputs that hold raw pixels (`Built.pixels`).
    """
    checked = check_real(arrays, {n: program.edges[n].shape for n in program.inputs})
    return {name: _stored(program.edges[name], array, pixels.get(name)) for name, array in checked.items()}


def _stored(edge: Edge, array: np.ndarray, pixels: Pixels | None) -> np.ndarray:
    if array.dtype.kind == "f":
        return edge.from_real(array) if pixels is None else pixels.stored(array)
    if array.dtype != edge.dtype:
        raise UsageError(
            f"'{shown(edge.name)}' holds {array.dtype}", why=f"integers must have the stored type {edge.dtype}",
            fix="give real values as float32 otherwise",
        )  # fmt: skip
    return array


def to_real(
    program: Program, arrays: dict[str, np.ndarray], pixels: Mapping[str, Pixels] = _NONE
) -> dict[str, np.ndarray]:
    """What the float model reads, by input name: floats as they are, stored integers as the reals that they stand for."""
    checked = check_real(arrays, {n: program.edges[n].shape for n in program.inputs})
    return {
        name: a if a.dtype.kind == "f" else pixels[name].real(a) if name in pixels else program.edges[name].to_real(a)
        for name, a in checked.items()
    }


def operands(arrays: dict[str, np.ndarray], pixels: Mapping[str, Pixels] = _NONE) -> dict[str, np.ndarray]:
    """Real samples as float graphs behind the pass type_inputs read them, float32."""
    return {n: pixels[n].operand(a) if n in pixels else a.astype(np.float32) for n, a in arrays.items()}


def random_stored(program: Program, samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Uniform over the whole stored type of every input."""
    rng = np.random.default_rng(seed)
    edges = [program.edges[n] for n in program.inputs]
    drawn = {e.name: rng.integers(e.lo, e.hi, (samples, *e.shape), e.dtype, endpoint=True) for e in edges}
    return {e.name: np.where(drawn[e.name] > 0, 1, -1).astype(e.dtype) if e.bipolar else drawn[e.name] for e in edges}


def out_arrays(program: Program, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What OUT.npz holds: `NAME` (float32) and `NAME.q`; indices (ArgMax) as int64 without `.q`."""
    index = {k.outputs[0] for k in program.kernels if k.kind == "argmax"}
    out: dict[str, np.ndarray] = {}
    for name, q in values.items():
        both = {name: q.astype(np.int64)} if name in index else {name: program.edges[name].to_real(q), f"{name}.q": q}
        for key, array in both.items():
            if key in out:
                raise UsageError(f"two tensors would be stored as '{shown(key)}'", fix="rename one in the model")
            out[key] = array
    return out
