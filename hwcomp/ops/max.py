"""Max and Min of tensors and constants. Source: ONNX operator specification, each by its name (versions 6 to 13).

Tensors are put beside each other, and a pool takes the largest: their integers are of one type, so nothing is rounded.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from hwcomp.ops import _order
from hwcomp.ops._affine import affine
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast, broadcast_shapes, need_one_type
from hwcomp.ops._spread import alike
from hwcomp.ops.base import Op
from hwcomp.ops.clip import ClipAttrs
from hwcomp.ops.concat import ConcatAttrs
from hwcomp.ops.maxpool import MaxPoolAttrs
from hwcomp.registry import op


@op("Max")
class Max(Op):
    """Inputs (one or more tensors that broadcast to each other, constants among them)."""

    becomes = "MaxPool"
    note = "behind `concat`; with a constant `requantize`"
    function = np.maximum

    def convert(self, node, ctx):
        node.expect(inputs=(max(1, len(node.inputs)), len(node.inputs)))
        function = type(self).function
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            shape = broadcast(node, values)
            ctx.compute(node, shape, values[0].dtype, lambda: np.broadcast_to(reduce(function, values), shape))
            return []
        computed = list(dict.fromkeys(name for name in node.inputs if not ctx.is_constant(name)))
        constants = [name for name in node.inputs if ctx.is_constant(name)]
        for name in constants:
            ctx.check_finite(ctx.tensors[name], node.label)
        for other in [*computed[1:], *constants]:
            if ctx.batched:
                ctx.keep_batch_under_broadcast(node, computed[0], other)
        made, names = alike(node, ctx, *computed)
        target = broadcast_shapes(node, [ctx.tensors[n].shape for n in computed])
        if not constants:
            return [*made, *self._joined(node, ctx, names, target, node.outputs[0])]
        if broadcast_shapes(node, [target, *(ctx.tensors[n].shape for n in constants)]) != target:
            raise node.unsupported(f"{node.op_type} with a constant that is larger than the tensor")
        limit = reduce(function, [ctx.tensors[n].data for n in constants])
        if limit.min() == limit.max():
            between = ctx.inserted(f"{node.outputs[0]}__all") if len(names) > 1 else names[0]
            made += self._joined(node, ctx, names, target, between) if len(names) > 1 else []
            bounds = (float(limit.flat[0]), None) if self.name == "Max" else (None, float(limit.flat[0]))
            return [*made, ctx.node(node, "Clip", (between,), ClipAttrs(*bounds))]
        return [*made, *self._limited(node, ctx, names, target, limit)]

    def _limited(self, node, ctx, names, target, limit):
        """Nodes for max(x, c) = max(x - c, 0) + c, or the same with min."""
        chain, made = Chain(node, ctx, names[0]), []
        if len(names) > 1:
            between = ctx.inserted(f"{node.outputs[0]}__all")
            made, chain = self._joined(node, ctx, names, target, between), Chain(node, ctx, between)
        plus, minus = (
            ctx.derived(
                (f"limit {sign}", node.outputs[0]), node, limit.shape, lambda sign=sign: limit * np.float32(sign)
            )
            for sign in (1, -1)
        )
        affine(chain, node, ctx, target, plus, product=False)
        chain.add("Clip", ClipAttrs(0.0, None) if self.name == "Max" else ClipAttrs(None, 0.0))
        return [*made, *affine(chain, node, ctx, target, minus, product=False).nodes()]

    def _joined(self, node, ctx, names, target, output):
        """Nodes for the largest of tensors of the shape `target`."""
        if len(names) == 1:
            return [ctx.node(node, "Identity", names, None, output)]
        if not ctx.batched:
            raise node.unsupported(f"{node.op_type} of two tensors", "the model has no batch axis in front")
        perm, flat = _flat(target)
        made, sides = [], []
        for name in names[1:]:
            sides.append(ctx.inserted(f"{node.outputs[0]}__side"))
            made += self._side(Chain(node, ctx, name), perm, flat).nodes(sides[-1])
        chain = self._side(Chain(node, ctx, names[0]), perm, flat).add("Concat", ConcatAttrs(3), *sides)
        one_of = (1, len(names))
        chain.add("MaxPool", MaxPoolAttrs(one_of, one_of, (1, 1), (0, 0, 0, 0)))
        self._behind(chain).reshape(*(target[axis] for axis in perm)).transpose(*map(int, np.argsort(perm)))
        return [*made, *chain.nodes(output)]

    def _side(self, chain, perm, flat):
        """One of the tensors as a map of one column."""
        return chain.transpose(*perm).reshape(*flat)

    def _behind(self, chain):
        return chain

    def cases(self):
        def two(label, x, z, opset=13):
            return case(f"{name} {label}", [(self.name, ["x", "z"], ["y"], {})], {"x": x, "z": z}, opset=opset)

        name = self.name.lower()
        yield two("two inputs", (1, 3, 4, 5), (1, 3, 4, 5))
        yield two("two vectors", ("N", 7), ("N", 7), 8)
        yield two("rows", (1, 3, 4), (1, 3, 4))
        yield two("per channel computed", (1, 3, 2, 2), (1, 3, 1, 1))
        branches = [("Relu", ["x"], ["a"], {}), ("Neg", ["x"], ["b"], {}), (self.name, ["x", "a", "b"], ["y"], {})]
        yield case(f"{name} three", branches, {"x": (1, 2, 3, 3)}, opset=12)
        limit = [(self.name, ["x", "c"], ["y"], {})]
        yield case(f"{name} scalar", limit, {"x": (1, 6)}, {"c": np.float32(0.25)}, opset=7 + 1)
        yield case(f"{name} per channel", limit, {"x": (1, 3, 2, 4)}, {"c": random("max", 3, 1, 1, scale=0.5)})
        yield case(f"{name} one", [(self.name, ["x"], ["h"], {}), ("Relu", ["h"], ["y"], {})], {"x": (1, 3)})
        yield case(f"{name} every element", limit, {"x": (1, 2, 5)}, {"c": random("every", 2, 5, scale=0.5)})
        shapes = [(self.name, ["s", "t"], ["u"], {}), ("Reshape", ["x", "u"], ["y"], {})]
        sizes = (
            (np.array([1, 2, 3]), np.array([1, 1, 4])) if name == "max" else (np.array([1, 9, 4]), np.array([7, 2, 6]))
        )
        yield case(f"{name} shapes", shapes, {"x": (1, 8)}, dict(zip("st", sizes, strict=True)))


@op("Min")
class Min(Max):
    """The largest negative value, negated."""

    note = "behind `concat`, between `lut`; with a constant `requantize`"
    function = np.minimum

    def _side(self, chain, perm, flat):
        return super()._side(chain.add("Neg"), perm, flat)

    def _behind(self, chain):
        return chain.add("Neg")


def _flat(shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(perm, shape) that make a map of one column of a tensor, in the order in which it is carried."""
    order = _order.carried(len(shape))
    perm = (0, order[-1], *order[:-1])
    return perm, (shape[0], shape[order[-1]], math.prod(shape[axis] for axis in order[:-1]), 1)
