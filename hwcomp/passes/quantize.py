"""Quantization: every activation gets an integer type, every dot product integer weights and bias, by the scheme of --quant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import ModelError
from hwcomp.graph import Graph, origin_of
from hwcomp.passes import _few_bits
from hwcomp.passes.base import DOT, Pass, PassContext, constant
from hwcomp.quantize.schemes import Scheme, scheme
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, QType, Tensor

_RECURRENT = ("GRU", "LSTM")
_LARGEST_BIAS = 2.0**50  # steps: sums of more than 53 bits are refused anyway
_SAME_STEP = 1e-6  # relative: scales of biases are products that exporters round in several ways


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
        stated = any(t.stored for t in graph.tensors.values() if not t.is_constant)
        for name, qtype in _activation_types(graph, ctx).items():
            untyped = tensors[name].qtype is None
            tensors[name] = tensors[name].with_(qtype=qtype)
            if stated and untyped:
                ctx.note(self.name, f"'{name}' has no type in the model: {ctx.quant} (--rest)")
        nodes, fine = [], _few_bits.fine_tensors(graph)
        for node in graph.nodes:
            if node.op in DOT and node.attrs.steps:
                node = _few_bits.quantize_weights(node, tensors, ctx)
            elif node.op in DOT:
                node = self._weights(node, tensors, ctx, node.outputs[0] in fine, stated)
            elif node.op in _RECURRENT:
                node = self._rows(node, tensors, ctx)
            nodes.append(node)
        return graph.rebuilt(nodes, tensors)

    def _weights(self, node: Node, tensors: dict[str, Tensor], ctx: PassContext, fine: bool, stated: bool) -> Node:
        """The node on integer weights: those of the model; finer ones in front of a quantizer of few bits; --quant's."""
        given = stated_weights(tensors[node.inputs[1]])
        if given is not None:
            whose = "that are shared" if node.inputs[1] in ctx.chosen else "of the model"
            ctx.note(self.name, f"{node.op} '{node.name}': weights {whose}")
            return _keep_weights(node, tensors, given)
        kind, why = scheme(ctx.quant), ", which the model left in float (--rest)" if stated else ""
        if fine:
            kind, why = Scheme("affine", _few_bits.FINE_BITS), ", as a quantizer of few bits follows"
        name = f"{_few_bits.FINE_BITS}-bit" if fine else ctx.quant
        ctx.note(self.name, f"{node.op} '{node.name}': {name} weights{why}")
        return _quantize_weights(node, tensors, kind)

    def _rows(self, node: Node, tensors: dict[str, Tensor], ctx: PassContext) -> Node:
        """An LSTM or GRU on integer weights [directions * rows, ...] with a scale per row: the model's, or --quant's."""
        names, kind = [], scheme(ctx.quant)
        for name in node.inputs[1:3]:
            weight = tensors[name]
            given = None if weight.given is None else weight.given.moved(_as_rows)
            found = None if given is None else stated_weights(weight.with_(given=given))
            if found is None:
                rows = _as_rows(weight.data).astype(np.float64)
                scales = kind.weights(rows, np.zeros(len(rows)), 1.0)
                limit = (1 << (kind.bits - 1)) - 1
                q = np.clip(np.rint(rows / scales.astype(np.float64)[:, None]), -limit, limit)
                found = q.astype("int8" if kind.bits <= 8 else "int16"), scales
            q, scales = found
            made = constant(tensors, f"{node.outputs[0]}__{len(names)}_q", q)
            bits = max(8, kind.bits, int(np.abs(q).max(initial=0)).bit_length() + 1)
            tensors[made.name] = made.with_(qtype=QType(bits, True, "affine", tuple(map(float, scales)), 0, 0))
            names.append(made.name)
        ctx.note(self.name, f"{node.op} '{node.name}': {kind.bits}-bit weights where the model states none")
        return node.with_(inputs=(node.inputs[0], *names, *node.inputs[3:]))


def _as_rows(weight: np.ndarray) -> np.ndarray:
    return weight.reshape(-1, weight.shape[-1])


def _activation_types(graph: Graph, ctx: PassContext) -> dict[str, QType]:
    """One type per group of tensors that operators which only move elements (MaxPool, Reshape, Concat) tie together.

    The range of a group is what is read outside it: a MaxPool's input needs no more range than its output has, since
    clipping and taking the maximum commute. Tensors whose type the model states are in no group.
    """
    group: dict[str, str] = {}

    def find(name: str) -> str:
        while group.setdefault(name, name) != name:
            name = group[name]
        return name

    fixed = _fixed_types(graph, scheme(ctx.quant))

    def tied(node: Node) -> bool:
        return OPS[node.op].ties_types and node.outputs[0] not in fixed

    for node in graph.nodes:
        if tied(node):
            for name in graph.data_inputs(node):
                if name not in fixed:
                    group[find(node.outputs[0])] = find(name)
    ranges: dict[str, tuple[float, float]] = {}
    floats = [
        t.name for t in graph.tensors.values() if not t.is_constant and t.dtype == "float" and t.name not in fixed
    ]
    for name in floats:
        leaves = name in graph.outputs or not graph.consumers(name)
        if (maker := graph.producer(name)) is not None and OPS[maker.op].recurs:
            leaves = True
        if leaves or name in graph.inputs or any(not tied(c) for c in graph.consumers(name)):
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
        readers = graph.consumers(node.outputs[0])
        converted = bool(readers) and all(r.op == "QuantizeLinear" for r in readers)
        # The type that the model states comes behind it: what is between them shall not add a rounding of its own size.
        qtype = OPS[node.op].output_type(scheme("int16") if converted else kind)
        if OPS[node.op].ties_types:
            held = {fixed.get(n) for n in graph.data_inputs(node)}
            qtype = held.pop() if len(held) == 1 else None
        if qtype is not None:
            fixed[node.outputs[0]] = qtype
    return fixed


def stated_weights(weight: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """(integers, float32 scales [channels]) of a weight that the model states with one scale per output channel."""
    if weight.given is None:
        return None
    scales = weight.given.scale.reshape(len(weight.given.scale), -1)
    return (weight.given.integers, scales[:, 0].copy()) if (scales == scales[:, :1]).all() else None


def _keep_weights(node: Node, tensors: dict[str, Tensor], given: tuple[np.ndarray, np.ndarray]) -> Node:
    """The node on the integers of the model. A bias in float or in steps of another size keeps its value, as float64 in
    steps of the accumulator, where the model states the result's type; else it is rounded.
    """
    q, scales = given
    sx = tensors[node.inputs[0]].qtype.scales()
    with np.errstate(over="ignore", under="ignore"):
        step = sx * scales  # float32, as onnxruntime has it
    if not (np.isfinite(step) & (step > 0)).all():
        why = f"the input's is {sx[0]:g}, the weight's reach from {scales.min():g} to {scales.max():g}"
        raise ModelError("the product of two scales is no float32", node=origin_of(node), why=why)
    bias = np.zeros(len(q), np.int64)
    if len(node.inputs) > 2 and node.inputs[2]:
        tensor = tensors[node.inputs[2]]
        if tensor.given is not None and (np.abs(tensor.given.scale.astype(np.float64) / step - 1) <= _SAME_STEP).all():
            bias = tensor.given.integers.astype(np.int64)
        else:
            bias = tensor.data.astype(np.float64) / step
            if (np.abs(bias) >= _LARGEST_BIAS).any():
                why = f"it is {np.abs(bias).max():.3g} steps of the accumulator"
                raise ModelError("a bias is too large for the scales of its layer", node=origin_of(node), why=why)
            typed = bool(tensors[node.outputs[0]].stored)
            bias = bias if typed else np.rint(bias).astype(np.int64)
    least, most = int(q.min(initial=0)), int(q.max(initial=0))
    bits = max(8, max(~least if least < 0 else 0, most).bit_length() + 1)
    qw = constant(tensors, f"{node.outputs[0]}__weight_q", q)
    codes = tensors[node.inputs[1]].codes
    tensors[qw.name] = qw.with_(qtype=QType(bits, True, "affine", tuple(map(float, scales)), 0, 0), codes=codes)
    qb = constant(tensors, f"{node.outputs[0]}__bias_q", bias)
    tensors[qb.name] = qb.with_(qtype=QType(64, True, "affine", tuple(map(float, step)), 0, 0))
    return node.with_(inputs=(node.inputs[0], qw.name, qb.name))


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
