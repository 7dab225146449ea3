"""Quantized types, tensors and nodes of the graph: frozen dataclasses, shared by all stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hwcomp.errors import HwcompError

# Element types of ONNX that hold quantized values -> (bits, signed).
INTEGERS = {
    "INT8": (8, True), "UINT8": (8, False), "INT16": (16, True), "UINT16": (16, False), "INT4": (4, True), "UINT4": (4, False),
}  # fmt: skip

Scheme = Literal["affine", "pow2", "bipolar", "ternary"]


@dataclass(frozen=True)
class QType:
    """How integers stand for reals: real = (q - zero) * scale. `axis` is the channel axis where `scale` has several.

    `narrow`: the type's least integer (its largest where unsigned) does not occur. bipolar: 1 bit, -1 and +1.
    """

    bits: int
    signed: bool
    scheme: Scheme
    scale: tuple[float, ...]
    zero: int = 0
    axis: int | None = None
    narrow: bool = False

    def __post_init__(self):
        if not 1 <= self.bits <= 64:
            raise HwcompError(f"a quantized type of {self.bits} bits", why="1 to 64 are possible")
        if self.axis is None and len(self.scale) != 1:
            raise HwcompError("a per-tensor type needs exactly one scale")
        if not all(np.isfinite(s) and s > 0 for s in self.scale):
            raise HwcompError("a scale is not a positive finite number")

    @property
    def lo(self) -> int:
        if self.scheme == "bipolar":
            return -1
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        if self.scheme == "bipolar":
            return 1
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest integer, without an end that `narrow` leaves out."""
        return self.lo + (1 if self.narrow and self.signed else 0), self.hi - (
            1 if self.narrow and not self.signed else 0
        )

    def scales(self) -> np.ndarray:
        """float32 [channels or 1]."""
        return np.asarray(self.scale, np.float32)

    def quantize(self, x: float) -> int:
        """One real value to its stored integer, clipped (ONNX QuantizeLinear: rint, then the zero point)."""
        q = float(np.rint(np.float32(x) / np.float32(self.scale[0]))) + self.zero
        return int(min(max(q, self.lo), self.hi))

    def integers(self, x: np.ndarray) -> np.ndarray:
        """Real values to stored integers in the smallest NumPy type, as ONNX QuantizeLinear (one scale for all)."""
        q = np.rint(np.asarray(x, np.float32) / np.float32(self.scale[0])).astype(np.float64) + self.zero
        dtype = f"{'' if self.signed else 'u'}int{8 if self.bits <= 8 else 16 if self.bits <= 16 else 32}"
        return np.clip(q, self.lo, self.hi).astype(dtype)

    def real(self, q: np.ndarray) -> np.ndarray:
        """float32 real values of stored integers, as ONNX DequantizeLinear (one scale for all)."""
        return (q.astype(np.int64) - self.zero).astype(np.float32) * np.float32(self.scale[0])

    def held(self, x: np.ndarray) -> np.ndarray:
        """float32: the real values that the stored integers of `x` stand for."""
        return self.real(self.integers(x))


@dataclass(frozen=True)
class Given:
    """Integers that a model states for a constant: real value = integers * scale, the zero point taken off.

    Both have the shape of the constant; `scale` is float32.
    """

    integers: np.ndarray
    scale: np.ndarray

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> Given:
        """The same values in the order or shape that `move` gives them."""
        return Given(move(self.integers), move(self.scale))

    def times(self, factor: np.ndarray) -> Given:
        """The products with reals that broadcast: the scales take them, but for their signs."""
        scale = np.where(factor == 0, self.scale, self.scale * np.abs(factor)).astype(np.float32)
        return Given(self.integers * np.sign(factor).astype(self.integers.dtype), scale)


@dataclass(frozen=True)
class Codes:
    """How integer weights [M, ...] are sums of codewords (sw_ref.vectors has the meaning, docs/program.md the words).

    `codebook` int8 [stages, parts, codewords, size], `index` uint8 [stages, M, vectors]; `dims`, `perm`: the order of a row.
    """

    codebook: np.ndarray
    index: np.ndarray
    dims: tuple[int, ...]
    perm: tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One value of a graph. `shape` is the ONNX shape with a batch axis of 1 where the model has one.

    `dtype` is "float", "int64", "bool" (ONNX values before quantization), or for constants of an already quantized model
    the integer type. `qtype` is set by the quantizer, or by the model: then `stored` is the ONNX element type of the
    integers that the model itself holds there (INT8, UINT8, ...); the graph computes with the real values they stand for.
    `data` holds a constant (float32/int64; integers under `qtype`), `given` the integers that the model states for it,
    `codes` the codewords that these are sums of. `range`: provable real interval (lo, hi) of a float tensor, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float"
    data: np.ndarray | None = None
    qtype: QType | None = None
    range: tuple[float, float] | None = None
    stored: str = ""
    given: Given | None = None
    codes: Codes | None = None

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    def with_(self, **changes: Any) -> Tensor:
        return replace(self, **changes)


@dataclass(frozen=True)
class Node:
    """One operation: `op` names an entry of the registry, `attrs` is that entry's typed dataclass.

    `origin`: names of the ONNX nodes this one stands for, the first being the one that messages cite. An empty input
    name is an optional input that is absent.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Any = None
    origin: tuple[str, ...] = ()

    def with_(self, **changes: Any) -> Node:
        return replace(self, **changes)


def per_channel(value: Tensor, target: Tensor, axis: int) -> np.ndarray | None:
    """`value` as one float per channel of `target` along `axis`, or None where it varies along another axis."""
    rank = len(target.shape)
    if len(value.shape) > rank:
        return None
    shape = (1,) * (rank - len(value.shape)) + value.shape
    axis %= rank
    if any(d != 1 for i, d in enumerate(shape) if i != axis) or shape[axis] not in (1, target.shape[axis]):
        return None
    return np.broadcast_to(value.data.reshape(-1), (target.shape[axis],)).astype(np.float32)
