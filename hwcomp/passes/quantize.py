"""Quantization: every activation gets an integer type, every dot product integer weights and bias, by the scheme of --quant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes import _few_bits
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.quantize.schemes import Scheme, scheme
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, QType, Tensor

_DOT = {"Conv", "Dense"}


@graph_pass
@dataclass(frozen=True)
class Quantize(Pass):
    """Post-training, from the observed ranges. Rules for the scales: docs/numerics.md, "Scales that we choose"."""

    name: ClassVar[str] = "quantize"
    kind: ClassVar[str] = "lossy"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        ctx.float_graph = graph
        tensors = dict(graph.tensors)
        for name, qtype in _activation_types(graph, ctx).items():
            tensors[name] = tensors[name].with_(qtype=qtype)
        nodes, fine = [], _few_bits.fine_tensors(graph)
        for node in graph.nodes:
            if node.op in _DOT and node.attrs.steps:
                node = _few_bits.quantize_weights(node, tensors, ctx)
            elif node.op in _DOT and node.outputs[0] in fine:
                node = _quantize_weights(node, tensors, Scheme("affine", _few_bits.FINE_BITS))
                ctx.note(
                    self.name,
                    f"{node.op} '{node.name}': {_few_bits.FINE_BITS}-bit weights, as a quantizer of few bits follows",
                )
            elif node.op in _DOT:
                node = _quantize_weights(node, tensors, scheme(ctx.quant))
                ctx.note(self.name, f"{node.op} '{node.name}': {ctx.quant} weights")
            nodes.append(node)
        return graph.rebuilt(nodes, tensors)


def _activation_types(graph: Graph, ctx: PassContext) -> dict[str, QType]:
    """One type per group of tensors that operators which only move elements (MaxPool, Reshape, Concat) tie together.

    The range of a group is what is read outside it: a MaxPool's input needs no more range than its output has, since
    clipping and taking the maximum commute.
    """
    group: dict[str, str] = {}

    def find(name: str) -> str:
        while group.setdefault(name, name) != name:
            name = group[name]
        return name

    fixed = _fixed_types(graph, scheme(ctx.quant))
    for node in graph.nodes:
        if OPS[node.op].ties_types and node.outputs[0] not in fixed:
            for name in graph.data_inputs(node):
                if name not in fixed:
                    group[find(node.outputs[0])] = find(name)
    ranges: dict[str, tuple[float, float]] = {}
    floats = [
        t.name for t in graph.tensors.values() if not t.is_constant and t.dtype == "float" and t.name not in fixed
    ]
    for name in floats:
        leaves = name in graph.outputs or not graph.consumers(name)
        if leaves or name in graph.inputs or any(not OPS[c.op].ties_types for c in graph.consumers(name)):
            lo, hi = ctx.observed[name]
            old = ranges.get(find(name), (lo, hi))
            ranges[find(name)] = (min(lo, old[0]), max(hi, old[1]))
    types = {root: scheme(ctx.quant).activation(*r) for root, r in ranges.items()}
    for name in _few_bits.fine_tensors(graph):
        if name not in fixed:
            types[find(name)] = _few_bits.fine_type(name, ranges[find(name)], graph, ctx)
    return fixed | {name: types[find(name)] for name in floats}


def _fixed_types(graph: Graph, kind: Scheme) -> dict[str, QType]:
    """Types that do not come from ranges, by tensor: those that an earlier pass chose, of outputs whose operator says so,
    and of what is only moved from there."""
    fixed = {t.name: t.qtype for t in graph.tensors.values() if t.qtype is not None}
    for node in graph.nodes:
        if node.outputs[0] in fixed:
            continue
        qtype = OPS[node.op].output_type(kind)
        if OPS[node.op].ties_types:
            held = {fixed.get(n) for n in graph.data_inputs(node)}
            qtype = held.pop() if len(held) == 1 else None
        if qtype is not None:
            fixed[node.outputs[0]] = qtype
    return fixed


def _quantize_weights(node: Node, tensors: dict[str, Tensor], kind: Scheme) -> Node:
    """The node on new constants of its own: two nodes may share a float weight, but not its scales."""
    weight = tensors[node.inputs[1]].data.astype(np.float64)
    rows = weight.reshape(weight.shape[0], -1)
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    bias = tensors[node.inputs[2]].data.astype(np.float64) if has_bias else np.zeros(len(rows))
    sx = float(tensors[node.inputs[0]].qtype.scale[0])
    scales = kind.weights(rows, bias, sx).astype(np.float64)
    limit = (1 << (kind.bits - 1)) - 1
    q = (
        np.clip(np.rint(rows / scales[:, None]), -limit, limit)
        .astype(f"int{8 if kind.bits <= 8 else 16 if kind.bits <= 16 else 32}")
        .reshape(weight.shape)
    )
    step = sx * scales
    qw = constant(tensors, f"{node.outputs[0]}__weight_q", q)
    tensors[qw.name] = qw.with_(qtype=QType(kind.bits, True, "affine", tuple(map(float, scales)), 0, 0))
    qb = constant(tensors, f"{node.outputs[0]}__bias_q", np.rint(bias / step).astype(np.int64))
    tensors[qb.name] = qb.with_(qtype=QType(64, True, "affine", tuple(map(float, step)), 0, 0))
    return node.with_(inputs=(node.inputs[0], qw.name, qb.name))
