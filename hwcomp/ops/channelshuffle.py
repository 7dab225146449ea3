"""ChannelShuffle: the channels in another order. An operator of hwcomp only; Reshape-Transpose-Reshape becomes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import bad, need_rank, result
from hwcomp.ops.base import Op
from hwcomp.registry import op


@dataclass(frozen=True)
class ChannelShuffleAttrs:
    """Channel i of the output is channel `order[i]` of the input."""

    order: tuple[int, ...]


@op("ChannelShuffle")
class ChannelShuffle(Op):
    """Input (x [N, C, H, W])."""

    keeps_type = True
    kernels = ("shuffle",)

    def infer(self, node, inputs):
        x, order = inputs[0], node.attrs.order
        need_rank(node, x, 4)
        if sorted(order) != list(range(x.shape[1])):
            raise bad(node, f"the order of {len(order)} channels is not one of the {x.shape[1]} channels of the input")
        return result(node, x.shape, x.dtype)

    def evaluate(self, node, inputs):
        return [inputs[0][:, np.array(node.attrs.order)]]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        ctx.shuffle(node, np.array(node.attrs.order))

    def export(self, node, writer):
        return writer.emit("Gather", writer.data(), np.array(node.attrs.order, np.int64), axis=1)

    def cases(self):
        yield _case("shuffle", (1, 6, 3, 5), (1, 2, 3, 3, 5), (0, 2, 1, 3, 4))
        yield _case("shuffle pixels flat", ("N", 8, 2, 3), (-1, 4, 2, 6), (0, 2, 1, 3), opset=12)
        yield _case("shuffle three ways", (1, 12, 2, 2), (1, 2, 3, 2, 2, 2), (0, 3, 1, 2, 4, 5))


def _case(label, shape, split, perm, *, opset=17):
    nodes = [
        ("Reshape", ["x", "s"], ["a"], {}),
        ("Transpose", ["a"], ["b"], {"perm": perm}),
        ("Reshape", ["b", "t"], ["y"], {}),
    ]
    constants = {"s": np.array(split), "t": np.array((-1, *shape[1:]))}
    return case(label, nodes, {"x": shape}, constants, opset=opset)
