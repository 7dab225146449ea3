"""Products and differences with a constant, written as a BatchNormalization that computes them exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.ops._chain import Chain
from hwcomp.ops.batchnormalization import BatchNormalizationAttrs
from hwcomp.types import Tensor, per_channel

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node


def affine_nodes(
    node: OnnxNode, ctx: ImportContext, x: str, constant: str, *, product: bool, sign: int = 1
) -> list[Node]:
    """Nodes for x * c (`product`), x - c (`sign` 1) or c - x (`sign` -1), for a constant c."""
    return affine(Chain(node, ctx, x), node, ctx, ctx.tensors[x].shape, constant, product=product, sign=sign).nodes()


def affine(
    chain: Chain, node: OnnxNode, ctx: ImportContext, shape: tuple[int, ...], constant: str, *, product: bool, sign: int = 1
) -> Chain:  # fmt: skip
    """The same steps on a tensor of `shape`.

    BatchNormalization is (x - mean) * scale / sqrt(var + epsilon) + bias; with var = 1 and epsilon = 0 nothing is
    rounded but the operation itself. Channels on the last axis get transposes around it; where the constant varies along
    several axes, every element is a channel.
    """
    c = ctx.tensors[constant]
    ctx.check_finite(c, node.label)
    tensor = Tensor("", shape)
    axis = channel_axis(tensor, c)
    if axis is not None:
        values = per_channel(c, tensor, axis)
    elif len(shape) > 1 and broadcasts(c.shape, shape):
        values = np.broadcast_to(c.data, (1, *shape[1:])).ravel()
    else:
        why = f"the tensor is {list(shape)}, the constant {list(c.shape)}; broadcasting would change the tensor's shape"
        raise node.unsupported(f"{node.op_type} with a larger constant", why)

    def vector(name: str, value) -> str:
        key = ("affine", f"{constant}__{name}", node.op_type, sign, axis, *shape[1:])
        return ctx.derived(key, node, values.shape, lambda: np.broadcast_to(np.float32(value), values.shape))

    ones, zeros = vector("one", 1), vector("zero", 0)
    if product:
        terms = (vector("scale", values), zeros, zeros, ones)
    elif sign > 0:
        terms = (ones, zeros, vector("mean", values), ones)
    else:
        terms = (vector("minus", -1), vector("bias", values), zeros, ones)
    scaled = ("BatchNormalization", BatchNormalizationAttrs(0.0), *terms)
    if axis is None:
        return chain.reshape(shape[0], values.size).add(*scaled).reshape(*shape)
    rank = len(shape)
    forth = (0, rank - 1, *range(1, rank - 1)) if axis != 1 else tuple(range(rank))
    return chain.transpose(*forth).add(*scaled).transpose(*map(int, np.argsort(forth)))


def broadcasts(constant: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether broadcasting the constant against `shape` gives that shape, with the same for every sample of a batch."""
    full = (1,) * (len(shape) - len(constant)) + constant
    return len(full) == len(shape) and full[0] == 1 and all(n in (1, m) for n, m in zip(full, shape, strict=True))


def channel_axis(x: Tensor, c: Tensor) -> int | None:
    """The axis along which alone c varies: 1 if possible, else the last one."""
    if len(x.shape) < 2:
        return None
    return next((axis for axis in (1, len(x.shape) - 1) if per_channel(c, x, axis) is not None), None)
