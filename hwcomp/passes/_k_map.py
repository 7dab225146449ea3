"""XNOR-Net's K map: what the size of a binarized input is at each place of a dot product (Rastegari 2016, section 3.2).

x is m + |x - m| * sign(x - m), and the sizes under a window are taken as their mean K: the mean over the channels of |x - m|,
under a box filter. So y = scale * K * (sign(x - m) . sign(w)) + m * sum(w) + bias, in operators that every target has.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops import _steps
from hwcomp.ops.batchnormalization import BatchNormalizationAttrs
from hwcomp.ops.clip import ClipAttrs
from hwcomp.ops.dense import DenseAttrs
from hwcomp.ops.mul import MulAttrs
from hwcomp.ops.reshape import ReshapeAttrs
from hwcomp.ops.steps import StepsAttrs
from hwcomp.ops.transpose import TransposeAttrs
from hwcomp.passes.base import constant, free_name
from hwcomp.quantize.schemes import affine_type
from hwcomp.types import Node, QType, Tensor

_SIZE_BITS = 16  # of |x - m|, K and products with it
_CENTRED_BITS = 10  # of x - m: a table of 1,024 entries follows


def possible(node: Node, graph: Graph) -> bool:
    """Whether a dot product's K map has one value per place: no groups, and one map or vector per sample."""
    x = graph.tensors[node.inputs[0]]
    if not graph.batched:
        return False
    return len(x.shape) == 4 and node.attrs.groups == 1 if node.op == "Conv" else len(x.shape) == 2


class KMap:
    """The nodes of one layer; new tensors go to `tensors`, with types. `unlimited`: what a Clip at the end reads, or ""."""

    def __init__(self, node: Node, tensors: dict[str, Tensor], found, mean: float, size: float):
        """`found`: (q, scales, shift) of the weights. `mean`: of the input. `size`: the largest |x - mean| that was seen."""
        self.node, self.tensors, self.nodes = node, tensors, []
        self.q, self.scales, self.shift = found
        self.mean, self.size, self.unlimited = mean, size, ""

    def build(self) -> tuple[list[Node], str]:
        """(nodes, what they cost)."""
        node, tensors = self.node, self.tensors
        x, y = tensors[node.inputs[0]], tensors[node.outputs[0]]
        weight = tensors[node.inputs[1]].data
        centred = self._centred(x)
        bits = self._dot(
            "sign",
            self._sign(centred),
            self.q.astype(np.float32).reshape(weight.shape),
            1.0 if self.mean <= 0 else -1.0,
        )
        taps = weight[:1].size
        tensors[bits] = tensors[bits].with_(qtype=QType(taps.bit_length() + 1, True, "affine", (1.0,)))
        sizes = self._dot(
            "k", self._sizes(centred), np.full((1, *weight.shape[1:]), 1 / taps, np.float32), abs(self.mean)
        )
        tensors[sizes] = tensors[sizes].with_(qtype=affine_type(0.0, self.size, _SIZE_BITS))
        places, channels = math.prod(y.shape[2:]), y.shape[1]
        last = (0, *range(2, len(y.shape)), 1)
        rows = [
            self._add("Reshape", f"{name}_rows", (self._moved(name, last),), (1, places, depth), ReshapeAttrs((1, places, depth)))
            for name, depth in ((bits, channels), (sizes, 1))
        ]  # fmt: skip
        product = self._add("Mul", "product", tuple(rows), (1, places, channels), MulAttrs())
        most = taps * self.size
        tensors[product] = tensors[product].with_(qtype=affine_type(-most, most, _SIZE_BITS))
        shape = (1, *y.shape[2:], channels)
        back = self._add("Reshape", "product_map", (product,), shape, ReshapeAttrs(shape))
        if len(shape) > 2:
            back = self._add(
                "Transpose",
                "product_back",
                (back,),
                y.shape,
                TransposeAttrs((0, len(shape) - 1, *range(1, len(shape) - 1))),
            )
        self._scaled(back, y)
        cost = (
            f"{x.shape[1] * math.prod(x.shape[2:]):,} magnitudes, {places * taps:,} additions for the map "
            f"(beside {places * taps * channels:,} products of bits), {places * channels:,} multiplications by it"
        )
        return self.nodes, cost

    def _add(self, op: str, name: str, inputs: tuple[str, ...], shape, attrs=None) -> str:
        out = free_name(self.tensors, f"{self.node.outputs[0]}__{name}")
        self.tensors[out] = Tensor(out, tuple(shape))
        self.nodes.append(Node(op, out, inputs, (out,), attrs, self.node.origin))
        return out

    def _moved(self, name: str, perm: tuple[int, ...]) -> str:
        shape = self.tensors[name].shape
        if len(shape) < 3:
            return name
        return self._add("Transpose", f"{name}_last", (name,), [shape[a] for a in perm], TransposeAttrs(perm))

    def _constant(self, name: str, data: np.ndarray) -> str:
        return constant(self.tensors, f"{self.node.outputs[0]}__{name}", np.asarray(data, np.float32)).name

    def _sign(self, centred: str) -> str:
        qtype = QType(1, True, "bipolar", (1.0,))
        name = self._add(
            "Steps", "signs", (centred,), self.tensors[centred].shape, StepsAttrs((_steps.Quantizer(qtype),))
        )
        self.tensors[name] = self.tensors[name].with_(qtype=qtype, range=(-1.0, 1.0))
        return name

    def _centred(self, x: Tensor) -> str:
        """x - mean."""
        channels = x.shape[1]
        values = (np.ones(channels), np.full(channels, -self.mean), np.zeros(channels), np.ones(channels))
        names = [self._constant(n, v) for n, v in zip(("gain", "less", "zero", "one"), values, strict=True)]
        name = self._add("BatchNormalization", "centred", (x.name, *names), x.shape, BatchNormalizationAttrs(0.0))
        self.tensors[name] = self.tensors[name].with_(qtype=affine_type(-self.size, self.size, _CENTRED_BITS))
        return name

    def _sizes(self, centred: str) -> str:
        size = self._add("Abs", "size", (centred,), self.tensors[centred].shape)
        self.tensors[size] = self.tensors[size].with_(qtype=affine_type(0.0, self.size, _SIZE_BITS))
        return size

    def _dot(self, name: str, source: str, weight: np.ndarray, pad: float) -> str:
        y = self.tensors[self.node.outputs[0]]
        steps = (_steps.Limit(None, None),)
        if self.node.op == "Conv":
            attrs = replace(self.node.attrs, clamp=None, steps=steps, pad_value=pad)
        else:
            attrs = DenseAttrs(None, steps)
        shape = (y.shape[0], len(weight), *y.shape[2:])
        return self._add(self.node.op, name, (source, self._constant(f"{name}_weight", weight), ""), shape, attrs)

    def _scaled(self, source: str, y: Tensor) -> None:
        """scale * what K was multiplied by, plus the bias and what the mean adds, within the limits of the layer."""
        node, channels = self.node, y.shape[1]
        bias = self.tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else np.zeros(channels)
        bias = bias + self.shift + self.mean * self.scales * self.q.sum(axis=1)
        values = (self.scales, bias, np.zeros(channels), np.ones(channels))
        names = [self._constant(n, v) for n, v in zip(("scale", "bias", "none", "unit"), values, strict=True)]
        limits = node.attrs.clamp
        end = Node(
            "BatchNormalization", node.name, (source, *names), node.outputs, BatchNormalizationAttrs(0.0), node.origin
        )
        if limits:
            inner = self.unlimited = self._add(
                "BatchNormalization", "unlimited", (source, *names), y.shape, BatchNormalizationAttrs(0.0)
            )
            end = Node("Clip", node.name, (inner,), node.outputs, ClipAttrs(*limits), node.origin)
        self.nodes.append(end)
