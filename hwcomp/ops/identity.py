"""Identity. Source: ONNX operator specification, Identity."""

from __future__ import annotations

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import result
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Identity")
class Identity(Op):
    """Input (x), any shape and type. Dropout becomes Identity."""

    keeps_type = True
    kernels = ("reshape",)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        return [ctx.node(node, "Identity", node.inputs)]

    def infer(self, node, inputs):
        return result(node, inputs[0].shape, inputs[0].dtype)

    def evaluate(self, node, inputs):
        return [inputs[0]]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        ctx.alias(node)

    def export(self, node, writer):
        return writer.emit("Identity", writer.data())

    def cases(self):
        relu = [("Relu", ["x"], ["h"], {}), ("Identity", ["h"], ["y"], {})]
        yield case("identity", relu, {"x": (1, 3, 4, 2)})
