"""Operators on elements that are only taken on constants. Source: ONNX operator specification, each by its name."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._folded import Elementwise, Folded, broadcast, need_one_type
from hwcomp.registry import op


class Comparison(Elementwise):
    """Two constants in, booleans out."""

    result = np.bool_

    def cases(self):
        name = self.name
        nodes = [(name, ["a", "b"], ["d"], {}), ("Where", ["d", "p", "q"], ["c"], {}), ("Add", ["x", "c"], ["y"], {})]
        constants = {"p": np.float32(0.5), "q": np.float32([-1, -2, -3]), "a": np.array([1, 2, 3]), "b": np.array(2)}
        yield case(name.lower(), nodes, {"x": (1, 3)}, constants, opset=13)


@op("Equal")
class Equal(Comparison):
    function = np.equal


@op("Less")
class Less(Comparison):
    function = np.less


@op("Greater")
class Greater(Comparison):
    function = np.greater


@op("Not")
class Not(Elementwise):
    arity = 1
    function = np.logical_not
    result = np.bool_

    def cases(self):
        nodes = [("Not", ["b"], ["d"], {}), ("Where", ["d", "p", "q"], ["c"], {}), ("Add", ["x", "c"], ["y"], {})]
        constants = {"b": np.array([True, False]), "p": np.float32(0.5), "q": np.float32(-1)}
        yield case("not", nodes, {"x": (1, 2)}, constants)


@op("Where")
class Where(Folded):
    """Inputs (condition bool, x, y), all constant."""

    def convert(self, node, ctx):
        node.expect(inputs=(3, 3))
        condition, x, y = self.constants(node, ctx)
        if condition.dtype != np.bool_:
            raise node.model_error(f"the condition of Where holds {condition.dtype} values", "it must be bool")
        need_one_type(node, [x, y])
        shape = broadcast(node, [condition, x, y])
        ctx.compute(node, shape, x.dtype, lambda: np.where(condition, x, y))
        return []

    def cases(self):
        nodes = [
            ("Equal", ["s", "m"], ["e"], {}),
            ("Where", ["e", "o", "s"], ["t"], {}),
            ("Reshape", ["x", "t"], ["y"], {}),
        ]
        constants = {"s": np.array([-2, 3, 4]), "m": np.array(-2), "o": np.array([1])}
        yield case("where", nodes, {"x": (1, 12)}, constants, opset=16)
