"""Resize and Upsample by nearest neighbours. Source: ONNX operator specification, Resize (10 to 19), Upsample (7 to 9).

Where the specification leaves the rounding open (opset 10), that of onnxruntime is taken.
"""

from __future__ import annotations

import math

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops._chain import Chain
from hwcomp.ops._folded import sizes_of
from hwcomp.ops._select import select
from hwcomp.ops.base import Op
from hwcomp.registry import op

_MODES = ("nearest", "linear", "cubic")
_PLACES = (
    "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize",
    "half_pixel_symmetric",
)  # fmt: skip
_ROUNDINGS = {
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


@op("Resize")
class Resize(Op):
    """Inputs (x, roi, scales, sizes; in opset 10 x, scales), all but x constant. It becomes repeats, strides and slices."""

    becomes = "Repeat"
    empty_is_absent = True
    note = "mode nearest"

    def convert(self, node, ctx):
        node.expect(inputs=(1, 1) if node.opset < 9 else (2, 2) if node.opset < 11 else (1, 4))
        x = ctx.tensor(node, 0)
        mode = node.attr.text("mode", "nearest", _MODES)
        if mode != "nearest":
            raise node.unsupported(f"{node.op_type} with mode={mode}", "only nearest is available", "use mode=nearest")
        place, rounding, axes = self._rules(node, len(x.shape))
        sizes, scales = self._wish(node, ctx, x.shape, axes)
        chain, shape = Chain(node, ctx), x.shape
        for axis, size, scale in zip(axes, sizes, scales, strict=True):
            if ctx.batched and axis == 0:
                if size != 1:
                    raise node.unsupported(f"{node.op_type} of the batch axis", "it mixes the samples of a batch")
                continue
            places = _places(size, shape[axis], scale, place, rounding)
            if select(chain, shape, axis, places) is None:
                why = f"from {shape[axis]} to {size} elements they follow no simple grid"
                raise node.unsupported(
                    f"{node.op_type} along axis {axis} by {scale:g}", why, "resize by a simple ratio"
                )
            shape = (*shape[:axis], size, *shape[axis + 1 :])
        return chain.nodes()

    def _rules(self, node, rank):
        """(coordinate transformation, rounding, axes)."""
        every = tuple(range(rank))
        if node.opset < 11:
            return "asymmetric", "simple", every
        place = node.attr.text("coordinate_transformation_mode", "half_pixel", _PLACES)
        rounding = node.attr.text("nearest_mode", "round_prefer_floor", tuple(_ROUNDINGS))
        node.attr.real("cubic_coeff_a", -0.75)  # only cubic reads it
        node.attr.flag("exclude_outside", False)  # likewise
        node.attr.real("extrapolation_value", 0.0)  # only tf_crop_and_resize reads it
        if place == "tf_crop_and_resize":
            raise node.unsupported(f"{node.op_type} with {place}", "regions of interest are not available")
        if node.opset >= 18:
            if node.attr.flag("antialias", False):
                raise node.unsupported("antialias=1", "only nearest neighbours are available")
            if node.attr.has("axes"):
                every = node.axes(node.attr.integers("axes"), rank)
        return place, rounding, every

    def _wish(self, node, ctx, shape, axes):
        """(sizes, scales) for these axes."""
        index = 1 if node.opset < 11 else 2
        policy = "stretch"
        if node.opset >= 18:
            choices = ("stretch", "not_larger", "not_smaller")
            policy = node.attr.text("keep_aspect_ratio_policy", "stretch", choices)
        have = [shape[axis] for axis in axes]
        if node.opset >= 11 and node.input(3):
            sizes = sizes_of(node, ctx.integers(node, 3, "sizes"), "sizes")
            self._check(node, len(sizes), len(axes), "sizes")
            if policy != "stretch":
                ratios = [size / n for size, n in zip(sizes, have, strict=True)]
                scale = np.float32(min(ratios) if policy == "not_larger" else max(ratios))
                sizes = tuple(int(np.floor(np.float32(n) * scale + np.float32(0.5))) for n in have)
                return sizes, [float(scale)] * len(axes)
            return sizes, [np.float32(size) / np.float32(n) for size, n in zip(sizes, have, strict=True)]
        if not node.input(index):
            raise node.model_error(f"{node.op_type} has neither scales nor sizes", "one of them must be given")
        scales = ctx.constant(node, index, "scales").reshape(-1)
        self._check(node, scales.size, len(axes), "scales")
        return self._scaled(node, have, scales)

    @staticmethod
    def _scaled(node, have, scales):
        if not (np.isfinite(scales) & (scales > 0)).all():
            raise node.model_error(f"a scale of {node.op_type} is not positive")
        sizes = [math.floor(min(np.float32(n) * s, 2.0**40)) for n, s in zip(have, scales, strict=True)]
        return sizes_of(node, sizes, "result"), scales.tolist()

    @staticmethod
    def _check(node, count, wanted, what):
        if count != wanted:
            raise node.model_error(f"{node.op_type} has {count} {what}", f"{wanted} are needed here")

    def cases(self):
        def one(label, shape, scales=(), sizes=(), opset=13, **attrs):
            given = {"s": np.float32(scales)} if scales else {"z": np.array(sizes)}
            ins = ["x", "s"] if opset < 11 else ["x", "", "s"] if scales else ["x", "", "", "z"]
            return case(label, [("Resize", ins, ["y"], attrs)], {"x": shape}, given, opset=opset)

        floor = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        yield one("resize twice", (1, 3, 4, 5), (1, 1, 2, 2), **floor)
        yield one("resize opset 10", ("N", 2, 3, 4), (1, 1, 3, 2), opset=10)
        yield one("resize half pixels", (1, 2, 3, 5), (1, 1, 2, 3))
        yield one("resize to sizes", (1, 2, 4, 6), sizes=(1, 2, 6, 9), opset=19)
        yield one("resize to half", (1, 3, 6, 7), (1, 1, 0.5, 0.5), **floor)
        regions = {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 1])}
        yield case("resize opset 11", [("Resize", ["x", "r", "s"], ["y"], {})], {"x": (1, 2, 3, 4)}, regions, opset=11)
        yield one("resize by a ratio", (1, 1, 6, 4), (1, 1, 1.5, 0.75), **floor)
        corners = {"coordinate_transformation_mode": "align_corners", "nearest_mode": "round_prefer_ceil"}
        yield one("resize corners", (1, 2, 3, 4), sizes=(1, 2, 5, 4), **corners)
        axes = {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}
        yield one("resize the plane", (1, 2, 4, 4), sizes=(8, 9), opset=18, **axes)
        yield one("resize a line", (1, 3, 6), (1, 1, 2), coordinate_transformation_mode="pytorch_half_pixel")
        inside = [("Conv", ["x", "w"], ["h"], {}), ("Resize", ["h", "", "s"], ["r"], {}), ("Relu", ["r"], ["y"], {})]
        constants = {"w": np.float32([[[[1]]], [[[-0.5]]]]), "s": np.float32([1, 1, 2, 2])}
        yield case("resize behind a convolution", inside, {"x": (1, 1, 3, 4)}, constants)


@op("Upsample")
class Upsample(Resize):
    """Inputs (x, scales constant); before opset 9 the scales are an attribute."""

    def convert(self, node, ctx):
        if node.opset >= 10:
            raise node.model_error(f"Upsample in opset {node.opset}", "it ended with opset 9; use Resize")
        return super().convert(node, ctx)

    def _wish(self, node, ctx, shape, axes):
        if node.opset >= 9:
            return super()._wish(node, ctx, shape, axes)
        scales = np.float32(node.attr.reals("scales"))
        self._check(node, scales.size, len(axes), "scales")
        return self._scaled(node, shape, scales)

    def cases(self):
        nodes = [("Upsample", ["x", "s"], ["y"], {"mode": "nearest"})]
        yield case("upsample", nodes, {"x": (1, 3, 4, 2)}, {"s": np.float32([1, 1, 2, 2])}, opset=9)
        old = [("Upsample", ["x"], ["y"], {"scales": [1.0, 1.0, 2.0, 3.0]})]
        yield case("upsample attribute", old, {"x": (1, 2, 3, 3)}, opset=7)


def _places(size: int, have: int, scale: float, place: str, rounding: str) -> list[int]:
    """Which of `have` elements each of `size` results is, in float32 as onnxruntime computes it."""
    i, scale, half = np.arange(size).astype(np.float32), np.float32(scale), np.float32(0.5)
    if place == "align_corners":
        x = i * np.float32(have - 1) / np.float32(size - 1) if size > 1 else i * 0
    elif place == "asymmetric":
        x = i / scale
    elif place == "tf_half_pixel_for_nn":
        x = (i + half) / scale
    elif place == "pytorch_half_pixel" and size == 1:
        x = i * 0
    else:
        x = (i + half) / scale - half
        if place == "half_pixel_symmetric":
            x = x + np.float32(have / 2) * (1 - np.float32(size) / (scale * np.float32(have)))
    if rounding == "simple":
        x = np.ceil(x) if scale < 1 else np.floor(x)
    else:
        x = _ROUNDINGS[rounding](x)
    return np.clip(x, 0, have - 1).astype(np.int64).tolist()
