"""Functions of single elements: what all of them share. They become tables (docs/numerics.md, "Operators")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case
from hwcomp.ops._checks import need_float, result
from hwcomp.ops.base import Cost, Interval, Op

if TYPE_CHECKING:
    from hwcomp.export.qdq import Writer
    from hwcomp.frontend.context import OnnxNode

_LARGEST = float(np.finfo(np.float32).max)
_SLACK = 2.0**-20  # relative error of a float32 evaluation, with room


class Unary(Op):
    """Input (x), any shape. A derived class gives `function`; `read`, `turns` and `write` where the defaults don't do.

    `domain`: reals that the function takes; a table continues it as a constant beyond.
    """

    kernels = ("lut",)
    domain: Interval = (-np.inf, np.inf)

    def function(self, x: np.ndarray, attrs: Any) -> np.ndarray:
        """In the precision of x."""
        raise NotImplementedError

    def read(self, node: OnnxNode) -> Any:
        """The attributes."""
        return None

    def turns(self, attrs: Any) -> tuple[float, ...]:
        """Where the function turns or jumps: with the ends of an interval all places that may bound its values."""
        return ()

    def write(self, x: str, attrs: Any, writer: Writer) -> str:
        """The function in operators of the QDQ model's opset."""
        return writer.emit(self.name, x)

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1))
        attrs, x = self.read(node), ctx.tensor(node, 0)
        if x.is_constant:
            ctx.compute(node, x.shape, x.data.dtype, lambda: self.function(x.data, attrs))
            return []
        return [ctx.node(node, self.name, node.inputs, attrs)]

    def infer(self, node, inputs):
        need_float(node, inputs[0])
        return result(node, inputs[0].shape)

    def evaluate(self, node, inputs):
        return [self.function(inputs[0], node.attrs)]

    def interval(self, node, inputs, graph):
        lo, hi = _interval.of_input(node, 0, inputs, graph)
        places = np.float64([lo, hi, *(t for t in self.turns(node.attrs) if lo <= t <= hi)])
        with np.errstate(all="ignore"):
            ends = self.function(np.clip(places, -_LARGEST, _LARGEST), node.attrs)
        if np.isnan(ends).any():
            return _interval.EVERYTHING
        least, most = float(ends.min()), float(ends.max())
        return least - abs(least) * _SLACK, most + abs(most) * _SLACK

    def lower(self, node, ctx):
        ctx.table(node, lambda x: self.function(x, node.attrs), self.domain)

    def export(self, node, writer):
        return self.write(writer.data(), node.attrs, writer)

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape))

    def case(self, label: str = "", *, opset: int = 17, interval: Interval = (-4.0, 4.0), **attrs):
        """A network of this operator alone."""
        label = f"{self.name.lower()} {label}".strip()
        nodes = [(self.name, ["x"], ["y"], attrs)]
        return case(label, nodes, {"x": (1, 3, 4, 5)}, opset=opset, interval=interval)

    def folded(self, values: tuple[float, ...] = (0.25, 1.5, 2, 9)):
        """The same of a constant."""
        nodes = [(self.name, ["c"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        return case(f"{self.name.lower()} of a constant", nodes, {"x": (1, 4)}, {"c": np.float32(values)}, opset=13)

    def cases(self):
        yield self.case()
