"""The Program: the integer form of a network, the same for every target. Specified in docs/program.md.

A Program holds integers and names only. The scale of an edge is stored as the bit pattern of a float32; it is a label
for people and for the boundary (real value = (q - zero) * scale): no kernel reads it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sw_ref import vectors

SCHEMA = 1


@dataclass(frozen=True)
class Layout:
    """The order in which an edge carries its elements.

    Carried order = arange(n).reshape(dims).transpose(perm).ravel(), as indices into the logical row-major order. So a
    reshape of the logical shape leaves a Layout as it is, and Flatten after a channels-last convolution is free.
    Always canonical: no dims of 1, no two neighbours that stay neighbours.
    """

    dims: tuple[int, ...]
    perm: tuple[int, ...]

    def __post_init__(self):
        if sorted(self.perm) != list(range(len(self.dims))):
            raise ValueError(f"perm {self.perm} does not permute {len(self.dims)} dims")
        dims, perm = _canonical(self.dims, self.perm)
        object.__setattr__(self, "dims", dims)
        object.__setattr__(self, "perm", perm)

    @classmethod
    def row_major(cls, shape) -> Layout:
        return cls((math.prod(shape),), (0,))

    @classmethod
    def channels_last(cls, shape) -> Layout:
        """shape (C, spatial...) carried as (spatial..., C)."""
        rank = len(shape)
        return cls(tuple(shape), (*range(1, rank), 0)) if rank > 1 else cls.row_major(shape)

    @property
    def size(self) -> int:
        return math.prod(self.dims)

    def order(self) -> np.ndarray:
        """int64 [size]: logical row-major index of each carried element."""
        return np.arange(self.size).reshape(self.dims).transpose(self.perm).ravel()


def _canonical(dims, perm):
    keep = [i for i, d in enumerate(dims) if d != 1]
    if not keep:
        return (1,), (0,)
    order = [keep.index(p) for p in perm if p in keep]
    sizes = [dims[i] for i in keep]
    runs: list[list[int]] = []  # runs of logical neighbours that are carried as neighbours, in carried order
    for axis in order:
        if runs and runs[-1][-1] == axis - 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    logical = sorted(runs)
    return tuple(math.prod(sizes[i] for i in run) for run in logical), tuple(logical.index(run) for run in runs)


@dataclass(frozen=True)
class Edge:
    """One tensor of a Program. `shape` is the logical ONNX shape of one sample; `lo`..`hi` is provable.

    `bipolar`: 1 bit that stands for -1 (bit 0) or +1 (bit 1); values are -1 and +1 wherever they are integers.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    signed: bool
    lo: int
    hi: int
    scale_bits: int
    zero: int
    layout: Layout
    bipolar: bool = False

    def __post_init__(self):
        if self.bipolar and (self.bits, self.signed) != (1, True):
            raise ValueError(f"edge {self.name!r}: a bipolar tensor has 1 bit, signed")
        least, most = self.type_range
        if not least <= self.lo <= self.hi <= most:
            raise ValueError(f"edge {self.name!r}: range [{self.lo}, {self.hi}] leaves its {self.bits}-bit type")
        if self.layout.size != self.size:
            raise ValueError(f"edge {self.name!r}: layout carries {self.layout.size} elements, shape {self.shape}")

    @property
    def type_range(self) -> tuple[int, int]:
        return type_range(self.bits, self.signed, self.bipolar)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def scale(self) -> np.float32:
        return np.uint32(self.scale_bits).view(np.float32)

    @property
    def dtype(self) -> np.dtype:
        """The smallest NumPy integer type that stores one element."""
        size = next(n for n in (8, 16, 32, 64) if n >= self.bits)
        return np.dtype(f"{'int' if self.signed else 'uint'}{size}")

    def to_real(self, q: np.ndarray) -> np.ndarray:
        """float32 real values of stored integers: (q - zero) * scale, one float32 product."""
        return (np.asarray(q, np.int64) - self.zero).astype(np.float32) * self.scale

    def from_real(self, x: np.ndarray) -> np.ndarray:
        """The boundary quantizer: clip(rint(x / scale) + zero), in float32 as ONNX QuantizeLinear; bipolar: the sign.

        It clips to the declared range, which may be narrower than the type.
        """
        if self.bipolar:
            return np.where(np.asarray(x) >= 0, 1, -1).astype(self.dtype)
        q = np.rint(np.asarray(x, np.float32) / self.scale).astype(np.float64) + self.zero
        return np.clip(q, self.lo, self.hi).astype(self.dtype)


def type_range(bits: int, signed: bool, bipolar: bool = False) -> tuple[int, int]:
    if bipolar:
        return -1, 1
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


@dataclass(frozen=True)
class Kernel:
    """One operation. `params` holds JSON values, `constants` integer arrays; docs/program.md lists both per kind.

    `origin`: the names of the ONNX nodes that became this kernel, for messages.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    origin: tuple[str, ...] = ()

    def __post_init__(self):
        for key, array in self.constants.items():
            if array.dtype.kind not in "iu":
                raise ValueError(f"kernel {self.name!r}: constant {key} is {array.dtype}, not an integer")


@dataclass(frozen=True)
class Program:
    """Kernels in an order of execution, and the edges between them by name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    edges: dict[str, Edge]
    kernels: tuple[Kernel, ...]

    def __post_init__(self):
        known = set(self.inputs)
        for k in self.kernels:
            missing = [n for n in k.inputs if n not in known]
            if missing:
                raise ValueError(f"kernel {k.name!r} reads {missing[0]!r} before it is written")
            known.update(k.outputs)
            if "vectors" in k.params or {"codebook", "index"} & set(k.constants):
                vectors.check(k)
        for name in (*self.outputs, *known):
            if name not in known or name not in self.edges:
                raise ValueError(f"{name!r} is not an edge of the program")

    def producer(self, edge: str) -> Kernel | None:
        return next((k for k in self.kernels if edge in k.outputs), None)

    def consumers(self, edge: str) -> list[Kernel]:
        return [k for k in self.kernels if edge in k.inputs]

    def to_json(self) -> dict[str, Any]:
        """Everything but the constants, as JSON values; constants are listed by shape, type and digest."""
        return {
            "schema": SCHEMA,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "edges": [_edge_json(e) for e in self.edges.values()],
            "kernels": [_kernel_json(k) for k in self.kernels],
        }

    def constants(self) -> dict[str, np.ndarray]:
        """All constants under the keys `k<kernel index>.<constant>`."""
        return {f"k{i}.{c}": k.constants[c] for i, k in enumerate(self.kernels) for c in sorted(k.constants)}

    def sha256(self) -> str:
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_json(cls, data: dict[str, Any], constants: dict[str, np.ndarray]) -> Program:
        if data.get("schema") != SCHEMA:
            raise ValueError(f"program schema {data.get('schema')} is not {SCHEMA}")
        edges = {}
        for e in data["edges"]:
            layout = Layout(tuple(e["layout"]["dims"]), tuple(e["layout"]["perm"]))
            plain = {k: e[k] for k in ("name", "bits", "signed", "lo", "hi", "scale_bits", "zero")}
            bipolar = e.get("bipolar", False)
            edges[e["name"]] = Edge(shape=tuple(e["shape"]), layout=layout, bipolar=bipolar, **plain)
        kernels = []
        for i, k in enumerate(data["kernels"]):
            values = {c: constants[f"k{i}.{c}"] for c in k["constants"]}
            for c, array in values.items():
                if _constant_json(array) != k["constants"][c]:
                    raise ValueError(
                        f"constant {c!r} of kernel {k['name']!r} is not the one the program was saved with"
                    )
            kernels.append(
                Kernel(
                    k["kind"],
                    k["name"],
                    tuple(k["inputs"]),
                    tuple(k["outputs"]),
                    k["params"],
                    values,
                    tuple(k["origin"]),
                )
            )
        return cls(tuple(data["inputs"]), tuple(data["outputs"]), edges, tuple(kernels))


def _edge_json(e: Edge) -> dict[str, Any]:
    return {
        "name": e.name, "shape": list(e.shape), "bits": e.bits, "signed": e.signed, "lo": e.lo, "hi": e.hi,
        "scale_bits": e.scale_bits, "zero": e.zero,
        "layout": {"dims": list(e.layout.dims), "perm": list(e.layout.perm)},
        **({"bipolar": True} if e.bipolar else {}),
    }  # fmt: skip


def _constant_json(array: np.ndarray) -> dict[str, Any]:
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    digest = hashlib.sha256(little.tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": array.dtype.name, "sha256": digest}


def _kernel_json(k: Kernel) -> dict[str, Any]:
    return {
        "kind": k.kind, "name": k.name, "inputs": list(k.inputs), "outputs": list(k.outputs), "origin": list(k.origin),
        "params": k.params, "constants": {c: _constant_json(k.constants[c]) for c in sorted(k.constants)},
    }  # fmt: skip
