"""Raw uint8 pixels as the input of a network that was trained on x = (p - mean) / std."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.types import QType

MOST = 255


@dataclass(frozen=True)
class Pixels:
    """`mean` and `std` in pixel units (0..255), one for all channels or one per channel. UsageError where they can't be."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        for what, values in (("mean", self.mean), ("std", self.std)):
            if not values or not all(math.isfinite(v) and abs(v) < 1e6 for v in values):
                raise UsageError(
                    f"the {what} of uint8 pixels is {list(values)}", fix="give numbers in pixel units, 0 to 255"
                )
        if min(self.std) < 1e-6:
            raise UsageError(f"the std of uint8 pixels is {list(self.std)}", fix="give positive numbers")
        if len(self.mean) != len(self.std) and 1 not in (len(self.mean), len(self.std)):
            raise UsageError(
                f"{len(self.mean)} means and {len(self.std)} stds", fix="give one of each, or one per channel"
            )

    @classmethod
    def parse(cls, text: str) -> Pixels:
        """`uint8,mean,std`; values of channels are separated by `:`. UsageError."""
        parts = text.split(",")
        if parts[0] != "uint8" or len(parts) != 3:
            fix = "write uint8,MEAN,STD with x = (pixel - MEAN) / STD, per channel as 1:2:3"
            raise UsageError(f"'{shown(text)}' is not a type of an input", fix=fix)
        try:
            mean, std = (tuple(float(v) for v in part.split(":")) for part in parts[1:])
        except ValueError:
            raise UsageError(f"'{shown(text)}' has a mean or std that is no number") from None
        return cls(mean, std)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Pixels:
        return cls(tuple(map(float, data["mean"])), tuple(map(float, data["std"])))

    def text(self) -> str:
        """For people."""
        mean, std = (":".join(f"{v:.10g}" for v in values) for values in (self.mean, self.std))
        return f"raw uint8 pixels p, x = (p - {mean}) / {std}"

    @property
    def zero(self) -> int | None:
        """The pixel that stands for 0.0 in all channels, if there is one."""
        one = self.mean[0]
        return int(one) if len(set(self.mean)) == 1 and one == int(one) and 0 <= one <= MOST else None

    @property
    def is_affine(self) -> bool:
        """Whether one scale and an integer zero point say it all: what an integer type holds."""
        return self.zero is not None and len(set(self.std)) == 1

    def qtype(self) -> QType:
        """The type of the stored pixels. Its reals are x where `is_affine`, else p - zero (zero 0 where there is none)."""
        scale = float(np.float32(1 / self.std[0])) if self.is_affine else 1.0
        return QType(8, False, "affine", (scale,), self.zero or 0)

    def affine(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """float64 (mean, std) that broadcast to a sample of this shape: along its first axis, or the last one of a map."""
        count = max(len(self.mean), len(self.std))
        if count == 1:
            return np.float64(self.mean[0]), np.float64(self.std[0])
        axis = 0 if shape[:1] == (count,) else len(shape) - 1 if len(shape) > 2 and shape[-1] == count else None
        if axis is None:
            raise UsageError(
                f"{count} means or stds for an input of shape {list(shape)}", why="it does not have that many channels",
                fix="give one for all, or one per channel",
            )  # fmt: skip
        along = [1] * len(shape)
        along[axis] = -1
        return tuple(np.broadcast_to(np.array(v), (count,)).reshape(along) for v in (self.mean, self.std))

    def real(self, p: np.ndarray) -> np.ndarray:
        """Stored pixels [samples, *shape] -> float32 x."""
        mean, std = self.affine(p.shape[1:])
        return ((p.astype(np.float64) - mean) / std).astype(np.float32)

    def stored(self, x: np.ndarray) -> np.ndarray:
        """Real x [samples, *shape] -> the nearest pixels, uint8."""
        mean, std = self.affine(x.shape[1:])
        return np.clip(np.rint(x.astype(np.float64) * std + mean), 0, MOST).astype(np.uint8)

    def beyond(self, x: np.ndarray) -> float:
        """The part of real x [samples, *shape] that no pixel stands for, by more than half a step: from 0 to 1."""
        mean, std = self.affine(x.shape[1:])
        p = np.rint(x.astype(np.float64) * std + mean)
        return float(((p < 0) | (p > MOST)).mean())

    def operand(self, x: np.ndarray) -> np.ndarray:
        """Real x [samples, *shape] -> float32 reals of `qtype`, of the nearest pixels: what graphs behind the pass
        type_inputs read."""
        q = self.qtype()
        return (self.stored(x).astype(np.float32) - np.float32(q.zero)) * np.float32(q.scale[0])

    def interval(self) -> tuple[float, float]:
        """The range of x over all pixels and channels."""
        mean, std = np.broadcast_arrays(self.mean, self.std)
        return float((-mean / std).min()), float(((MOST - mean) / std).max())
