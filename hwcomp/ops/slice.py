"""Slice: part of a tensor. Source: ONNX operator specification, Slice (attributes before version 10, inputs after)."""

from __future__ import annotations

import numpy as np

from hwcomp.ops import _interval
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._checks import bad, result
from hwcomp.ops._select import SliceAttrs, select
from hwcomp.ops.base import Op
from hwcomp.registry import op

# Beyond any size, so that exact arithmetic on int64 limits can't overflow.
_FAR = 1 << 40


@op("Slice")
class Slice(Op):
    """Input (x), any shape. Several axes become several nodes; Split becomes one per output."""

    keeps_type = True
    kernels = ("slice",)
    note = "steps as pools of one element"

    def convert(self, node, ctx):
        x = ctx.tensor(node, 0) if node.input(0) else None
        if node.opset < 10:
            node.expect(inputs=(1, 1))
            starts, ends = node.attr.integers("starts", wide=True), node.attr.integers("ends", wide=True)
            axes = node.attr.integers("axes") if node.attr.has("axes") else None
            steps = None
        else:
            node.expect(inputs=(3, 5))
            starts, ends = ctx.integers(node, 1, "starts"), ctx.integers(node, 2, "ends")
            axes = ctx.integers(node, 3, "axes") if node.input(3) else None
            steps = ctx.integers(node, 4, "steps") if node.input(4) else None
        axes = node.axes(range(len(starts)) if axes is None else axes, len(x.shape))
        steps = [1] * len(starts) if steps is None else steps
        if not len(starts) == len(ends) == len(axes) == len(steps):
            why = f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes, {len(steps)} steps"
            raise node.model_error("the parts of Slice do not fit together", why)
        chain, shape = Chain(node, ctx), x.shape
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            attrs = SliceAttrs(axis, *_limits(node, x.shape[axis], start, end, step), step)
            places = range(attrs.start, attrs.stop, step)
            if step == 1 or x.is_constant or not places:
                if step != 1 or len(places) < shape[axis]:
                    chain.add("Slice", attrs)
            elif select(chain, shape, axis, places) is None:
                why = f"of {list(x.shape)} elements along axis {axis} are turned around"
                raise node.unsupported(f"Slice with a step of {step}", why, "use a positive step")
            shape = (*shape[:axis], len(places), *shape[axis + 1 :])
        return chain.nodes()

    def infer(self, node, inputs):
        x, a = inputs[0], node.attrs
        if a.axis >= len(x.shape) or not -1 <= min(a.start, a.stop) <= max(a.start, a.stop) <= x.shape[a.axis]:
            raise bad(node, f"a tensor of shape {list(x.shape)} has no part {a.start}:{a.stop} on axis {a.axis}")
        size = len(range(a.start, a.stop, a.step))
        return result(node, (*x.shape[: a.axis], size, *x.shape[a.axis + 1 :]), x.dtype)

    def evaluate(self, node, inputs):
        a = node.attrs
        part = slice(a.start, None if a.stop < 0 else a.stop, a.step)
        return [inputs[0][(slice(None),) * a.axis + (part,)]]

    def interval(self, node, inputs, graph):
        return _interval.of_input(node, 0, inputs, graph)

    def lower(self, node, ctx):
        a = node.attrs
        ctx.slice(node, ctx.sample_axis(a.axis), a.start, a.stop)

    def export(self, node, writer):
        a = node.attrs
        return writer.emit("Slice", writer.data(), *(np.array([v], np.int64) for v in (a.start, a.stop, a.axis)))

    def cases(self):
        yield _case("slice channels", (1, 5, 3, 4), [1], [4], [1])
        yield _case("slice to the end", ("N", 5, 3, 4), [-2], [2**63 - 1], [1])
        yield _case("slice two axes", (1, 2, 6, 7), [1, -4], [5, 2**31 - 1], [2, 3], [1, 1])
        yield _case("slice nothing off", (1, 3, 4), [0, 0], [2**31 - 1, 9], None)
        yield _case("slice every second row", (1, 3, 7, 4), [1], [2**31 - 1], [2], [2])
        yield _case("slice steps of a map", ("N", 2, 6, 7), [0, 1], [6, 7], [2, 3], [3, 2])
        yield _case("slice every third channel", (1, 8, 3, 2), [1], [8], [1], [3])
        yield _case("slice steps of rows", (1, 7, 4), [0, 1], [7, 4], [1, 2], [2, 2])
        yield _case("slice a vector backwards", (1, 9), [-1], [-(2**63)], [1], [-2])
        yield _case("slice rows backwards", (1, 3, 4, 2), [3], [-9], [2], [-1])
        old = {"starts": [1], "ends": [2**63 - 1], "axes": [-1]}
        yield case("slice attributes", [("Slice", ["x"], ["y"], old)], {"x": (1, 7)}, opset=9)
        steps = {"s": np.array([-1]), "e": np.array([-(2**63)]), "a": np.array([0]), "t": np.array([-2])}
        nodes = [("Slice", ["c", "s", "e", "a", "t"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case("slice a constant backwards", nodes, {"x": (1, 3)}, {"c": random("slice", 5), **steps}, opset=10)


def _case(label, shape, starts, ends, axes, steps=None):
    given = {"s": starts, "e": ends, "a": axes, "t": steps}
    constants = {k: np.array(v) for k, v in given.items() if v is not None}
    return case(label, [("Slice", ["x", *constants], ["y"], {})], {"x": shape}, constants)


def _limits(node, size, start, end, step):
    """(start, stop) inside the axis; a negative step stops at -1 at the latest."""
    if step == 0:
        raise node.model_error("Slice has a step of 0")
    start, end = (max(-_FAR, min(v, _FAR)) for v in (start, end))
    start, end = (v + size if v < 0 else v for v in (start, end))
    least, most = (0, size) if step > 0 else (-1, size - 1)
    return max(0, min(start, most)), max(least, min(end, most))
