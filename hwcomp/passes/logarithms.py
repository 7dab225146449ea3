"""LogSoftmax as what kernels can do: the distance from the largest less the logarithm of the sum of exponentials."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Graph, origin_of
from hwcomp.ops import _order
from hwcomp.ops._reduce import largest
from hwcomp.ops._spread import spread
from hwcomp.ops.add import AddAttrs
from hwcomp.ops.dense import DenseAttrs
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.ops.transpose import TransposeAttrs
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, QType, Tensor

_WIDEST = 16  # bits of what tables take and give
_ONE = 15  # an exponential of 1 is 2^15
_FINE = 16  # parts of a step of the output that an inner error may be


@graph_pass
class Logarithms(Pass):
    """Behind `quantize`, as the types of what is between follow from those of the input and the output.

    With N elements, an output in steps of S: distances are exact; exponentials have 16 bits; the sum and its logarithm as
    many bits (up to 16) as keep their errors below S/32 each. Source: docs/numerics.md, "LogSoftmax".
    """

    name: ClassVar[str] = "logarithms"
    kind: ClassVar[str] = "lossy"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        nodes, tensors = [], dict(graph.tensors)
        for node in graph.nodes:
            if node.op != "LogSoftmax":
                nodes.append(node)
                continue
            if not graph.batched:
                raise UnsupportedError(
                    "LogSoftmax in a model without a batch axis can't be compiled", node=origin_of(node),
                    fix="give the model's input a leading axis of 1",
                )  # fmt: skip
            nodes += _expanded(node, tensors)
            ctx.note(self.name, f"LogSoftmax '{node.name}': a maximum, a table, a sum, a table, two differences")
        return graph.rebuilt(nodes, tensors)


def _expanded(node: Node, tensors: dict[str, Tensor]) -> list[Node]:
    x, y, axes = tensors[node.inputs[0]], tensors[node.outputs[0]], node.attrs.axes
    count, step = math.prod(x.shape[a] for a in axes), y.qtype.scale[0]
    # x - max, which the type of x without its sign holds: as many steps below zero.
    apart = QType(x.qtype.bits, False, "affine", x.qtype.scale, (1 << x.qtype.bits) - 1)
    powers = QType(_ONE + 1, False, "affine", (2.0**-_ONE,))
    fraction = max(math.ceil(math.log2(_FINE / step)), 4)
    bits = min(max(count.bit_length() + fraction, 8), _WIDEST)
    total = QType(bits, False, "affine", (2.0 ** (count.bit_length() - bits),))
    # Not finer than it must be: what multipliers of few bits rescale must be of about one size.
    most = max(math.log(count), 2.0**-_ONE)
    part = float(np.float32(max(step / _FINE, most / ((1 << _WIDEST) - 1))))
    logarithm = QType(min(max(math.ceil(most / part).bit_length(), 8), _WIDEST), False, "affine", (part,))

    chain = _Steps(node, tensors, x.name)
    largest(chain, x.shape, axes)
    reduced = tensors[chain.last].shape
    held = spread(None, chain, reduced, x.shape).last
    distance = chain.at(x.name).add("Sub", AddAttrs(), held, qtype=apart).last
    chain.add("Exp", qtype=powers)

    def summed(chain: _Steps, sizes: tuple[int, ...]) -> tuple[int, ...]:
        weight, bias = _ones(tensors, y.name, sizes[3])
        made = (*sizes[:3], 1)
        chain.add("Dense", DenseAttrs(), weight, bias, qtype=total, shape=made)
        return made

    _order.through(chain, x.shape, list(axes), summed, reduced)
    chain.add("Log", qtype=logarithm)
    held = spread(None, chain, reduced, x.shape).last
    chain.at(distance).add("Sub", AddAttrs(), held, qtype=y.qtype, output=y)
    return chain.nodes


def _ones(tensors: dict[str, Tensor], stem: str, count: int) -> tuple[str, str]:
    """Names of the weight [1, count] and the bias of a plain sum of exponentials."""
    weight = constant(tensors, f"{stem}__ones", np.ones((1, count), np.int8))
    bias = constant(tensors, f"{stem}__none", np.zeros(1, np.int64))
    for tensor, bits, scale in ((weight, 8, 1.0), (bias, 64, 2.0**-_ONE)):
        tensors[tensor.name] = tensor.with_(qtype=QType(bits, True, "affine", (scale,), 0, 0))
    return weight.name, bias.name


class _Steps:
    """Nodes in place of one, as a Chain makes them at import; every tensor gets a type. `last`: the tensor at hand."""

    batched = True

    def __init__(self, node: Node, tensors: dict[str, Tensor], source: str):
        self.nodes: list[Node] = []
        self.last = source
        self._node, self._tensors = node, tensors

    def at(self, tensor: str) -> _Steps:
        self.last = tensor
        return self

    def add(
        self, op: str, attrs=None, *more: str, qtype: QType | None = None, shape: tuple[int, ...] | None = None,
        output: Tensor | None = None,
    ) -> _Steps:  # fmt: skip
        """`qtype`: of the result; None: that of the tensor at hand. `shape`: where the operator's rule does not give it."""
        node, tensors = self._node, self._tensors
        qtype = qtype or tensors[self.last].qtype
        name = output.name if output else free_name(tensors, f"{node.outputs[0]}__{op.lower()}")
        made = Node(op, f"{node.name}__{len(self.nodes)}", (self.last, *more), (name,), attrs, node.origin)
        shape = shape or OPS[op].infer(made, [tensors[n] for n in made.inputs])[0].shape
        tensors[name] = output or Tensor(name, shape, qtype=qtype)
        self.nodes.append(made)
        self.last = name
        return self

    def reshape(self, *shape: int) -> _Steps:
        return self.add("Reshape", ReshapeAttrs(shape))

    def transpose(self, *perm: int) -> _Steps:
        return self if perm == tuple(range(len(perm))) else self.add("Transpose", TransposeAttrs(perm))
