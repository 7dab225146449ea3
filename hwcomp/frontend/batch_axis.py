"""Tensors whose batch is not axis 0, as recurrent operators have them (time first): [T, N, C] is [N, T, C] in the graph.

Operators that may stand between two places of the batch are translated to the graph's axes; others are refused by name.
"""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.ops.reshape import ReshapeAttrs, resolve
from hwcomp.ops.transpose import TransposeAttrs
from hwcomp.registry import OPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node

_ANY_AXIS = ("Cast", "Clip", "Dropout", "Identity", "Relu")  # and all functions of single elements
_QUANTIZERS = ("DequantizeLinear", "QuantizeLinear")  # with one scale, whatever their attribute `axis` says
_ARITHMETIC = ("Add", "Div", "Mul", "Sub")
_AXIS = {"Concat": None, "Gather": 0, "Split": 0, "Softmax": -1}  # the attribute's default
_OWN = ("GRU", "LSTM")  # they place it themselves


def time_first(nodes: Iterable[OnnxNode]) -> set[str]:
    """Tensors that only recurrent operators of layout 0 read, where these have the batch on axis 1."""
    found: dict[str, bool] = {}
    for node in nodes:
        turned = node.op_type in _OWN and not (node.attr.has("layout") and node.opset >= 14)
        for i, name in enumerate(node.inputs):
            found[name] = found.get(name, True) and turned and i in (0, 5, 6)
    return {name for name, only in found.items() if only and name}


def convert(node: OnnxNode, ctx: ImportContext) -> list[Node]:
    """The graph nodes of `node`, wherever its inputs have the batch; the place of its outputs' batch is noted in `ctx`."""
    op = OPS[node.op_type]
    data = [n for n in node.inputs if n and not ctx.is_constant(n)]
    places = {ctx.batch_axis(n) for n in data}
    moves = node.op_type == "Transpose" and data and ctx.batched
    if node.op_type in _OWN or (places <= {0} and not moves):
        return op.convert(node, ctx)
    at = places.pop()
    if places:
        raise _refused(node, at, "its inputs have the batch on different axes")
    if node.op_type == "Transpose":
        return _transpose(node, ctx, at) or op.convert(node, ctx)
    shape = onnx_shape(ctx, data[0])
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze"):
        return _reshape(node, ctx, shape, at)
    if node.op_type == "Shape":
        return op.convert(_with_constant_input(node, ctx, shape), ctx)
    if node.op_type in _AXIS and (node.op_type != "Softmax" or node.opset >= 13):
        return _along(node, ctx, shape, at)
    if node.op_type == "Slice" and node.opset >= 10:
        return _slice(node, ctx, shape, at)
    if node.op_type == "MatMul" and ctx.is_constant(node.input(1)) and at < len(shape) - 1:
        return _placed(node, ctx, at, op.convert(node, ctx))
    short = all(len(ctx.tensors[n].shape) < len(shape) - at for n in node.inputs if n and ctx.is_constant(n))
    ranks = {len(ctx.tensors[n].shape) for n in data}
    scalar = node.op_type in _QUANTIZERS and all(ctx.tensors[n].data.size == 1 for n in node.inputs[1:] if n)
    single = scalar or node.op_type in _ANY_AXIS or op.kernels == ("lut",)
    if single or (node.op_type in _ARITHMETIC and short and len(ranks) == 1):
        return _placed(node, ctx, at, op.convert(node, ctx))
    raise _refused(node, at, "hwcomp can't follow the batch through it")


def onnx_shape(ctx: ImportContext, name: str) -> tuple[int, ...]:
    """Shape of a tensor with the batch where ONNX has it."""
    rest, at = ctx.tensors[name].shape[1:], ctx.batch_axis(name)
    return (*rest[:at], 1, *rest[at:])


def _refused(node: OnnxNode, at: int, why: str):
    fix = "put a Transpose that moves the batch to axis 0 in front of it"
    return node.unsupported(f"{node.op_type} of a tensor whose batch is axis {at}", why, fix)


def _placed(node: OnnxNode, ctx: ImportContext, at: int, made: list[Node]) -> list[Node]:
    for name in node.outputs:
        ctx.place_batch(name, at)
    return made


def _inside(axis: int, at: int) -> int:
    """Axis of the graph's tensor for an axis of ONNX's, whose batch is axis `at`."""
    return 0 if axis == at else axis + 1 if axis < at else axis


def _transpose(node: OnnxNode, ctx: ImportContext, at: int) -> list[Node]:
    """Nothing where `convert` does it: a batch of 1 that changes places with another axis of 1 stays the first."""
    node.expect(inputs=(1, 1))
    rank = len(ctx.tensor(node, 0).shape)
    perm = node.axes(node.attr.integers("perm", tuple(range(rank))[::-1]), rank)
    if len(perm) != rank or (
        at == 0 and (perm[0] == 0 or not ctx.symbolic) and onnx_shape(ctx, node.input(0))[perm[0]] == 1
    ):
        return []
    after = perm.index(at)
    inner = (0, *(_inside(axis, at) for i, axis in enumerate(perm) if i != after))
    op, attrs = ("Identity", None) if inner == tuple(range(rank)) else ("Transpose", TransposeAttrs(inner))
    return _placed(node, ctx, after, [ctx.node(node, op, node.inputs, attrs)])


def _reshape(node: OnnxNode, ctx: ImportContext, shape: tuple[int, ...], at: int) -> list[Node]:
    """The batch stays behind as many elements as it was behind."""
    optional = node.op_type == "Squeeze" and node.opset >= 13
    needed = 1 if node.op_type == "Squeeze" or (node.op_type == "Unsqueeze" and node.opset < 13) else 2
    node.expect(inputs=(needed, needed + optional))
    if node.op_type == "Reshape":
        allow_zero = node.opset >= 14 and node.attr.flag("allowzero", False)
        wanted = resolve(node, shape, ctx.integers(node, 1, "shape"), allow_zero)
    else:
        given = ctx.integers(node, 1, "axes") if node.opset >= 13 and node.input(1) else None
        given = node.attr.integers("axes") if node.opset < 13 and node.attr.has("axes") else given
        if node.op_type == "Squeeze":
            axes = node.axes(given, len(shape)) if given is not None else (at,)
            if at in axes or any(shape[a] != 1 for a in axes):
                raise _refused(node, at, "it would leave out the batch")
            wanted = tuple(n for a, n in enumerate(shape) if a not in axes)
        else:
            axes, old = node.axes(given, len(shape) + len(given)), iter(shape)
            wanted = tuple(1 if a in axes else next(old) for a in range(len(shape) + len(given)))
    before = math.prod(shape[:at])
    places = [i for i, n in enumerate(wanted) if n == 1 and math.prod(wanted[:i]) == before]
    if node.op_type == "Squeeze":
        places = [at - sum(a < at for a in axes)]
    elif node.op_type == "Unsqueeze":
        places = [[a for a in range(len(wanted)) if a not in axes][at]]
    if not places:
        raise _refused(node, at, f"its result {list(wanted)} does not keep the batch as an axis")
    after = at if at in places else places[0]
    inner = (1, *wanted[:after], *wanted[after + 1 :])
    return _placed(node, ctx, after, [ctx.node(node, "Reshape", node.inputs[:1], ReshapeAttrs(inner))])


def _with_constant_input(node: OnnxNode, ctx: ImportContext, shape: tuple[int, ...]) -> OnnxNode:
    """Shape of a tensor of this shape: a constant that has it."""
    name = ctx.inserted(f"{node.outputs[0]}__shape")
    ctx.add_constant(name, np.broadcast_to(np.float32(0), shape).copy())
    return node.seen_as(node.op_type, (name,), node.outputs[0])


def _along(node: OnnxNode, ctx: ImportContext, shape: tuple[int, ...], at: int) -> list[Node]:
    """Operators with an attribute `axis`."""
    default = _AXIS[node.op_type]
    axis = node.attr.axis("axis", **({} if default is None else {"default": default}), rank=len(shape))
    if axis == at:
        raise _refused(node, at, "it mixes the samples of a batch")
    other = copy(node)
    other.attr = node.attr.replaced("axis", _inside(axis, at))
    made = OPS[node.op_type].convert(other, ctx)
    gone = node.op_type == "Gather" and ctx.tensors[node.input(1)].shape == ()
    return _placed(node, ctx, at - (gone and axis < at), made)


def _slice(node: OnnxNode, ctx: ImportContext, shape: tuple[int, ...], at: int) -> list[Node]:
    starts = ctx.integers(node, 1, "starts")
    axes = ctx.integers(node, 3, "axes") if node.input(3) else range(len(starts))
    axes = node.axes(axes, len(shape))
    if at in axes:
        raise _refused(node, at, "it mixes the samples of a batch")
    name = ctx.inserted(f"{node.outputs[0]}__axes")
    ctx.add_constant(name, np.array([_inside(a, at) for a in axes], np.int64))
    other = copy(node)
    other.inputs = (*node.inputs[:3], name, *node.inputs[4:])
    return _placed(node, ctx, at, OPS["Slice"].convert(other, ctx))
