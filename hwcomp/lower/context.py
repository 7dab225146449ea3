"""Builds the Program: what operators call in their `lower`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.graph import Graph, origin_of
from hwcomp.lower import (
    attention,
    bounds,
    joins,
    layouts,
    products,
    recurrent,
    requant,
    search,
    staircase,
    tables,
    thresholds,
)
from hwcomp.lower import softmax as softmaxes
from hwcomp.types import Node, QType, Tensor
from sw_ref.program import Edge, Kernel, Layout, type_range

_STEPS = ("Reshape", "Identity", "Transpose")  # operators that carry the elements on in the same order


@dataclass
class LowerContext:
    """`profile`: most bits of a requantize multiplier. The Program grows in `edges` and `kernels`.

    `nodes` and `tensors`: those of `graph` and the copies that were inserted, of tensors in another order or type.
    """

    graph: Graph
    profile: int = 31
    edges: dict[str, Edge] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)
    proofs: list[staircase.Proof] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _copies: dict[tuple, str] = field(default_factory=dict)
    _instead: dict[str, str] = field(default_factory=dict)  # input of the current node -> the copy that it reads

    # What joins or rearranges tensors.
    add, avgpool, concat, slice = joins.add, joins.avgpool, joins.concat, joins.slice_
    shuffle, transpose, pad, repeat = joins.shuffle, joins.transpose, joins.pad, joins.repeat
    softmax, table, multiply = softmaxes.softmax, tables.table, products.multiply
    recurrent, matmul, layernorm = recurrent.recurrent, attention.matmul, attention.layernorm
    steps = thresholds.pointwise

    def __post_init__(self):
        self.tensors.update(self.graph.tensors)

    def finish(self, node: Node) -> None:
        """`node` has its kernels: it goes into `nodes`, behind the copies made for it."""
        self.nodes.append(node.with_(inputs=tuple(self._instead.get(n, n) for n in node.inputs)))
        self._instead.clear()

    def sample_shape(self, tensor: str) -> tuple[int, ...]:
        """Shape without the batch axis."""
        shape = self.tensors[tensor].shape
        return shape[1:] if self.graph.batched else shape

    def sample_perm(self, node: Node) -> tuple[int, ...]:
        """The axes of a Transpose without the batch axis, which stays where it is."""
        perm = node.attrs.perm
        return tuple(axis - 1 for axis in perm[1:]) if self.graph.batched else perm

    def sample_axis(self, axis: int) -> int:
        """An axis counted without the batch axis."""
        return axis - 1 if self.graph.batched else axis

    def qtype(self, tensor: str, node: Node | None = None) -> QType:
        qtype = self.tensors[tensor].qtype
        if qtype is None:
            raise UnsupportedError(f"tensor '{tensor}' has no integer type", node=origin_of(node) if node else None)
        return qtype

    def layout_for(self, tensor: str) -> Layout:
        """The order that suits the reader, through reshapes and transposes: channels-last for what becomes a map."""
        steps, name = [], tensor
        while (reader := self.graph.sole_consumer(name)) is not None and reader.op in _STEPS:
            steps.append(reader)
            name = reader.outputs[0]
        wanted = layouts.usual(self.sample_shape(name))
        if reader is not None and reader.op == "Dense":
            wanted = Layout.row_major(self.sample_shape(name))
        for step in reversed(steps):  # of what the step makes -> of what it reads
            if len(self.sample_shape(step.inputs[0])) >= 3 > len(self.sample_shape(step.outputs[0])):
                wanted = layouts.usual(self.sample_shape(step.inputs[0]))  # a map that is flattened
            elif step.op == "Transpose":
                perm = self.sample_perm(step)
                back = tuple(perm.index(axis) for axis in range(len(perm)))
                wanted = layouts.transposed(wanted, self.sample_shape(step.outputs[0]), back)
                if wanted is None:
                    break
        return wanted or layouts.usual(self.sample_shape(tensor))

    def add_edge(self, tensor: str, lo: int, hi: int, layout: Layout, qtype: QType | None = None) -> Edge:
        q = qtype or self.qtype(tensor)
        bits = int(np.float32(q.scale[0]).view(np.uint32))
        bipolar = q.scheme == "bipolar"
        edge = Edge(tensor, self.sample_shape(tensor), q.bits, q.signed, lo, hi, bits, q.zero, layout, bipolar)
        self.edges[tensor] = edge
        return edge

    def add_kernel(self, kind: str, node: Node, params: dict, constants: dict[str, np.ndarray] | None = None) -> None:
        packed = {k: narrowest(v) for k, v in (constants or {}).items()}
        name = f"{kind}_{len(self.kernels)}"
        inputs = tuple(self._instead.get(n, n) for n in self.graph.data_inputs(node))
        self.kernels.append(
            Kernel(kind, name, inputs, node.outputs[:1], params, packed, tuple(o for o in node.origin if o))
        )

    def channels_last(self, tensor: str, node: Node) -> Edge:
        """The edge of an input of `node` as a channels-last feature map: the tensor, or a copy of it in that order."""
        self.need_batch(node)
        return self.in_order(tensor, node, Layout.channels_last(self.edges[tensor].shape))

    def in_order(self, tensor: str, node: Node, layout: Layout) -> Edge:
        """The edge of an input of `node` in this order: the tensor, or a copy of it (kernel reorder)."""
        edge = self.edges[self._instead.get(tensor, tensor)]
        if edge.layout == layout:
            return edge
        return self._copy(tensor, node, "reorder", self.qtype(edge.name), edge.lo, edge.hi, layout, {}, {})

    def of_type(self, tensor: str, node: Node, qtype: QType) -> Edge:
        """The edge of an input of `node` in this type: the tensor, or a copy of it (kernel requantize)."""
        edge = self.edges[self._instead.get(tensor, tensor)]
        if self.qtype(edge.name) == qtype:
            return edge
        ratio = np.array([float(edge.scale) / qtype.scale[0]])
        rq, lo, hi, proof = _pointwise(edge, ratio, np.array([float(qtype.zero)]), qtype.lo, qtype.hi)
        copy = self._copy(
            tensor, node, "requantize", qtype, lo, hi, edge.layout, {"requantize": rq.params()}, rq.constants()
        )
        self.proofs.append(replace(proof, kernel=copy.name))
        return copy

    def _copy(self, tensor: str, node: Node, kind: str, qtype: QType, lo, hi, layout, params, constants) -> Edge:
        """A new edge with the values of an input of `node`, or the one that was made for another reader of it."""
        source = self._instead.get(tensor, tensor)
        key = (source, kind, qtype, layout)
        if key not in self._copies:
            name, n = f"{source}__{kind}", 0
            while name in self.tensors:
                n += 1
                name = f"{source}__{kind}_{n}"
            self._copies[key] = name
            self.tensors[name] = self.tensors[source].with_(name=name, qtype=qtype)
            copy = Node("Identity", name, (source,), (name,), None, node.origin)
            self.add_edge(name, lo, hi, layout)
            packed = {k: narrowest(v) for k, v in constants.items()}
            origin = tuple(o for o in node.origin if o)
            self.kernels.append(Kernel(kind, f"{kind}_{len(self.kernels)}", (source,), (name,), params, packed, origin))
            self.nodes.append(copy)
        self._instead[tensor] = self._copies[key]
        return self.edges[self._copies[key]]

    def need_batch(self, node: Node) -> None:
        """Refuse an operator over channels in a model whose tensors have no batch axis in front of them."""
        if not self.graph.batched:
            raise UnsupportedError(
                f"{node.op} in a model without a batch axis can't be compiled", node=origin_of(node),
                fix="give the model's input a leading axis of 1",
            )  # fmt: skip

    def dot(self, kind: str, node: Node, params: dict, *, padded: bool = False) -> None:
        """A dot product node (x, int weights, int bias; attrs.clamp) -> kernel, with bounds, constants and proof."""
        if node.attrs.steps:
            thresholds.dot(self, kind, node, params, padded=padded)
            return
        x, y = self.edges[node.inputs[0]], node.outputs[0]
        if kind == "dense" and len(x.shape) > 1:  # vectors in a row
            x = self.in_order(x.name, node, Layout.row_major(x.shape))
        w_tensor, b_tensor = (self.graph.tensors[n] for n in node.inputs[1:3])
        weight, sx = w_tensor.data.astype(np.int64), x.scale
        rows = weight.reshape(weight.shape[0], -1)
        whole = np.rint(b_tensor.data).astype(np.int64)
        bias, fraction = whole - x.zero * rows.sum(axis=1), (b_tensor.data - whole).astype(np.float64)
        x_lo, x_hi = (min(x.lo, x.zero), max(x.hi, x.zero)) if padded else (x.lo, x.hi)
        qy = self.qtype(y, node)
        scale = requant.factor(node, (sx * w_tensor.qtype.scales()).astype(np.float32), qy.scale[0])
        silent = np.abs(rows).sum(axis=1) + np.abs(bias) + np.abs(fraction) == 0
        scale = np.where(silent, np.float32(0), np.broadcast_to(scale, bias.shape))
        lo, hi = self.clamp_limits(qy, node.attrs.clamp)
        reach = bounds.of_dot(rows, bias, x_lo, x_hi)
        formula = staircase.float_formula(scale, qy.zero, lo, hi, fraction)
        value, most = (formula(v[:, None])[:, 0] for v in (reach.final_lo, reach.final_hi))
        live = value != most  # the other channels give the same result for every input
        exactly: dict = {}
        if self.tensors[y].stored:  # a model that states its types shall get its own integers
            part = staircase.float_formula(scale[live], qy.zero, lo, hi, fraction[live])
            ends = reach.final_lo[live], reach.final_hi[live]
            exactly = {"refine": lambda rq, shift: search.refine(rq, part, *ends, fraction[live], shift)}
        rq, bias = requant.with_constants(
            scale, rows, bias, live, value, (x_lo, x_hi), qy.zero, lo, hi, self.profile, **exactly
        )
        weight = np.where(live.reshape(-1, *[1] * (weight.ndim - 1)), weight, 0)
        limits = bounds.of_dot(weight, bias, x_lo, x_hi)
        if limits.bits > 53:
            raise WorkFailed(
                f"the accumulator of {node.op} needs {limits.bits} bits", node=origin_of(node),
                why=f"sums reach [{limits.part_lo}, {limits.part_hi}]", fix="use fewer bits or a smaller layer",
            )  # fmt: skip
        self.proofs.append(staircase.prove(y, rq, scale, fraction, live, reach, limits.bits))
        at_lo, at_hi = rq.apply(limits.final_lo[:, None])[:, 0], rq.apply(limits.final_hi[:, None])[:, 0]
        params = {
            **params, "acc_bits": max(limits.bits, 2),  # hardware adders have two bits at least
            "acc_lo": limits.part_lo, "acc_hi": limits.part_hi, "requantize": rq.params(),
        }  # fmt: skip
        shape = self.sample_shape(y)
        layout = Layout.row_major(shape) if len(shape) > 1 else self.layout_for(y)
        if kind == "conv2d":
            layout = Layout.channels_last(shape)
        self.add_edge(y, int(at_lo.min()), int(at_hi.max()), layout)
        more = {}
        if codes := w_tensor.codes:  # rows without weights are codeword 0, which is zero
            params |= {"vectors": {"dims": list(codes.dims), "perm": list(codes.perm)}}
            more = {"codebook": codes.codebook, "index": np.where(live[:, None], codes.index, 0)}
        self.add_kernel(kind, node, params, {"weight": weight, "bias": bias, **more, **rq.constants()})

    def pointwise(self, node: Node, gain: np.ndarray, shift: np.ndarray, clamp=None) -> None:
        """y = clamp(gain * x + shift), real float64 [channels or 1] along axis 0 of the sample -> a requantize kernel."""
        x, y = self.edges[node.inputs[0]], node.outputs[0]
        qy = self.qtype(y, node)
        lo, hi = self.clamp_limits(qy, clamp)
        ratio = gain * (float(x.scale) / qy.scale[0])
        offset = np.broadcast_to(shift / qy.scale[0] + qy.zero, ratio.shape)
        rq, least, most, proof = _pointwise(x, ratio, offset, lo, hi)
        self.proofs.append(replace(proof, kernel=y))
        self.add_edge(y, least, most, x.layout)
        self.add_kernel("requantize", node, {"requantize": rq.params()}, rq.constants())

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
        least, most = qtype.lo, qtype.hi
        return (least if lo is None else qtype.quantize(lo)), (most if hi is None else qtype.quantize(hi))


def _pointwise(x: Edge, ratio: np.ndarray, offset: np.ndarray, lo: int, hi: int):
    """y = clamp(round(ratio * (x - zero) + offset)) per channel -> (record, least and largest result, proof)."""
    rq = requant.choose_affine(ratio, offset, x.lo, x.hi, lo, hi, x.zero)
    every = np.arange(x.lo, x.hi + 1)[None, :]  # all inputs: at most 16 bits, so the proof needs no bisection
    got = rq.apply(every)
    want = np.clip(np.rint(ratio[:, None] * (every - x.zero) + offset[:, None]), lo, hi)
    bits = int(np.abs(rq.multiplier).max()).bit_length()
    away = np.abs(got - want)
    proof = staircase.Proof(
        "", rq.form, x.bits, bits, got.size, int((away > 0).sum()), len(ratio), 0, int(away.max(initial=0)),
        named=staircase.runs(away > 0, x.lo),
    )  # fmt: skip
    return rq, int(got.min()), int(got.max()), proof


def narrowest(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest signed type that holds them: one canonical form per constant."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    size = next(n for n in (8, 16, 32, 64) if type_range(n, True)[0] <= lo and hi <= type_range(n, True)[1])
    return np.ascontiguousarray(values.astype(f"int{size}"))
