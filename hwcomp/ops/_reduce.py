"""Reductions over axes: means and sums as pools or, over what is carried last, as dot products; maxima as pools."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hwcomp.ops import _order
from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops.averagepool import AveragePoolAttrs
from hwcomp.ops.base import Op
from hwcomp.ops.dense import DenseAttrs
from hwcomp.ops.maxpool import MaxPoolAttrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwcomp.frontend.context import ImportContext, OnnxNode

_NO_PADS = (0, 0, 0, 0)
_PLANE_BEHIND = {1, 2}  # height and width, where the channels are last
Shape = tuple[int, ...]


class Reduction(Op):
    """Input (x), any shape; the axes are an attribute before opset `since`, an input from there on; without them all.

    A derived class gives `steps`, and `function` for constants.
    """

    since = 18
    function: ClassVar[Callable[..., np.ndarray]]

    def steps(self, node: OnnxNode, ctx: ImportContext, chain: Chain, shape: Shape, axes: Shape) -> Chain:
        """Append what reduces the axes (never that of the batch) of `shape` to one element each."""
        raise NotImplementedError

    def convert(self, node, ctx):
        node.expect(inputs=(1, 2 if node.opset >= self.since else 1))
        x = ctx.tensor(node, 0)
        rank = len(x.shape)
        axes = ctx.axes(node, 1, rank=rank, since=self.since)
        keep = node.attr.flag("keepdims", True)
        if node.opset >= self.since and node.attr.flag("noop_with_empty_axes", False) and not axes:
            axes = ()
        else:
            axes = tuple(sorted(axes)) if axes else tuple(range(rank))
        kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        shape = tuple(kept) if keep else tuple(s for axis, s in enumerate(kept) if axis not in axes)
        if x.is_constant:
            if x.dtype != "float":
                raise node.model_error(f"{node.op_type} of {x.dtype} values", "float32 values are taken")
            function = type(self).function
            ctx.compute(node, shape, np.float32, lambda: function(x.data.astype(np.float64), axis=axes, keepdims=keep))
            return []
        if 0 in axes or not ctx.batched:
            why = "it mixes the samples of a batch" if ctx.batched else "the model has no batch axis in front"
            raise node.unsupported(
                f"{node.op_type} over axes {list(axes)} of {list(x.shape)}", why, "name the axes behind the batch's"
            )
        chain = self.steps(node, ctx, Chain(node, ctx), x.shape, axes)
        return (chain if keep else chain.reshape(*shape)).nodes()

    def one(self, label, shape, axes, opset, **options):
        """A network of this operator alone; `options`: its attributes, and `interval`."""
        label, interval = f"{self.name.lower()} {label}", options.pop("interval", (-1.0, 1.0))
        if opset < self.since:
            nodes = [(self.name, ["x"], ["y"], {"axes": axes, **options})]
            return case(label, nodes, {"x": shape}, opset=opset, interval=interval)
        nodes = [(self.name, ["x", "a"], ["y"], options)]
        return case(label, nodes, {"x": shape}, {"a": np.array(axes)}, opset=opset, interval=interval)

    def cases(self):
        yield self.one("channels", (1, 5, 3, 4), [1], 13 if self.since == 18 else 11)
        yield self.one("everything", ("N", 3, 2, 4), [1, 2, 3], 18, keepdims=0)
        yield self.one("vectors", (1, 3, 6), [-1], 18, keepdims=0)
        yield self.one("rows of vectors", (1, 3, 6), [1], 11)
        yield self.one("one axis of a map", (1, 3, 4, 5), [3], 11, keepdims=0)
        nothing = [(self.name, ["x"], ["h"], {"noop_with_empty_axes": 1}), ("Relu", ["h"], ["y"], {})]
        yield case(f"{self.name.lower()} of nothing", nothing, {"x": (1, 4)}, opset=18)
        constant = [(self.name, ["c"], ["m"], {"keepdims": 0}), ("Add", ["x", "m"], ["y"], {})]
        held = {"c": np.float32([[1, 2], [3, -5]])}
        yield case(f"{self.name.lower()} a constant", constant, {"x": (1, 4)}, held, opset=13)


def average(node: OnnxNode, ctx: ImportContext, chain: Chain, shape: Shape, axes: Shape, *, total: bool) -> Chain:
    """Means over `axes` of `shape`, or sums where `total`."""
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    count = math.prod(shape[axis] for axis in axes)
    if count == 1:
        return chain
    if len(shape) == 4 and set(axes) <= {2, 3}:
        return chain.add(
            "AveragePool", _whole_means([s if a in axes else 1 for a, s in ((2, shape[2]), (3, shape[3]))], total)
        )
    if len(shape) == 4 and set(axes) == _PLANE_BEHIND:
        return chain.transpose(0, 3, 1, 2).add("AveragePool", _whole_means(shape[1:3], total)).transpose(0, 2, 3, 1)
    order = _order.carried(len(shape))
    if set(order[-len(axes) :]) == set(axes):  # what is carried last: a dot product of ones
        key = ("ones", node.outputs[0], count, total)
        weight = ctx.derived(key, node, (1, count), lambda: np.full((1, count), 1 if total else 1 / count))

        def dot(chain: Chain, sizes: Shape) -> Shape:
            chain.add("Dense", DenseAttrs(), weight, "")
            return (*sizes[:3], 1)

        return _order.through(chain, shape, list(axes), dot, reduced)

    def pool(chain: Chain, sizes: Shape) -> Shape:
        chain.add("AveragePool", _whole_means((1, sizes[3]), total))
        return (*sizes[:3], 1)

    return _order.through(chain, shape, list(axes), pool, reduced)


def _whole_means(kernel, total: bool) -> AveragePoolAttrs:
    return AveragePoolAttrs(tuple(kernel), (1, 1), (1, 1), _NO_PADS, total=total)


def largest(chain: Chain, shape: Shape, axes: Shape) -> Chain:
    """Maxima over `axes` of `shape`."""
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if reduced == shape:
        return chain
    if len(shape) == 4 and set(axes) <= {2, 3}:
        kernel = tuple(shape[a] if a in axes else 1 for a in (2, 3))
        return chain.add("MaxPool", MaxPoolAttrs(kernel, (1, 1), (1, 1), _NO_PADS))
    if len(shape) == 4 and set(axes) == _PLANE_BEHIND:
        planes = MaxPoolAttrs(tuple(shape[1:3]), (1, 1), (1, 1), _NO_PADS)
        return chain.transpose(0, 3, 1, 2).add("MaxPool", planes).transpose(0, 2, 3, 1)

    def pool(chain: Chain, sizes: Shape) -> Shape:
        chain.add("MaxPool", MaxPoolAttrs((1, sizes[3]), (1, 1), (1, 1), _NO_PADS))
        return (*sizes[:3], 1)

    return _order.through(chain, shape, list(axes), pool, reduced)
