"""What the operators of quantized models share: their scales and zero points, and the types these make.

The graph computes with real values everywhere: a tensor of integers is the real values that they stand for, with its type
beside it. An operator on integers (QLinearConv) becomes DequantizeLinear, the operator on reals, QuantizeLinear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import shown
from hwcomp.registry import OPS
from hwcomp.types import INTEGERS, Given, QType

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node, Tensor

_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class QuantizeAttrs:
    """`qtype`: one scale and one zero point for the whole tensor; `stored`: its ONNX name."""

    qtype: QType
    stored: str


@dataclass(frozen=True)
class RetypeAttrs:
    """Integers of the type `source`, seen as `qtype`."""

    source: QType
    qtype: QType
    stored: str


@dataclass(frozen=True)
class Scaling:
    """`scale` float32 and `zero` int64, both of one size: 1, or one element per index of an axis."""

    scale: np.ndarray
    zero: np.ndarray

    def along(self, axis: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Both shaped to broadcast against a tensor of `rank` axes."""
        shape = [1] * rank
        if self.scale.size > 1:
            shape[axis] = -1
        return self.scale.reshape(shape), self.zero.reshape(shape)


def scaling(node: OnnxNode, ctx: ImportContext, scale: int | None, zero: int, stored: str) -> Scaling:
    """The scale and zero point at these inputs of `node`, for integers of type `stored`.

    An absent zero point is 0; `scale` None: the operator has none, integers stand for themselves.
    """
    values = np.ones(1, np.float32)
    if scale is not None:
        values = ctx.constant(node, scale, "scale", finite=False)
        what = f"the scale of {node.op_type}"
        if values.ndim > 1 and values.size > 1:
            why = "one value, or one per channel, is available"
            raise node.unsupported(f"{what} has shape {list(values.shape)}", why)
        if not (np.isfinite(values) & (values > 0)).all():
            wrong = values[~(np.isfinite(values) & (values > 0))].flat[0]
            raise node.model_error(f"{what} has the value {wrong:g}", "scales must be positive and finite")
    offsets = np.zeros(1, np.int64)
    if node.input(zero):
        tensor = ctx.tensor(node, zero)
        if not tensor.is_constant:
            why = f"'{shown(tensor.name)}' depends on an input of the network"
            raise node.unsupported(f"the zero point of {node.op_type} is not a constant", why)
        if tensor.stored != stored:
            have = tensor.stored or tensor.dtype
            raise node.model_error(f"the zero point of {node.op_type} is {have}", f"the integers are {stored}")
        offsets = tensor.data.astype(np.int64).reshape(-1)
        if scale is None:
            values = np.ones(offsets.size, np.float32)
        if offsets.size not in (1, values.size) or (tensor.data.ndim > 1 and offsets.size > 1):
            why = f"the scale has {values.size} values, the zero point {offsets.size}"
            raise node.model_error(f"scale and zero point of {node.op_type} do not fit", why)
    return Scaling(values.reshape(-1), np.broadcast_to(offsets, (values.size,)))


def need_axis(node: OnnxNode, tensor: Tensor, s: Scaling, axis: int) -> None:
    """ModelError unless there is one scale, or one for each index of `axis` of `tensor`."""
    if s.scale.size > 1 and (axis >= len(tensor.shape) or tensor.shape[axis] != s.scale.size):
        why = f"'{shown(tensor.name)}' has shape {list(tensor.shape)}, the scale {s.scale.size} values for axis {axis}"
        raise node.model_error(f"the scale of {node.op_type} does not fit", why)


def integers_of(node: OnnxNode, tensor: Tensor, what: str, *, wide: bool = False) -> str:
    """The ONNX type of integers that a model holds (`wide`: INT32 too, as biases are)."""
    if tensor.stored in INTEGERS or (wide and tensor.stored == "INT32"):
        return tensor.stored
    have = tensor.stored or ("float32" if tensor.dtype == "float" else tensor.dtype)
    known = ", ".join((*INTEGERS, *(("INT32",) if wide else ())))
    raise node.model_error(f"the {what} of {node.op_type} holds {have} values", f"it must be one of {known}")


def type_of(node: OnnxNode, stored: str, s: Scaling) -> QType:
    """The type of a computed tensor. UnsupportedError for a scale per channel."""
    if s.scale.size > 1:
        why = "activations have one scale for the whole tensor; weights may have one per channel"
        fix = "quantize activations per tensor"
        raise node.unsupported(f"{node.op_type} of a computed tensor with {s.scale.size} scales", why, fix)
    return QType(*INTEGERS[stored], "affine", (float(s.scale[0]),), int(s.zero[0]))


def real_constant(tensor: Tensor, s: Scaling, axis: int) -> tuple[np.ndarray, Given]:
    """float32 values of the integers of a constant, as DequantizeLinear gives them, and the integers themselves."""
    scale, zero = s.along(axis, len(tensor.shape))
    integers = tensor.data.astype(np.int64) - zero
    small = not integers.size or max(-int(integers.min()), int(integers.max())) <= _LARGEST_INT32
    given = Given(integers.astype(np.int32) if small else integers, np.broadcast_to(scale, tensor.shape))
    with np.errstate(over="ignore"):  # an infinite weight is reported where it is used
        return (integers.astype(np.float32) * scale).astype(np.float32), given


class Translation:
    """An operator on integers written with those on reals: the graph gets several nodes for one ONNX node."""

    def __init__(self, node: OnnxNode, ctx: ImportContext):
        self.node, self.ctx = node, ctx

    def _new(self, wish: str) -> str:
        return self.ctx.inserted(f"{self.node.outputs[0]}__{wish}")

    def activation(self, x: int, scale: int | None, zero: int) -> tuple[str, QType]:
        """Name of the real values of the integers at input `x`, which must be computed, and their type."""
        node, ctx = self.node, self.ctx
        tensor = ctx.tensor(node, x)
        if tensor.is_constant:
            raise node.unsupported(f"{node.op_type} of the constant '{shown(tensor.name)}'", "it must be computed")
        stored = integers_of(node, tensor, "input")
        wanted = type_of(node, stored, scaling(node, ctx, scale, zero, stored))
        return self.real(tensor.name, wanted, stored), wanted

    def real(self, name: str, wanted: QType, stored: str, output: str = "") -> str:
        """Name of what the integers `name` stand for as `wanted`, whatever made them."""
        known = self.ctx.state(name, wanted)
        if known != wanted:
            other = self._new("retyped")
            self._add("Retype", (name,), RetypeAttrs(known, wanted, stored), other)
            name = other
        real = output or self._new("real")
        self._add("DequantizeLinear", (name,), None, real)
        return real

    def weight(self, w: int, scale: int | None, zero: int, axis: int) -> tuple[str, np.ndarray]:
        """Name of the real values of the integer constant at input `w`, and its scales [1 or channels]."""
        node, ctx = self.node, self.ctx
        tensor = ctx.tensor(node, w)
        if not tensor.is_constant:
            why = f"'{shown(tensor.name)}' depends on an input of the network"
            raise node.unsupported(f"the weight of {node.op_type} is not a constant", why)
        stored = integers_of(node, tensor, "weight")
        s = scaling(node, ctx, scale, zero, stored)
        need_axis(node, tensor, s, axis)
        return self._constant("weight", tensor, s, axis), s.scale

    def bias(self, b: int, scale: np.ndarray) -> str:
        """Name of the real values of the INT32 bias at input `b`, whose scales the operator implies; "" for none."""
        node = self.node
        if not node.input(b):
            return ""
        tensor = self.ctx.tensor(node, b)
        if not tensor.is_constant or tensor.stored != "INT32":
            raise node.unsupported(f"the bias of {node.op_type} is not a constant of type INT32")
        s = Scaling(scale.reshape(-1), np.zeros(scale.size, np.int64))
        axis = len(tensor.shape) - 1
        if tensor.shape:
            need_axis(node, tensor, s, axis)
        return self._constant("bias", tensor, s, axis)

    def _constant(self, wish: str, tensor: Tensor, s: Scaling, axis: int) -> str:
        real, given = real_constant(tensor, s, axis)
        name = self._new(wish)
        self.ctx.spend(real.size, f"the {wish} of {self.node.op_type}", self.node.label)
        self.ctx.define(self.node, name, real, given)
        return name

    def as_real(self, op_type: str, *inputs: str, output: str = "", version: int | None = None) -> str:
        """Convert this node as one of the operator `op_type` (of opset `version`) on reals; the name of its result."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        output = output or self._new("real_result")
        seen = self.node.seen_as(op_type, inputs, output, version)
        for made in OPS[op_type].convert(seen, self.ctx):
            self.ctx.append(made)
        return output

    def quantize(self, name: str, scale: int, zero: int) -> list[Node]:
        """The output of this node: the integers of `name`. Returns what is left to append: nothing."""
        node, ctx = self.node, self.ctx
        stored = "UINT8"
        if node.input(zero):
            stored = integers_of(node, ctx.tensor(node, zero), "zero point of the output")
        qtype = type_of(node, stored, scaling(node, ctx, scale, zero, stored))
        self._add("QuantizeLinear", (name,), QuantizeAttrs(qtype, stored), node.outputs[0])
        return []

    def _add(self, op: str, inputs: tuple[str, ...], attrs, output: str) -> None:
        self.ctx.append(self.ctx.node(self.node, op, inputs, attrs, output))
