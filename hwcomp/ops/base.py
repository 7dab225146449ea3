"""What an operator is: one file in this folder, one class derived from `Op`, registered with @op("OnnxName").

The folder's README-level guide is docs/adding-an-operator.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Graph, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hwcomp.export.qdq import Writer
    from hwcomp.frontend.context import ImportContext, OnnxNode
    from hwcomp.lower.context import LowerContext
    from hwcomp.quantize.schemes import Scheme
    from hwcomp.types import Node, QType, Tensor

Interval = tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """Work of one node for one sample: multiply-accumulates, other operations on elements, weights read."""

    macs: int = 0
    ops: int = 0
    params: int = 0


@dataclass(frozen=True)
class Case:
    """A network of one operator for the conformance suite: a float ONNX model and the range of its inputs.

    `model` is an onnx.ModelProto; `ranges` maps input names to (lo, hi).
    """

    label: str
    model: Any
    ranges: dict[str, Interval] = field(default_factory=dict)


class Op:
    """An operator: how it is imported, shaped, evaluated in float, lowered to kernels, costed and tested."""

    name: str
    # How a quantized input's type reaches the output: True where output integers are a selection of input integers
    # (MaxPool, Reshape), so both must have one type.
    keeps_type = False
    # Whether it reads the integers of a quantized model themselves (others see the real values they stand for).
    reads_integers = False
    # Whether an input that is a constant without elements counts as absent.
    empty_is_absent = False
    # Kinds of kernel that `lower` makes of it; empty where it can't stay until then (`note` says what becomes of it).
    kernels: tuple[str, ...] = ()
    note = ""
    # Domains of ONNX operators of this name that are taken; "" is the standard one.
    domains: tuple[str, ...] = ("",)
    # Of one that is not taken: why, and what to do about it.
    refused = ("", "")
    # The operator of the graph that ONNX nodes of this name become; "": itself; None: constants.
    becomes: str | None = ""

    @property
    def ties_types(self) -> bool:
        """Whether all data inputs and the output get one type: what only moves elements (Concat does, too)."""
        return self.keeps_type

    @property
    def importable(self) -> bool:
        """Whether ONNX nodes of this name are taken (`Dense`, for one, exists inside hwcomp only)."""
        return type(self).convert is not Op.convert

    def convert(self, node: OnnxNode, ctx: ImportContext) -> list[Node]:
        """ONNX node -> graph nodes. Consume every attribute through `node.attr`; what is left is rejected by name."""
        raise NotImplementedError

    def infer(self, node: Node, inputs: list[Tensor | None]) -> list[Tensor]:
        """Types of the outputs (name, shape, dtype). ModelError where the inputs can't be."""
        raise NotImplementedError

    def evaluate(self, node: Node, inputs: list[np.ndarray | None]) -> list[np.ndarray]:
        """Float semantics, for a batch: arrays [N, ...] where the graph says [1, ...]."""
        raise NotImplementedError

    def interval(self, node: Node, inputs: list[Interval | None], graph: Graph) -> Interval:
        """Provable real range of the (first) output, given those of the inputs (None: absent)."""
        return (-np.inf, np.inf)

    def output_type(self, scheme: Scheme) -> QType | None:
        """The type of the output where the operator fixes it (Softmax); None: from the range of its values."""
        return None

    def takes_type(self, qtype: QType) -> bool:
        """Whether the operator can give its result in this type, which a model states; else it is converted behind it."""
        return True

    def lower(self, node: Node, ctx: LowerContext) -> None:
        """Append the kernels that compute this node to the Program being built."""
        raise UnsupportedError(
            f"operator {self.name} can't be compiled here",
            node=origin_of(node),
            why="it has no integer form in this place",
        )

    def export(self, node: Node, writer: Writer) -> str:
        """Write this node, in float, into the QDQ model; the name of the value that holds its result."""
        raise UnsupportedError(
            f"operator {self.name} can't be written to model.qdq.onnx", node=origin_of(node), why="it has no ONNX form"
        )

    def cost(self, node: Node, graph: Graph) -> Cost:
        return Cost()

    def cases(self) -> Iterable[Case]:
        """Small models that exercise the operator; they join the conformance suite by themselves."""
        return ()
