"""Builds the Program: what operators call in their `lower`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.graph import Graph, origin_of
from hwcomp.lower import bounds, products, requant, staircase, tables
from hwcomp.types import Node, QType
from sw_ref.program import Edge, Kernel, Layout, type_range

_MAPS = {"Conv", "MaxPool", "BatchNormalization"}  # operators that take a feature map [C, H, W] channels-last


@dataclass
class LowerContext:
    """`profile`: most bits of a requantize multiplier. The Program grows in `edges` and `kernels`."""

    graph: Graph
    profile: int = 31
    edges: dict[str, Edge] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)
    proofs: list[staircase.Proof] = field(default_factory=list)

    def sample_shape(self, tensor: str) -> tuple[int, ...]:
        """Shape without the batch axis."""
        shape = self.graph.tensors[tensor].shape
        return shape[1:] if self.graph.batched else shape

    def qtype(self, tensor: str, node: Node | None = None) -> QType:
        qtype = self.graph.tensors[tensor].qtype
        if qtype is None:
            raise UnsupportedError(f"tensor '{tensor}' has no integer type", node=origin_of(node) if node else None)
        return qtype

    def layout_for(self, tensor: str) -> Layout:
        """The order that suits the reader: channels-last for what becomes a feature map, through reshapes."""
        shape = self.sample_shape(tensor)
        if len(shape) >= 3:
            return Layout.channels_last(shape)
        name = tensor
        while (reader := self.graph.sole_consumer(name)) is not None:
            name = reader.outputs[0]
            if reader.op not in ("Reshape", "Flatten", "Identity"):
                break
            if len(self.sample_shape(name)) == 3:
                return Layout.channels_last(self.sample_shape(name))
        return Layout.row_major(shape)

    def add_edge(self, tensor: str, lo: int, hi: int, layout: Layout, qtype: QType | None = None) -> Edge:
        q = qtype or self.qtype(tensor)
        bits = int(np.float32(q.scale[0]).view(np.uint32))
        edge = Edge(tensor, self.sample_shape(tensor), q.bits, q.signed, lo, hi, bits, q.zero, layout)
        self.edges[tensor] = edge
        return edge

    def add_kernel(self, kind: str, node: Node, params: dict, constants: dict[str, np.ndarray] | None = None) -> None:
        packed = {k: narrowest(v) for k, v in (constants or {}).items()}
        name = f"{kind}_{len(self.kernels)}"
        inputs = tuple(self.graph.data_inputs(node))
        self.kernels.append(
            Kernel(kind, name, inputs, node.outputs[:1], params, packed, tuple(o for o in node.origin if o))
        )

    def channels_last(self, tensor: str, node: Node) -> Edge:
        """The edge of an input that must be a channels-last feature map, or an error that says so."""
        self.need_batch(node)
        edge = self.edges[tensor]
        if edge.layout != Layout.channels_last(edge.shape):
            raise UnsupportedError(
                f"{node.op} reads a feature map whose elements a Reshape has put in another order",
                node=origin_of(node), why="that would need a copy of the whole map, which is not available yet",
            )  # fmt: skip
        return edge

    def need_batch(self, node: Node) -> None:
        """Refuse an operator over channels in a model whose tensors have no batch axis in front of them."""
        if not self.graph.batched:
            raise UnsupportedError(
                f"{node.op} in a model without a batch axis can't be compiled", node=origin_of(node),
                fix="give the model's input a leading axis of 1",
            )  # fmt: skip

    def dot(self, kind: str, node: Node, params: dict, *, padded: bool = False) -> None:
        """A dot product node (x, int weights, int bias; attrs.clamp) -> kernel, with bounds, constants and proof."""
        x, y = self.edges[node.inputs[0]], node.outputs[0]
        w_tensor, b_tensor = (self.graph.tensors[n] for n in node.inputs[1:3])
        weight, sx = w_tensor.data.astype(np.int64), x.scale
        rows = weight.reshape(weight.shape[0], -1)
        bias = b_tensor.data.astype(np.int64) - x.zero * rows.sum(axis=1)
        x_lo, x_hi = (min(x.lo, x.zero), max(x.hi, x.zero)) if padded else (x.lo, x.hi)
        qy = self.qtype(y, node)
        scale = (sx * w_tensor.qtype.scales()).astype(np.float32) / np.float32(qy.scale[0])
        silent = np.abs(rows).sum(axis=1) + np.abs(bias) == 0
        scale = np.where(silent, np.float32(0), np.broadcast_to(scale, bias.shape))
        lo, hi = self.clamp_limits(qy, node.attrs.clamp)
        reach = bounds.of_dot(rows, bias, x_lo, x_hi)
        formula = staircase.float_formula(scale, qy.zero, lo, hi)
        value, most = (formula(v[:, None])[:, 0] for v in (reach.final_lo, reach.final_hi))
        live = value != most  # the other channels give the same result for every input
        rq, bias = requant.with_constants(scale, rows, bias, live, value, (x_lo, x_hi), qy.zero, lo, hi, self.profile)
        weight = np.where(live.reshape(-1, *[1] * (weight.ndim - 1)), weight, 0)
        limits = bounds.of_dot(weight, bias, x_lo, x_hi)
        if limits.bits > 53:
            raise WorkFailed(
                f"the accumulator of {node.op} needs {limits.bits} bits", node=origin_of(node),
                why=f"sums reach [{limits.part_lo}, {limits.part_hi}]", fix="use fewer bits or a smaller layer",
            )  # fmt: skip
        self.proofs.append(staircase.prove(y, rq, scale, live, reach, limits.bits))
        at_lo, at_hi = rq.apply(limits.final_lo[:, None])[:, 0], rq.apply(limits.final_hi[:, None])[:, 0]
        params = {
            **params, "acc_bits": max(limits.bits, 2),  # hardware adders have two bits at least
            "acc_lo": limits.part_lo, "acc_hi": limits.part_hi, "requantize": rq.params(),
        }  # fmt: skip
        shape = self.sample_shape(y)
        layout = Layout.channels_last(shape) if len(shape) >= 3 else self.layout_for(y)
        self.add_edge(y, int(at_lo.min()), int(at_hi.max()), layout)
        self.add_kernel(kind, node, params, {"weight": weight, "bias": bias, **rq.constants()})

    def pointwise(self, node: Node, gain: np.ndarray, shift: np.ndarray, clamp=None) -> None:
        """y = clamp(gain * x + shift), real float64 [channels or 1] along axis 0 of the sample -> a requantize kernel."""
        x, y = self.edges[node.inputs[0]], node.outputs[0]
        qy = self.qtype(y, node)
        lo, hi = self.clamp_limits(qy, clamp)
        ratio = gain * (float(x.scale) / qy.scale[0])
        offset = np.broadcast_to(shift / qy.scale[0] + qy.zero, ratio.shape)
        rq = requant.choose_affine(ratio, offset, x.lo, x.hi, lo, hi, x.zero)
        every = np.arange(x.lo, x.hi + 1)[None, :]  # all inputs: 8 bits, so the proof needs no bisection
        got = rq.apply(every)
        want = np.clip(np.rint(ratio[:, None] * (every - x.zero) + offset[:, None]), lo, hi)
        bits = int(np.abs(rq.multiplier).max()).bit_length()
        self.proofs.append(staircase.Proof(y, rq.form, x.bits, bits, got.size, int((got != want).sum()), len(gain), 0))
        self.add_edge(y, int(got.min()), int(got.max()), x.layout)
        self.add_kernel("requantize", node, {"requantize": rq.params()}, rq.constants())

    def table(
        self, node: Node, function: Callable[[np.ndarray], np.ndarray], domain: tuple[float, float] = (-np.inf, np.inf)
    ) -> None:
        """y = function(x), element by element, float64 -> float64 -> a lut kernel. Beyond `domain`: its end's value."""
        tables.lower(self, node, function, domain)

    def multiply(self, node: Node, clamp=None) -> None:
        """y = clamp(a * b), b of the shape of a or with one value per channel -> a mul kernel."""
        products.multiply(self, node, clamp)

    def alias(self, node: Node) -> None:
        """The same integers in the same order under another name and shape -> a reshape kernel."""
        x, y = self.edges[node.inputs[0]], node.outputs[0]
        if self.graph.tensors[node.inputs[0]].dtype != "float":
            raise UnsupportedError(
                f"{node.op} of an index can't be compiled",
                node=origin_of(node),
                why="an ArgMax is only taken at an output",
            )
        self.add_edge(y, x.lo, x.hi, x.layout)
        self.add_kernel("reshape", node, {"shape": list(self.sample_shape(y))})

    def clamp_limits(self, qtype: QType, clamp: tuple[float | None, float | None] | None) -> tuple[int, int]:
        """Real clamp bounds as stored integers, inside the type."""
        lo, hi = clamp or (None, None)
        least, most = type_range(qtype.bits, qtype.signed)
        return (least if lo is None else qtype.quantize(lo)), (most if hi is None else qtype.quantize(hi))


def narrowest(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest signed type that holds them: one canonical form per constant."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    size = next(n for n in (8, 16, 32, 64) if type_range(n, True)[0] <= lo and hi <= type_range(n, True)[1])
    return np.ascontiguousarray(values.astype(f"int{size}"))
