"""Sum and Mean of tensors: sums of two in a row. Source: ONNX operator specification, each by its name (from 8 on)."""

from __future__ import annotations

from functools import reduce

import numpy as np

from hwcomp.ops._affine import affine
from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import broadcast, broadcast_shapes, need_one_type
from hwcomp.ops._spread import alike
from hwcomp.ops.add import AddAttrs
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("Sum")
class Sum(Op):
    """Inputs (one or more tensors that broadcast to each other; constants that broadcast to the computed ones)."""

    becomes = "Add"

    def convert(self, node, ctx):
        node.expect(inputs=(max(1, len(node.inputs)), len(node.inputs)))
        if (values := ctx.values(node)) is not None:
            need_one_type(node, values)
            shape, share = broadcast(node, values), self._share(node)
            ctx.compute(node, shape, np.float32, lambda: np.broadcast_to(reduce(np.add, values), shape) * share)
            return []
        computed = [name for name in node.inputs if not ctx.is_constant(name)]
        constants = [name for name in node.inputs if ctx.is_constant(name)]
        if ctx.batched:
            for other in [*computed[1:], *constants]:
                ctx.keep_batch_under_broadcast(node, computed[0], other)
        made, names = alike(node, ctx, *dict.fromkeys(computed))
        same = dict(zip(dict.fromkeys(computed), names, strict=True))
        first, *others = (same[name] for name in computed)
        chain = Chain(node, ctx, first)
        for other in [*others, *constants]:
            chain.add("Add", AddAttrs(), other)
        shape = broadcast_shapes(node, [ctx.tensors[name].shape for name in computed])
        return [*made, *self._shared(chain, node, ctx, shape).nodes()]

    def _share(self, node) -> np.float32:
        return np.float32(1)

    def _shared(self, chain, node, ctx, shape):
        return chain

    def cases(self):
        name = self.name
        three = [("Relu", ["x"], ["a"], {}), (name, ["x", "z", "a"], ["y"], {})]
        yield case(f"{name} three", three, {"x": (1, 3, 2, 4), "z": (1, 3, 1, 1)}, opset=8)
        held = {"c": random(f"{name} c", 3, 1)}
        yield case(f"{name} with a constant", [(name, ["c", "x", "x"], ["y"], {})], {"x": ("N", 3, 5)}, held, opset=13)
        one = [(name, ["x"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
        yield case(f"{name} one", one, {"x": (1, 3)})
        folded = [(name, ["c", "c"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})]
        yield case(f"{name} of constants", folded, {"x": (1, 3)}, {"c": np.float32([1, -2, 0.5])})


@op("Mean")
class Mean(Sum):
    """A sum times one over the number of tensors."""

    note = "and a factor"

    def _share(self, node):
        return np.float32(1 / len(node.inputs))

    def _shared(self, chain, node, ctx, shape):
        if len(node.inputs) == 1:
            return chain
        share = ctx.derived(("share", node.outputs[0]), node, (1,), lambda: self._share(node))
        return affine(chain, node, ctx, shape, share, product=True)
