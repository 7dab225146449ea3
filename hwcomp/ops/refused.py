"""Operators that are refused with a reason of their own; of others the message only says that they are not available."""

from __future__ import annotations

from hwcomp.ops.base import Op
from hwcomp.registry import op

_BOXES = "the number of its results depends on the values; buffers and streams have fixed sizes"
_DATA = "its result's shape or places depend on the values; kernels have fixed ones"


def _refuse(name: str, why: str, fix: str) -> None:
    op(name)(type(name, (Op,), {"refused": (why, fix), "__doc__": "Not taken."}))


_refuse(
    "LRN", "LRN divides every element by a power of a sum over its neighbours' squares, which has no kernel",
    "replace it by BatchNormalization and train again, as networks since 2015 do",
)  # fmt: skip
_refuse(
    "InstanceNormalization", "InstanceNormalization takes mean and variance from each sample while the network runs",
    "train with BatchNormalization",
)  # fmt: skip
_refuse(
    "GroupNormalization", "GroupNormalization takes mean and variance from each sample while the network runs",
    "train with BatchNormalization",
)  # fmt: skip
_refuse(
    "MeanVarianceNormalization", "MeanVarianceNormalization takes mean and variance from each sample while the network runs",
    "train with BatchNormalization",
)  # fmt: skip
_refuse(
    "LpNormalization",
    "LpNormalization divides by the length of each vector",
    "leave it out, or do it behind the network",
)
_refuse("NonMaxSuppression", _BOXES, "cut the model in front of it, and do it on the processor")
_refuse("NonZero", _BOXES, "cut the model in front of it, and do it on the processor")
_refuse(
    "TopK", "TopK sorts; of the largest element ArgMax gives the place and ReduceMax the value", "use these for k = 1"
)
_refuse("GatherElements", _DATA, "use Gather with constant indices")
_refuse("GatherND", _DATA, "use Gather with constant indices")
_refuse("ScatterElements", _DATA, "use Concat and Slice")
_refuse("ScatterND", _DATA, "use Concat and Slice")
_refuse("OneHot", _DATA, "feed the one-hot vector as the input")
_refuse(
    "CumSum", "CumSum adds up along an axis step by step, which has no kernel", "use MatMul with a triangle of ones"
)
_refuse("Einsum", "Einsum has no kernel of its own", "write it as MatMul, Transpose and Mul")
_refuse("RoiAlign", _DATA, "cut the model in front of it")
_refuse("GridSample", _DATA, "cut the model in front of it")
