"""Products and differences with a constant per channel, written as a BatchNormalization that computes them exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.ops._chain import Chain
from hwcomp.ops.batchnormalization import BatchNormalizationAttrs
from hwcomp.types import per_channel

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node, Tensor


def affine_nodes(
    node: OnnxNode, ctx: ImportContext, x: str, constant: str, *, product: bool, sign: int = 1
) -> list[Node]:
    """Nodes for x * c (`product`), x - c (`sign` 1) or c - x (`sign` -1), for a constant c with one value per channel.

    BatchNormalization is (x - mean) * scale / sqrt(var + epsilon) + bias; with var = 1 and epsilon = 0 nothing is
    rounded but the operation itself. Channels on the last axis get transposes around it.
    """
    tensor, c = ctx.tensors[x], ctx.tensors[constant]
    ctx.check_finite(c, node.label)
    axis = channel_axis(tensor, c)
    if axis is None:
        why = f"the tensor is {list(tensor.shape)}, the constant {list(c.shape)}; it must be one value per channel"
        raise node.unsupported(f"{node.op_type} with a constant that is not one value per channel", why)
    count = tensor.shape[axis]

    def vector(name: str, value) -> str:
        key = ("affine", f"{constant}__{name}", node.op_type, sign, axis, count)
        return ctx.derived(key, node, (count,), lambda: np.broadcast_to(np.float32(value), (count,)))

    values = per_channel(c, tensor, axis)
    ones, zeros = vector("one", 1), vector("zero", 0)
    if product:
        terms = (vector("scale", values), zeros, zeros, ones)
    elif sign > 0:
        terms = (ones, zeros, vector("mean", values), ones)
    else:
        terms = (vector("minus", -1), vector("bias", values), zeros, ones)
    rank = len(tensor.shape)
    chain = Chain(node, ctx, x)
    forth = (0, rank - 1, *range(1, rank - 1)) if axis != 1 else tuple(range(rank))
    back = tuple(int(i) for i in np.argsort(forth))
    return (
        chain.transpose(*forth).add("BatchNormalization", BatchNormalizationAttrs(0.0), *terms).transpose(*back).nodes()
    )


def channel_axis(x: Tensor, c: Tensor) -> int | None:
    """The axis along which alone c varies: 1 if possible, else the last one."""
    if len(x.shape) < 2:
        return None
    return next((axis for axis in (1, len(x.shape) - 1) if per_channel(c, x, axis) is not None), None)
