"""Split: a tensor in pieces along an axis; becomes one Slice per output. Source: ONNX operator specification, Split."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops.base import Op
from hwcomp.ops.slice import SliceAttrs
from hwcomp.registry import op


@op("Split")
class Split(Op):
    """Input (x), any shape. The sizes are an attribute before opset 13, an input after; without them, equal pieces."""

    becomes = "Slice"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 2 if node.opset >= 13 else 1), many_outputs=True)
        x = ctx.tensor(node, 0)
        axis = node.attr.axis("axis", 0, rank=len(x.shape))
        sizes = self._sizes(node, ctx, x.shape[axis])
        made, start = [], 0
        for name, size in zip(node.outputs, sizes, strict=False):
            if name:
                whole = size == x.shape[axis]
                chain = Chain(node, ctx)
                made += (chain if whole else chain.add("Slice", SliceAttrs(axis, start, start + size))).nodes(name)
            start += size
        return made

    def _sizes(self, node, ctx, total):
        """Size of every listed output, absent ones too."""
        count = node.outputs_listed
        if node.opset < 13:
            sizes = list(node.attr.integers("split")) if node.attr.has("split") else None
        else:
            sizes = ctx.integers(node, 1, "split") if node.input(1) else None
        pieces = (
            node.attr.integer("num_outputs", least=1) if node.opset >= 18 and node.attr.has("num_outputs") else None
        )
        if sizes is not None and pieces is not None:
            raise node.model_error("Split has both sizes and num_outputs", "only one of the two may be given")
        if sizes is None:
            if pieces not in (None, count):
                raise node.model_error(f"num_outputs is {pieces}, Split has {count} outputs")
            each = -(-total // count)
            sizes = [min(each, total - i * each) for i in range(count)]
            if sizes[-1] != each and pieces is None:
                raise node.model_error(f"an axis of size {total} can't be split into {count} equal pieces")
        if len(sizes) != count or sum(sizes) != total or min(sizes) < 1:
            why = f"{count} outputs, an axis of size {total}"
            raise node.model_error(f"sizes {sizes[:8]} of Split do not fit", why)
        return sizes

    def cases(self):
        def join(*split, outputs):
            return [("Split", *split), ("Concat", outputs[::-1], ["h"], {"axis": 1}), ("Relu", ["h"], ["y"], {})]

        ab, abc = ["a", "b"], ["a", "b", "c"]
        yield case("split in two", join(["x"], ab, {"axis": 1}, outputs=ab), {"x": (1, 6, 3, 2)}, opset=7)
        uneven = join(["x"], abc, {"axis": 1, "split": [1, 3, 2]}, outputs=abc)
        yield case("split sizes", uneven, {"x": ("N", 6, 2)}, opset=11)
        given = join(["x", "s"], ab, {"axis": -1}, outputs=ab)
        yield case("split sizes as input", given, {"x": (1, 5)}, {"s": np.array([4, 1])}, opset=13)
        rest = join(["x"], abc, {"axis": 1, "num_outputs": 3}, outputs=abc)
        yield case("split with a rest", rest, {"x": (1, 5, 2, 3)}, opset=18)
        one = [("Split", ["x"], ["a", "b"], {"axis": 2, "num_outputs": 2}), ("Relu", ["b"], ["y"], {})]
        yield case("split and drop", one, {"x": (1, 2, 4)}, opset=20)
        weights = [("Split", ["w"], ["a", "b"], {"axis": 1}), ("MatMul", ["x", "b"], ["y"], {})]
        yield case("split a constant", weights, {"x": (1, 3)}, {"w": random("split", 3, 8)}, opset=13)
