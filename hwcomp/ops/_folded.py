"""Operators of shape arithmetic: taken where all inputs are constant, and computed at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.ops._limits import MAX_ELEMENTS
from hwcomp.ops.base import Op

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwcomp.frontend.context import ImportContext, OnnxNode


class Folded(Op):
    """An operator without a place in the graph. `convert` of the derived class calls `constants`, then `ctx.compute`."""

    becomes = None

    def constants(self, node: OnnxNode, ctx: ImportContext) -> list[np.ndarray]:
        """All inputs. UnsupportedError where one depends on an input of the network."""
        values = ctx.values(node)
        if values is None:
            why = "it is only available for values that are known before the network runs, such as shapes"
            fix = "compute it outside the network, or export with fixed sizes if it is part of a shape"
            raise node.unsupported(f"{node.op_type} of a computed tensor", why, fix)
        return values


class Elementwise(Folded):
    """An operator on elements that broadcast: `function` of `arity` arrays, into `result` (None: as x)."""

    arity = 2
    function: Callable[..., np.ndarray]
    result: type | None = None

    def convert(self, node, ctx):
        node.expect(inputs=(self.arity, self.arity))
        values = self.constants(node, ctx)
        need_one_type(node, values)
        ctx.compute(node, broadcast(node, values), self.result or values[0].dtype, lambda: type(self).function(*values))
        return []


def need_one_type(node: OnnxNode, values: list[np.ndarray]) -> None:
    """ModelError unless all arrays hold the same kind of value."""
    kinds = sorted({v.dtype.name for v in values})
    if len(kinds) > 1:
        raise node.model_error(f"{node.op_type} of {' and '.join(kinds)} values", "both must have one type")


def broadcast(node: OnnxNode, values: list[np.ndarray]) -> tuple[int, ...]:
    """The shape that all arrays broadcast to. ModelError where they do not."""
    return broadcast_shapes(node, [v.shape for v in values])


def broadcast_shapes(node: OnnxNode, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The same for shapes, whose sizes may be any integers from 1 on."""
    rank = max(map(len, shapes), default=0)
    sizes = [{1}.union(*({s[axis - rank + len(s)]} for s in shapes if axis >= rank - len(s))) for axis in range(rank)]
    if any(len(s - {1}) > 1 for s in sizes):
        text = " and ".join(str(list(s)) for s in shapes)
        raise node.model_error(f"shapes {text} do not fit together in {node.op_type}")
    return tuple(max(s) for s in sizes)


def sizes_of(node: OnnxNode, values: list[int], what: str) -> tuple[int, ...]:
    """A computed shape: every size from 1 up to what a tensor may have."""
    wrong = [v for v in values if not 1 <= v <= MAX_ELEMENTS]
    if wrong:
        why = f"sizes from 1 to {MAX_ELEMENTS} are taken"
        raise node.model_error(f"the {what} of {node.op_type} has a size of {wrong[0]}", why)
    return tuple(values)
