"""Several graph nodes in a row that stand for one ONNX node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.ops.transpose import TransposeAttrs

if TYPE_CHECKING:
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.types import Node


class Chain:
    """Steps (operator, attributes, further inputs) from `source` (input 0 of `node`) to its output; none: Identity."""

    def __init__(self, node: OnnxNode, ctx: ImportContext, source: str = ""):
        self._node, self._ctx, self._source = node, ctx, source or node.input(0)
        self._steps: list[tuple[str, Any, tuple[str, ...]]] = []

    def add(self, op: str, attrs: Any = None, *more: str) -> Chain:
        self._steps.append((op, attrs, more))
        return self

    def reshape(self, *shape: int) -> Chain:
        return self.add("Reshape", ReshapeAttrs(shape))

    def transpose(self, *perm: int) -> Chain:
        return self if perm == tuple(range(len(perm))) else self.add("Transpose", TransposeAttrs(perm))

    @property
    def batched(self) -> bool:
        """Whether axis 0 is the batch."""
        return self._ctx.batched

    def nodes(self, output: str = "") -> list[Node]:
        """The graph nodes; tensors between them are called `<output>__<operator>`."""
        output = output or self._node.outputs[0]
        made, source = [], self._source
        steps = self._steps or [("Identity", None, ())]
        for i, (op, attrs, more) in enumerate(steps):
            target = output if i == len(steps) - 1 else self._ctx.inserted(f"{output}__{op.lower()}")
            made.append(self._ctx.node(self._node, op, (source, *more), attrs, target))
            source = target
        return made
