"""Broadcasting of computed tensors: axes of size 1 are repeated until the shapes agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast_shapes
from hwcomp.ops.repeat import RepeatAttrs

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node


def spread(node: OnnxNode, chain: Chain, shape: tuple[int, ...], target: tuple[int, ...]) -> Chain:
    """Steps from a tensor of `shape` to `target`, which it broadcasts to. Axes of 1 in a row are repeated together."""
    if len(target) != len(shape) or (chain.batched and target[:1] != shape[:1]):
        why = f"broadcasting {list(shape)} to {list(target)} changes the batch axis or the number of axes"
        raise node.unsupported(f"{node.op_type} to another rank or batch size", why, "reshape the tensor in the model")
    axis, now = int(chain.batched), list(shape)
    while axis < len(target):
        end = axis
        while end < len(target) and shape[end] == 1:
            end += 1
        times = math.prod(target[axis:end])
        if times > 1:
            chain.add("Repeat", RepeatAttrs(end - 1, times))
            now[axis:end] = target[axis:end]
            if end - axis > 1:
                chain.reshape(*now)
        axis = max(end, axis + 1)
    return chain


def alike(node: OnnxNode, ctx: ImportContext, *names: str) -> tuple[list[Node], list[str]]:
    """Nodes that give computed tensors the shape that all broadcast to, and the names of the results."""
    shapes = [ctx.tensors[name].shape for name in names]
    target = broadcast_shapes(node, shapes)
    made, results = [], []
    for name, shape in zip(names, shapes, strict=True):
        result = name
        if shape != target:
            result = ctx.inserted(f"{node.outputs[0]}__spread")
            made += spread(node, Chain(node, ctx, name), shape, target).nodes(result)
        results.append(result)
    return made, results
