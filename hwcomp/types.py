"""Quantized types, tensors and nodes of the graph: frozen dataclasses, shared by all stages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hwcomp.errors import HwcompError

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


@dataclass(frozen=True)
class Tensor:
    """One value of a graph. `shape` is the ONNX shape with a batch axis of 1 where the model has one.

    `dtype` is "float", "int64", "bool" (ONNX values before quantization); `qtype` is set by the quantizer. `data` holds a
    constant (float32/int64; integers under `qtype`). `range`: provable real interval (lo, hi) of a float tensor, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float"
    data: np.ndarray | None = None
    qtype: QType | None = None
    range: tuple[float, float] | None = None

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
